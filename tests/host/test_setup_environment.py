"""What the virtual environment is given, and what is said where that fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from host import setup
from host.errors import SetupError
from host.setup import debian, environment, find_cause
from tests.host.test_setup_micropython import script

# What pip prints without a connection: its last line alone would mislead.
NO_CONNECTION = """\
WARNING: Retrying (Retry(total=0)) after connection broken by 'ProxyError('refused')': /simple/x/
ERROR: Could not find a version that satisfies the requirement x (from versions: none)
ERROR: No matching distribution found for x"""


@pytest.fixture
def pip(tmp_path, monkeypatch):
    """Puts in place of the environment's Python a script with the body it is called with."""

    def replaced(body: str) -> Path:
        python = script(tmp_path / "python", body)
        monkeypatch.setattr(environment, "PYTHON", python)
        return python

    return replaced


def test_the_requirements_are_the_projects_and_its_developers(tmp_path):
    file = tmp_path / "pyproject.toml"
    file.write_text(
        '[project]\ndependencies = ["numpy>=2"]\n[dependency-groups]\ndev = ["pytest>=9"]\n'
    )
    assert environment.read_requirements(file) == ["numpy>=2", "pytest>=9"]


def test_every_requirement_of_this_project_is_bounded_on_both_sides():
    listed = environment.read_requirements(environment.SOURCES / "pyproject.toml")
    assert len(listed) > 5
    assert [entry for entry in listed if ">=" not in entry or ",<" not in entry] == []


def test_without_a_connection_the_cause_is_named(pip):
    pip(f'echo "{NO_CONNECTION}"; exit 1')
    with pytest.raises(SetupError) as raised:
        environment.install(["x"])
    assert str(raised.value) == "pip failed: no connection: ProxyError('refused')"


def test_other_failures_are_told_in_pips_last_error(pip):
    pip("echo 'ERROR: No matching distribution found for x>=99'; echo; exit 1")
    with pytest.raises(SetupError, match=r"pip failed: ERROR: .* found for x>=99$"):
        environment.install(["x>=99"])


def test_pip_is_asked_for_all_of_them(pip, tmp_path):
    pip(f'echo "$@" > {tmp_path}/arguments')
    environment.install(["x>=1", "y"])
    assert (tmp_path / "arguments").read_text().split()[-2:] == ["x>=1", "y"]


def test_packages_are_compiled_but_for_what_is_no_python(tmp_path, monkeypatch):
    packages = tmp_path / "lib" / "python3" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "good.py").write_text("number = 1\n")
    (packages / "template.py").write_text("class {{ name }}:\n")
    monkeypatch.setattr(environment, "FOLDER", tmp_path)
    monkeypatch.setattr(environment, "PYTHON", sys.executable)
    environment.compile_packages()
    assert [path.name.split(".")[0] for path in packages.glob("__pycache__/*")] == ["good"]


def test_an_environment_is_taken_only_with_a_pip_that_works(pip, tmp_path):
    pip('[ "$*" = "-m pip --version" ]')
    assert environment.has_pip()
    pip("exit 1")
    assert not environment.has_pip()
    (tmp_path / "python").unlink()
    assert not environment.has_pip()


def test_an_old_python_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    monkeypatch.setattr(sys, "version", "3.10.4 (main)")
    with pytest.raises(SystemExit) as ended:
        environment.main()
    assert ended.value.code == "setup: this is Python 3.10.4; 3.11 or later is needed"


BROKEN = """\
Looking in links: /tmp/x
Traceback (most recent call last):
CalledProcessError: Command '['python', '-m', 'ensurepip']' returned non-zero exit status 1.
zlib.error: Error -3 while decompressing data"""


@pytest.fixture
def broken_ensurepip(pip, monkeypatch):
    """An environment in which ensurepip does not work."""
    monkeypatch.setattr(environment, "run_step", lambda *command: None)
    pip(f'case "$*" in *ensurepip*) echo "{BROKEN}"; exit 1;; esac')


def test_where_ensurepip_is_broken_pip_comes_from_debian(broken_ensurepip, monkeypatch):
    asked = []
    monkeypatch.setattr(environment, "_install_debians_pip", lambda: asked.append(1))
    environment.create_environment()
    assert asked


def test_where_no_pip_can_be_had_both_causes_are_told(broken_ensurepip, monkeypatch):
    def archive(*_):
        raise SetupError("no apt-get here, so nothing can be downloaded from Debian")

    monkeypatch.setattr(environment, "Archive", archive)
    with pytest.raises(SetupError) as raised:
        environment.create_environment()
    assert str(raised.value) == (
        "cannot install pip: ensurepip failed: zlib.error: Error -3 while decompressing data; from"
        " Debian: no apt-get here, so nothing can be downloaded from Debian"
    )


def ended(output):
    return subprocess.CompletedProcess(["x"], 1, output)


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on"
            " device\n\nERROR: and more",
            "the disk is full",
        ),
        (
            "dpkg-deb: error: failed to write: No space left on device\ndpkg-deb: error:"
            " subprocess paste was killed by signal (Broken pipe)",
            "the disk is full",
        ),
        ("OSError: [Errno 24] Too many open files", "too few files may be open here: raise"),
        ("cc: fatal error: no input files\nmake: *** [x] Error 1", "cc: fatal error: no input"),
        ("dpkg-deb: error: not a Debian archive", "dpkg-deb: error: not a Debian archive"),
        ("one\ntwo\n", "two"),
        ("", "status 1"),
    ],
)
def test_the_cause_is_told_and_not_its_wrapper(output, cause):
    assert find_cause(ended(output)).startswith(cause)


def test_apt_on_a_full_disk(monkeypatch, tmp_path):
    archive = debian.Archive.__new__(debian.Archive)
    archive.apt, archive.update_output, archive.cache = ["apt-get"], "E: no list", tmp_path
    full = ended("Err:1 x\n  write error - write (28: No space left on device)\nE: Failed")
    monkeypatch.setattr(debian, "run_quietly", lambda *_: full)
    with pytest.raises(SetupError, match="^apt-get download failed: the disk is full$"):
        archive.download("micropython")


def test_a_step_that_takes_long_says_that_it_goes_on(monkeypatch, capsys):
    monkeypatch.setattr(setup, "_SILENT_SECONDS", 0.02)
    done = setup.run_quietly(["sh", "-c", "echo done; sleep 0.2; exit 3"], doing="building")
    assert (done.returncode, done.stdout) == (3, "done\n")
    lines = capsys.readouterr().err.splitlines()
    assert lines and set(lines) == {"setup: building, for 0 s"}
    setup.run_quietly(["sleep", "0.1"])
    assert capsys.readouterr().err == ""


@pytest.mark.verify
@pytest.mark.timeout(300)
def test_without_ensurepip_pip_comes_from_debian(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "FOLDER", tmp_path)
    monkeypatch.setattr(environment, "PYTHON", tmp_path / "bin" / "python")
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    environment.create_environment()
    assert environment.has_pip()
