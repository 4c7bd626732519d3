"""Turns the table of Xtensa's instructions into words, and words back into instructions."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from host.build.machine_code import xtensa_table as table
from host.build.machine_code.assembler import AssemblyError

Operand = int | str  # a number, or a register's name


class Kind(NamedTuple):
    """How a number is stored: in how many bits, as which bits, and which number bits stand for.
    Numbers whose bits do not give the same number back are not allowed. prefix: that of the names
    of registers, where it is one."""

    bits: int
    stored: Callable[[int], int]
    meant: Callable[[int], int]
    prefix: str = ""

    def number(self, operand: Operand) -> int | None:
        """Returns the number of an operand, None if it is not of this kind."""
        text = str(operand)
        if not text.startswith(self.prefix) or isinstance(operand, str) != bool(self.prefix):
            return None
        digits = text[len(self.prefix) :]
        value = int(digits) if digits.lstrip("-").isdigit() else -1
        return value if self.meant(self.stored(value) & (1 << self.bits) - 1) == value else None


def _unsigned(bits: int, scale: int = 1) -> Kind:
    return Kind(bits, lambda n: n // scale, lambda raw: raw * scale)


def _signed(bits: int, scale: int = 1) -> Kind:
    return Kind(bits, lambda n: n // scale, lambda raw: (raw - (raw >> bits - 1 << bits)) * scale)


KINDS = {
    **{f"u{bits}": _unsigned(bits) for bits in (2, 4, 5, 8)},
    **{f"s{bits}": _signed(bits) for bits in (8, 12, 18)},
    **{f"u8x{by}": _unsigned(8, by) for by in (2, 4)},
    **{f"u{bits}x{by}": _unsigned(bits, by) for bits, by in ((4, 4), (7, 2), (12, 8))},
    **{f"s{bits}x{by}": _signed(bits, by) for bits, by in ((6, 16), (8, 8), (8, 16), (8, 256))},
    "left": Kind(5, lambda n: 32 - n, lambda raw: 32 - raw if raw else -1),  # of slli
    "width": Kind(4, lambda n: n - 1, lambda raw: raw + 1),  # of extui's field
    "add4": Kind(4, lambda n: 0 if n == -1 else n, lambda raw: raw or -1),  # of addi.n
    "mov7": Kind(7, lambda n: n, lambda raw: raw - 128 if raw >= 96 else raw),  # of movi.n
}  # fmt: skip
_REGISTERS = {
    **dict.fromkeys(("ar", "as", "at"), _unsigned(4)._replace(prefix="a")),
    **dict.fromkeys(("qa", "qb", "qu", "qx", "qy"), _unsigned(3)._replace(prefix="q")),
    **dict.fromkeys(("sr", "ur"), _unsigned(8)),
    "mw": _unsigned(2)._replace(prefix="m"),
    "mx": _unsigned(1)._replace(prefix="m"),
    "my": Kind(1, lambda n: n - 2, lambda raw: raw + 2, "m"),
}
# Operands that name a place in the code.
TARGETS = ("to", "word")


class Field(NamedTuple):
    """Bits of an operand: the lowest's place in the word, and in the operand, and how many."""

    at: int
    low: int
    bits: int


class Instruction(NamedTuple):
    """One line of the table: `mask` has a 1 if `fixed` says what the word's bit is."""

    mnemonic: str
    operands: tuple[str, ...]
    kinds: tuple[Kind, ...]
    size: int
    mask: int
    fixed: int
    fields: tuple[tuple[Field, ...], ...]

    def encode(self, *operands: Operand) -> int:
        """Returns the word with these operands; raises AssemblyError for those that the
        instruction cannot have."""
        if len(operands) != len(self.operands):
            raise AssemblyError(f"{self.mnemonic} takes {len(self.operands)} operands")
        word = self.fixed
        for name, kind, fields, operand in zip(
            self.operands, self.kinds, self.fields, operands, strict=True
        ):
            number = kind.number(operand)
            if number is None:
                raise AssemblyError(f"{self.mnemonic} cannot have {operand} as {name}")
            raw = kind.stored(number)
            for at, low, bits in fields:
                word |= (raw >> low & (1 << bits) - 1) << at
        return word

    def distance(self, place: int, target: int) -> int:
        """Returns the operand by which the instruction at one place names another."""
        if self.operands[-1] == "word":
            return target - (place & ~3) - 4 >> 2
        return target - place - 4

    def decode(self, word: int) -> tuple[int, ...]:
        """Returns the operands of a word of this instruction."""
        return tuple(
            kind.meant(sum((word >> at & (1 << bits) - 1) << low for at, low, bits in fields))
            for kind, fields in zip(self.kinds, self.fields, strict=True)
        )


@cache
def instructions() -> dict[str, Instruction]:
    """Returns all instructions of the table by mnemonic."""
    text = table.BASE + table.DENSITY + table.MAC16 + table.PIE
    lines = re.sub(r"\n +", " ", text).split("\n")
    return {each.mnemonic: each for each in map(_parse, filter(None, lines))}


def find_instruction(word: int, size: int) -> Instruction | None:
    """Returns the instruction of `size` bytes that a word is, None if the table has none."""
    for each in _by_size()[size]:
        if word & each.mask == each.fixed:
            return each
    return None


@cache
def _by_size() -> dict[int, list[Instruction]]:
    known = instructions().values()
    return {size: [each for each in known if each.size == size] for size in (2, 3, 4)}


def _parse(line: str) -> Instruction:
    mnemonic, *parts = line.split()
    # Without operands, the word begins at once.
    named = parts.pop(0).split(",") if not re.fullmatch("[01]+", parts[0]) else []
    names = [name.partition("=")[0] for name in named]
    kinds = [
        KINDS[kind] if kind else _REGISTERS[name]
        for name, _, kind in (each.partition("=") for each in named)
    ]
    fields: dict[str, list[Field]] = {name: [] for name in names}
    at = mask = fixed = 0
    for part in reversed(parts):
        if re.fullmatch("[01]+", part):
            fixed |= int(part, 2) << at
            mask |= (1 << len(part)) - 1 << at
            at += len(part)
            continue
        match = re.fullmatch(r"(\w+)(?:\[(\d+)(?::(\d+))?\])?", part)
        assert match, line
        name, high, low = match.groups()
        top = int(high) if high else kinds[names.index(name)].bits - 1
        bottom = int(low) if low else top if high else 0
        fields[name].append(Field(at, bottom, top - bottom + 1))
        at += top - bottom + 1
    assert at in (16, 24, 32), line
    return Instruction(
        mnemonic, tuple(names), tuple(kinds), at // 8, mask, fixed,
        tuple(tuple(fields[name]) for name in names),
    )  # fmt: skip
