"""Reading native functions out of .mpy files."""

import pytest

from bench.emulation.mpy import MpyError, architecture, native_functions
from host.build.compilation import compiled

SOURCE = """
import micropython

NAME = "a text that is no name of MicroPython's own"
BIG = (12345678901234567890, 1.5, b"bytes", None, (True, "inner"))


def bytecode(a):
    def inner(b):
        return a + b

    return inner


class Holder:
    def method(self):
        return [x for x in BIG]


@micropython.viper
def first(a: int) -> int:
    return a + 1


@micropython.native
def native(a):
    return a


@micropython.viper
def second(a: int) -> int:
    return a + 2
"""


def mpy(source: str = SOURCE, target: str = "rv32imc") -> bytes:
    return compiled(source.encode(), "tests/bench/module.py", target)


@pytest.mark.parametrize("target", ["rv32imc", "xtensawin"])
def test_viper_functions_are_found_among_others(target: str) -> None:
    found = native_functions(mpy(target=target), SOURCE)
    assert list(found) == ["first", "second"]
    assert architecture(mpy(target=target)) == target
    assert found["first"].code != found["second"].code


def test_another_file_or_version_is_refused() -> None:
    for data in (b"", b"M\x05" + mpy()[2:], b"\x7fELF"):
        with pytest.raises(MpyError, match="not a .mpy file of version 6"):
            native_functions(data, SOURCE)


def test_other_processors_are_refused() -> None:
    with pytest.raises(MpyError, match="architecture"):
        native_functions(mpy(target="x86"), SOURCE)


def test_a_file_of_another_source_is_refused() -> None:
    with pytest.raises(MpyError, match="5 functions in the .mpy file, 1 in its source"):
        native_functions(mpy(), "def only(): pass")


def test_damage_is_told() -> None:
    data = mpy()
    for length in range(4, len(data), 7):
        with pytest.raises(MpyError):
            native_functions(data[:length], SOURCE)
    with pytest.raises(MpyError, match="1 bytes too many"):
        native_functions(data + b"\0", SOURCE)
