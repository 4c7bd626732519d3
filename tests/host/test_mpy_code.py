"""Machine code of viper functions in .mpy files, read and replaced."""

import subprocess

import pytest

from host.build.compilation import compiled
from host.build.machine_code.mpy import MpyError, replace_code, viper_functions
from host.build.machine_code.registry import RV32IM
from host.setup import micropython
from host.setup.micropython import native_arch

SOURCE = """
import sys, micropython

NAMED = bytearray(4)

if sys.implementation.name == "micropython":

    @micropython.viper
    def double(a: int) -> int:
        return a + a

    @micropython.viper
    def touch(p: ptr8, q: ptr32, n: uint, other):
        NAMED[0] = p[int(n)]
else:

    def double(a):
        return 2 * a


class Holder:
    @micropython.viper
    def double(self, a: int) -> int:
        return a


@micropython.viper
def square(a: int) -> int:
    return a * a


@micropython.native
def cube(a):
    return a * a * a
"""


def mpy(arch="rv32imc", source=SOURCE):
    return compiled(source.encode(), "module.py", arch)


def test_functions_have_their_twins_parameters():
    found = viper_functions(mpy(), SOURCE)
    assert list(found) == ["double", "touch", "square"]
    assert found["double"].parameters == ("int",) and found["double"].has_result
    assert found["touch"].parameters == ("ptr8", "ptr32", "uint", "object")
    assert not found["touch"].has_result
    assert found["double"].names["NAMED"] > 0
    assert found["double"].code != found["square"].code


@pytest.mark.parametrize("arch", ["rv32imc", "xtensawin", "x86"])
@pytest.mark.parametrize("size", [1, 40, 5000])
def test_only_the_code_that_is_replaced_changes(arch, size):
    before = mpy(arch)
    old = viper_functions(before, SOURCE)
    after = replace_code(before, SOURCE, {"square": bytes(size)})
    new = viper_functions(after, SOURCE)
    assert new["square"].code == bytes(size)
    assert all(new[name] == old[name] for name in ("double", "touch"))
    assert replace_code(after, SOURCE, {"square": old["square"].code}) == before
    assert replace_code(before, SOURCE, {}) == before


def test_micropython_loads_and_calls_it(tmp_path):
    """The very loader, for this machine: each of two functions with the other's code."""
    before = mpy(native_arch())
    functions = viper_functions(before, SOURCE)
    codes = {"double": functions["square"].code, "square": functions["double"].code}
    (tmp_path / "module.mpy").write_bytes(replace_code(before, SOURCE, codes))
    program = "import module; print(module.double(7), module.square(7), module.cube(2))"
    ran = subprocess.run(
        [micropython.find(), "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.stdout == "49 14 8\n", ran.stderr


def test_functions_that_are_not_there_or_not_viper_are_refused():
    for name in ("nobody", "cube", "Holder"):
        with pytest.raises(MpyError, match=f"no viper function {name}"):
            replace_code(mpy(), SOURCE, {name: b"\0"})
    with pytest.raises(MpyError, match="6 functions in the .mpy file, 1 in its source"):
        replace_code(mpy(), "def only(): pass", {})
    with pytest.raises(MpyError, match="bytes too many"):
        viper_functions(mpy() + b"\0", SOURCE)


def test_a_module_without_kernels_has_no_machine_code_of_ours():
    assert RV32IM.module(mpy(), SOURCE, 8) is None
    source = SOURCE.replace("square", "best")
    made = RV32IM.module(mpy(source=source), source, 8)
    assert made is not None
    assert len(made) > len(mpy())
