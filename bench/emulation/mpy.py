"""The machine code of .mpy files, for the architectures that are emulated here."""

from __future__ import annotations

from host.build.machine_code.mpy import (
    BYTECODE,
    MpyError,
    MpyReader,
    ViperFunction,
    viper_functions,
)

ARCHITECTURES = {10: "xtensawin", 11: "rv32imc"}


def architecture(mpy: bytes) -> str:
    """Returns the name of the architecture that a .mpy file has machine code of. Raises MpyError
    for one that is not emulated here, and for other files."""
    MpyReader(mpy)
    name = ARCHITECTURES.get(mpy[2] >> 2 & 0x0F)
    if name is None:
        raise MpyError("native code of an architecture that is not emulated here")
    return name


def native_functions(mpy: bytes, source: str) -> dict[str, ViperFunction]:
    """Returns the viper functions of a module by name; `source` is what was compiled.

    Raises MpyError for a file of another version or architecture, or one that the source cannot
    have given.
    """
    architecture(mpy)
    return viper_functions(mpy, source)


def machine_code(mpy: bytes) -> int:
    """Bytes of machine code in all functions and methods of a .mpy file."""
    return _machine_code(MpyReader(mpy))


def _machine_code(reader: MpyReader) -> int:
    function = reader.function()
    own = 0 if function.kind == BYTECODE else len(function.code)
    return own + sum(_machine_code(reader) for _ in range(function.children))
