"""How this checkout comes by a MicroPython, and what it says where it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from host.errors import SetupError
from host.setup import micropython as setup


def script(path: Path, body: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def reporting(path: Path, version: tuple[int, ...], word_bits: int) -> Path:
    """A program that answers the probe as a MicroPython of that kind does."""
    found = f'{{"version": {list(version)}, "word_bits": {word_bits}, "arch": 1}}'
    return script(path, f"echo '{found}'")


def failing(_: Path) -> None:
    raise SetupError("not this way")


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A folder that stands for .micropython of a fresh clone, with nothing on PATH but a shell."""
    folder = tmp_path / "checkout"
    monkeypatch.setattr(setup, "FOLDER", folder)
    monkeypatch.setattr(setup, "LOCAL", folder / "micropython")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("MICROPYTHON", raising=False)
    return folder


def test_the_probe_reads_version_word_size_and_processor(micropython):
    interpreter = setup.probe(micropython)
    assert interpreter.version >= (1, 25)
    assert interpreter.word_bits == 32
    assert interpreter.arch in ("x86", "armv7emsp", "armv7emdp", "armv7m", "armv6")


def test_the_probe_refuses_what_does_not_run(tmp_path):
    with pytest.raises(SetupError, match="absent does not run"):
        setup.probe(tmp_path / "absent")


def test_the_probe_refuses_a_python_without_viper():
    with pytest.raises(SetupError, match="cannot be a simulated chip: .*micropython"):
        setup.probe(Path(sys.executable))


def test_the_probe_refuses_what_says_nothing(tmp_path):
    with pytest.raises(SetupError, match="cannot be a simulated chip: status 3"):
        setup.probe(script(tmp_path / "silent", "exit 3"))


def test_the_probe_refuses_an_old_version(tmp_path):
    with pytest.raises(SetupError, match=r"MicroPython 1\.24\.1, 32-bit; 1\.25 or later"):
        setup.probe(reporting(tmp_path / "old", (1, 24, 1), 32))


def test_the_named_micropython_wins(checkout, monkeypatch, tmp_path):
    reporting(checkout / "micropython", (1, 25, 0), 32)
    named = reporting(tmp_path / "named", (1, 26, 0), 32)
    monkeypatch.setenv("MICROPYTHON", str(named))
    assert setup.find() == named
    assert setup.provision() == named


def test_a_named_micropython_that_is_absent_is_an_error(checkout, monkeypatch):
    monkeypatch.setenv("MICROPYTHON", "no-such-program")
    with pytest.raises(SetupError, match="MICROPYTHON=no-such-program names no program"):
        setup.find()


def test_without_any_the_message_says_what_to_run(checkout):
    with pytest.raises(SetupError, match="run `make setup`"):
        setup.find()


def test_a_good_one_is_kept(checkout, monkeypatch):
    monkeypatch.setattr(setup, "install_debian", failing)
    local = reporting(checkout / "micropython", (1, 25, 0), 32)
    before = local.stat().st_ino
    assert setup.provision() == local == setup.find()
    assert local.stat().st_ino == before


def test_a_broken_one_is_replaced(checkout, monkeypatch, capsys):
    script(checkout / "micropython", "exit 1")
    monkeypatch.setattr(
        setup, "install_debian", lambda staging: reporting(staging / "micropython", (1, 25, 0), 32)
    )
    setup.provision()
    assert setup.probe(setup.find()).word_bits == 32
    assert "installing MicroPython anew" in capsys.readouterr().err


def test_next_comes_the_one_on_path(checkout, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(setup, "install_debian", failing)
    program = reporting(tmp_path / "bin" / "micropython", (1, 27, 0), 32)
    assert setup.provision().resolve() == program
    assert "MicroPython 1.27.0, 32-bit (on PATH)" in capsys.readouterr().err


def test_a_64_bit_one_is_refused(tmp_path):
    program = reporting(tmp_path / "micropython", (1, 27, 0), 64)
    with pytest.raises(SetupError, match="64-bit; a chip's kernels need words of 32 bits"):
        setup.probe(program)


def test_last_comes_a_build_from_source(checkout, monkeypatch):
    monkeypatch.setattr(setup, "install_debian", failing)
    monkeypatch.setattr(
        setup, "build_source", lambda staging: reporting(staging / "micropython", (1, 25, 0), 32)
    )
    assert setup.probe(setup.provision()).version == (1, 25, 0)


def test_where_nothing_works_one_line_gives_every_reason(checkout, monkeypatch):
    monkeypatch.setattr(setup.platform, "machine", lambda: "riscv64")
    with pytest.raises(SetupError) as raised:
        setup.provision()
    message = str(raised.value)
    assert "no 32-bit build for riscv64; none on PATH; no make here" in message
    assert "set MICROPYTHON to its path" in message
    assert "\n" not in message
    assert list(checkout.iterdir()) == []


def test_a_bad_build_leaves_the_old_one_in_place(checkout):
    local = reporting(checkout / "micropython", (1, 25, 0), 32)
    with pytest.raises(SetupError):
        setup.install(lambda staging: script(staging / "micropython", "exit 1"))
    assert setup.probe(local).version == (1, 25, 0)


@pytest.mark.verify
@pytest.mark.timeout(300)
def test_debians_build_is_a_chips_kind_and_can_be_moved(tmp_path):
    setup.install_debian(tmp_path)
    moved = tmp_path / "a folder with spaces"
    moved.mkdir()
    for part in ("debian", "micropython"):
        (tmp_path / part).rename(moved / part)
    assert setup.probe(moved / "micropython").word_bits == 32


def _compiles_for_32_bits():
    """Whether cc is here and finds the C library of 32 bits (Debian: gcc-multilib)."""
    command = ["cc", "-m32", "-x", "c", "-", "-o", os.devnull]
    try:
        done = subprocess.run(command, input=b"int main(void) { return 0; }", capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


@pytest.mark.verify
@pytest.mark.timeout(600)
@pytest.mark.skipif(not _compiles_for_32_bits(), reason="no C compiler for 32 bits here")
def test_the_source_package_builds(tmp_path):
    setup.build_source(tmp_path)
    assert setup.probe(tmp_path / "micropython").version >= (1, 25)
    assert [file.name for file in tmp_path.iterdir()] == ["micropython"]


def test_the_command_line_ends_with_one_line_and_a_status(checkout, monkeypatch):
    monkeypatch.setenv("MICROPYTHON", "nowhere")
    with pytest.raises(SystemExit) as ended:
        setup.main()
    assert ended.value.code == "setup: MICROPYTHON=nowhere names no program"
