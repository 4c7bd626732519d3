"""Reads a .mpy file's viper functions, and gives some of them other machine code.

The layout is that of py/persistentcode.c in MicroPython 1.23 to 1.29 (version 6.3): numbers are
big-endian groups of seven bits; a file is a header, the names (qstrs), the objects, and a tree of
functions. The loader copies the code of a native function unexamined into memory that can be
executed (`load_raw_code`, `MP_PLAT_COMMIT_EXEC`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

VERSION = 6
# Kinds of objects; below the strings come None, False, True and Ellipsis, which have no data.
_FUN_TABLE, _STR, _BYTES, _TUPLE = 0, 5, 6, 10
BYTECODE, VIPER, _ASM = 0, 2, 3
_HEADER_SIZE = 4
# Of a viper function whose code comes with data or relocations: none of ours has any.
_SCOPE_EXTRAS = 0x10 | 0x20 | 0x40


class MpyError(Exception):
    """A .mpy file is malformed or unexpected; the message says why."""


@dataclass(frozen=True)
class ViperFunction:
    """A viper function of a module.

    parameters: the kind of each, as its annotation says (`ptr8`, `ptr16`, `ptr32`, `int`, `uint`;
    `object` without one); has_result: whether it returns a number; code: what the compiler made
    of it; table_slot: the index, among the module's objects, of the table of MicroPython's
    functions; names: the index of each of the module's names that are not MicroPython's own.
    """

    name: str
    parameters: tuple[str, ...]
    has_result: bool
    code: bytes
    table_slot: int
    names: Mapping[str, int]


@dataclass(frozen=True)
class _Function:
    """A function of the file: where its record begins and ends, without its children."""

    begin: int
    end: int
    kind: int
    code: bytes
    children: int


class MpyReader:
    """Reads a file from its header on. Raises MpyError if the file ends too soon."""

    def __init__(self, data: bytes) -> None:
        if data[:2] != bytes([ord("M"), VERSION]):
            raise MpyError(f"not a .mpy file of version {VERSION}")
        self.data, self.at = data, _HEADER_SIZE
        names, objects = self.number(), self.number()
        self.names = [self._name() for _ in range(names)]
        self.object_kinds = [self._object() for _ in range(objects)]

    def bytes(self, count: int) -> bytes:
        """Returns the next bytes."""
        taken = self.data[self.at : self.at + count]
        if len(taken) != count:
            raise MpyError(f"the .mpy file ends at byte {self.at}, in the middle of its data")
        self.at += count
        return taken

    def number(self) -> int:
        """Returns the next number."""
        value = 0
        while True:
            byte = self.bytes(1)[0]
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value

    def function(self) -> _Function:
        """Reads one function's record; those that it defines follow it."""
        begin = self.at
        head = self.number()
        kind, code = head & 3, self.bytes(head >> 3)
        if kind != BYTECODE:
            flags = self.number()  # of native Python functions: the offset of the prelude
            if kind == VIPER and flags & _SCOPE_EXTRAS:
                raise MpyError("viper code with data or relocations is not read here")
            if kind == _ASM:
                self.number(), self.number()
        return _Function(begin, self.at, kind, code, self.number() if head & 4 else 0)

    def _name(self) -> str:
        length = self.number()
        if length & 1:  # the number of a name that every MicroPython has
            return ""
        return self.bytes((length >> 1) + 1)[:-1].decode()

    def _object(self) -> int:
        kind = self.bytes(1)[0]
        if kind > _TUPLE:
            raise MpyError(f"an object of unknown kind {kind} in the .mpy file")
        if kind >= _STR:
            length = self.number()
            if kind == _TUPLE:
                for _ in range(length):
                    self._object()
            else:
                self.bytes(length + (kind in (_STR, _BYTES)))
        return kind


def viper_functions(mpy: bytes, source: str) -> dict[str, ViperFunction]:
    """Returns the viper functions at a module's top level by name; source: that of the module.

    The file keeps functions in the order of the source, without names. Of two with the same name,
    as in both branches of an `if`, the first viper one counts. Raises MpyError if the file cannot
    be compiled from the source.
    """
    reader = MpyReader(mpy)
    kinds = reader.object_kinds
    slot = kinds.index(_FUN_TABLE) if _FUN_TABLE in kinds else 0
    names = {name: index for index, name in enumerate(reader.names) if name}
    found: dict[str, ViperFunction] = {}
    for node, function in _paired(reader, source):
        if function.kind == VIPER and isinstance(node, ast.FunctionDef):
            found.setdefault(
                node.name,
                ViperFunction(
                    node.name,
                    tuple(_kind(argument) for argument in node.args.args),
                    node.returns is not None,
                    function.code,
                    slot,
                    names,
                ),
            )
    return found


def replace_code(mpy: bytes, source: str, codes: Mapping[str, bytes]) -> bytes:
    """Returns the .mpy with other machine code in viper functions, given by name; source: that of
    the module. Raises MpyError if there is no such function."""
    reader = MpyReader(mpy)
    out, copied, left = bytearray(), 0, dict(codes)
    for node, function in _paired(reader, source):
        if function.kind == VIPER and node.name in left:
            code = left.pop(node.name)
            head_size = len(_encoded(len(function.code) << 3))
            out += mpy[copied : function.begin]
            out += _encoded(len(code) << 3 | mpy[function.begin + head_size - 1] & 7) + code
            copied = function.begin + head_size + len(function.code)
    if left:
        raise MpyError(f"no viper function {', '.join(left)} in the .mpy file")
    return bytes(out + mpy[copied:])


def _paired(
    reader: MpyReader, source: str
) -> Iterator[tuple[ast.FunctionDef | ast.ClassDef, _Function]]:
    """Yields each function and class that the module defines, in its source and in the file."""
    nodes = _parsed(source)
    count = reader.function().children
    if count != len(nodes):
        raise MpyError(f"{count} functions in the .mpy file, {len(nodes)} in its source")
    for node in nodes:
        function = reader.function()
        _skip(reader, function.children)
        yield node, function
    if reader.at != len(reader.data):
        raise MpyError(f"{len(reader.data) - reader.at} bytes too many in the .mpy file")


@lru_cache(maxsize=64)  # a module is asked for several times, by each set of kernels
def _parsed(source: str) -> list[ast.FunctionDef | ast.ClassDef]:
    """Returns what a module's source defines at its top level."""
    return list(_definitions(ast.parse(source).body))


def _definitions(statements: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Yields what a module defines at its top level, also in branches of its statements."""
    for node in statements:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node
        elif isinstance(node, ast.If):
            yield from _definitions(node.body)
            yield from _definitions(node.orelse)


def _skip(reader: MpyReader, functions: int) -> None:
    """Reads past functions with everything that they define."""
    for _ in range(functions):
        _skip(reader, reader.function().children)


def _kind(argument: ast.arg) -> str:
    return argument.annotation.id if isinstance(argument.annotation, ast.Name) else "object"


def _encoded(number: int) -> bytes:
    """Returns a number as encoded in the file."""
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(0x80 | number & 0x7F)
    return bytes(reversed(groups))
