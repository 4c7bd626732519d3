"""Rows of a cache as RV32IM attention reads them: int16, or int8 with a shift for each row."""

from __future__ import annotations

from typing import NamedTuple

from host.build.machine_code.rv32 import Rv32Assembler
from host.build.machine_code.rv32_core import each

REACH = 2047  # of a load's offset
# In the stack's frame of `attend`: the address of its argument words, what is left of `rows`, and
# where these end.
WORDS_AT, ROWS_AT, LAST_AT = 0, 4, 16


class Rows(NamedTuple):
    """Rows of a cache: their elements, and whether these are int8, of which each row has a shift
    behind all rows."""

    size: int
    is_int8: bool

    @property
    def width(self) -> int:
        """The bytes of an element."""
        return 1 if self.is_int8 else 2

    @property
    def stride(self) -> int:
        """The bytes of a row."""
        return self.width * self.size

    def is_reached(self, positions: int, elements: int) -> bool:
        """Returns whether a load's offset reaches the first elements of a position so many further
        on."""
        return positions * self.stride + self.width * elements <= REACH

    def load(self, asm: Rv32Assembler, to: str, position: int, element: int, base: str) -> None:
        """to = an element as it is stored, of a position so many further on."""
        instruction = asm.lbu if self.is_int8 else asm.lhu
        instruction(to, position * self.stride + self.width * element, base)

    def find(self, asm: Rv32Assembler, cache: int, register: str, shifts: str = "") -> None:
        """register = where the head's rows begin in a cache, shifts = where their shifts do; a0 =
        the words; changes t0, t1."""
        asm.lw("a0", WORDS_AT, "sp")
        asm.lw("t0", ROWS_AT, "sp")
        asm.lw("t0", 0, "t0")
        if shifts:
            asm.lw(shifts, LAST_AT, "sp")
            asm.lw(shifts, 0, shifts)  # how many rows the cache has
            asm.li("t1", self.stride)
            asm.mul(shifts, shifts, "t1")
            asm.add(shifts, shifts, "t0")
        asm.li("t1", self.stride)
        asm.mul("t0", "t0", "t1")
        asm.lw(register, 4 * cache, "a0")
        if shifts:
            asm.add(shifts, shifts, register)
        asm.add(register, register, "t0")


def find_offset(asm: Rv32Assembler, offset: str) -> None:
    """offset = what int8 keys, stored plus 128, add to a score: 128 times the sum of the query,
    which lies from a2 to a6; changes a7, t0, t6."""
    asm.li(offset, 0)
    asm.mv("a7", "a2")

    def element(i: int) -> None:
        asm.lw("t0", 4 * i, "a7")
        asm.add(offset, offset, "t0")

    each(asm, {"a7": 4}, "a6", "t6", element)
    asm.slli(offset, offset, 7)
