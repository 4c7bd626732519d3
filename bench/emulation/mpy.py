"""The native functions of a .mpy file, as mpy-cross 1.26 to 1.29 lays them out.

The layout is that of py/persistentcode.c in MicroPython: numbers are big-endian groups of seven
bits, a file is a header, the names (qstrs), the objects, and a tree of functions. A native file
that we compile has the table of MicroPython's own functions as one of its objects.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

VERSION = 6
ARCHITECTURES = {10: "xtensawin", 11: "rv32imc"}

# Kinds of objects; below the strings come None, False, True and Ellipsis, which have no data.
_FUN_TABLE, _STR, _BYTES, _TUPLE = 0, 5, 6, 10
_BYTECODE, _VIPER, _ASM = 0, 2, 3
# Flags of a viper function whose code comes with data or relocations: none of ours has any.
_SCOPE_EXTRAS = 0x10 | 0x20 | 0x40


class MpyError(Exception):
    """A .mpy file that is not what it should be; the message says why."""


class NativeFunction(NamedTuple):
    """Machine code of one viper function; `table_slot` is the index, among the module's objects,
    of the table of MicroPython's functions, by which the code calls them."""

    name: str
    architecture: str
    code: bytes
    table_slot: int


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def byte(self) -> int:
        return self.bytes(1)[0]

    def bytes(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        if len(taken) != count:
            raise MpyError(f"the .mpy file ends at byte {self.at}, amid its data")
        self.at += count
        return taken

    def number(self) -> int:
        value = 0
        while True:
            byte = self.byte()
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value

    def skip_name(self) -> None:
        length = self.number()
        if not length & 1:  # odd ones are numbers of names that every MicroPython has
            self.bytes((length >> 1) + 1)

    def object_kind(self) -> int:
        kind = self.byte()
        if kind > _TUPLE:
            raise MpyError(f"an object of unknown kind {kind} in the .mpy file")
        if kind >= _STR:
            length = self.number()
            if kind == _TUPLE:
                for _ in range(length):
                    self.object_kind()
            else:
                self.bytes(length + (kind in (_STR, _BYTES)))
        return kind


def native_functions(mpy: bytes, source: str) -> dict[str, NativeFunction]:
    """The viper functions of a module by name; `source` is what was compiled.

    The file keeps functions in the order of the source, without their names. Raises MpyError for
    a file of another version or architecture, or one that the source cannot have given.
    """
    if mpy[:2] != bytes([ord("M"), VERSION]):
        raise MpyError(f"not a .mpy file of version {VERSION}")
    architecture = ARCHITECTURES.get(mpy[2] >> 2 & 0x0F)
    if architecture is None:
        raise MpyError("native code of an architecture that is not emulated here")
    reader, kinds = _at_functions(mpy)
    slot = kinds.index(_FUN_TABLE) if _FUN_TABLE in kinds else 0
    codes = list(_children(reader))
    if reader.at != len(mpy):
        raise MpyError(f"{len(mpy) - reader.at} bytes too many in the .mpy file")
    defined = [
        node.name
        for node in ast.parse(source).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    ]
    if len(defined) != len(codes):
        raise MpyError(f"{len(codes)} functions in the .mpy file, {len(defined)} in its source")
    return {
        name: NativeFunction(name, architecture, code, slot)
        for name, (kind, code) in zip(defined, codes, strict=True)
        if kind == _VIPER
    }


def machine_code(mpy: bytes) -> int:
    """Bytes of machine code in all functions and methods of a .mpy file."""
    reader, _ = _at_functions(mpy)
    return _machine_code(reader)


def _machine_code(reader: _Reader) -> int:
    kind, code, children = _function(reader)
    own = 0 if kind == _BYTECODE else len(code)
    return own + sum(_machine_code(reader) for _ in range(children))


def _at_functions(mpy: bytes) -> tuple[_Reader, list[int]]:
    """A reader that has come to the functions, and the kinds of the module's objects."""
    reader = _Reader(mpy)
    reader.at = 4
    names, objects = reader.number(), reader.number()
    for _ in range(names):
        reader.skip_name()
    return reader, [reader.object_kind() for _ in range(objects)]


def _children(reader: _Reader) -> Iterator[tuple[int, bytes]]:
    """Kind and code of each function and class body that the module defines."""
    for _ in range(_function(reader)[2]):
        kind, code, children = _function(reader)
        _skip(reader, children)
        yield kind, code


def _skip(reader: _Reader, functions: int) -> None:
    """Read past functions with all that they define."""
    for _ in range(functions):
        _skip(reader, _function(reader)[2])


def _function(reader: _Reader) -> tuple[int, bytes, int]:
    """Kind, code, and how many functions follow that this one defines."""
    head = reader.number()
    kind, has_children = head & 3, bool(head & 4)
    code = reader.bytes(head >> 3)
    if kind != _BYTECODE:
        flags = reader.number()  # of native Python functions: the offset of the prelude
        if kind == _VIPER and flags & _SCOPE_EXTRAS:
            raise MpyError("viper code with data or relocations is not read here")
        if kind == _ASM:
            reader.number(), reader.number()
    return kind, code, reader.number() if has_children else 0
