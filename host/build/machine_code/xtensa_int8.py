"""Xtensa: keys and values into int8 caches, the core of the twin in host/build/int8_kernels.py."""

from __future__ import annotations

from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_core import each, frame, half_of


def cache_rows_int8(asm: XtensaAssembler) -> None:
    """Words: x [2, heads, head_dim], keys, values, row, heads, head_dim, context, unused."""
    with frame(asm, {"a3": 0, "a4": 1, "a5": 2, "a6": 3, "a7": 4, "a8": 5, "a9": 6}, 16):
        asm.mull("a10", "a9", "a8")
        asm.mull("a11", "a10", "a7")
        asm.add("a11", "a11", "a6")  # the row's shift, behind all rows
        asm.sub("a10", "a10", "a8")  # bytes between two heads of a cache
        asm.mull("a6", "a6", "a8")
        asm.s32i("a7", "a1", 0)
        asm.add("a13", "a5", "a11")
        asm.s32i("a13", "a1", 4)  # the shift of values
        asm.add("a11", "a4", "a11")
        asm.add("a4", "a4", "a6")
        asm.add("a5", "a5", "a6")
        asm.movi("a2", 2)
        asm.label("cache")
        asm.l32i("a7", "a1", 0)
        asm.beqz("a7", "next")
        asm.label("head")
        _narrow_head(asm)
        asm.add("a4", "a4", "a10")
        asm.add("a11", "a11", "a9")
        asm.addi("a7", "a7", -1)
        asm.bnez("a7", "head")
        asm.label("next")
        asm.mov("a4", "a5")
        asm.l32i("a11", "a1", 4)
        asm.addi("a2", "a2", -1)
        asm.bnez("a2", "cache")


def _narrow_head(asm: XtensaAssembler) -> None:
    """Writes a head's int8 row from a4 on, and its shift to a11; its a8 numbers begin at a3. a3
    and a4 are behind them then; changes a6, a12 to a15 and SAR."""
    asm.movi("a12", 127)
    asm.mov("a6", "a3")

    def magnitude(i: int) -> None:
        asm.l32i("a13", "a6", 4 * i)
        asm.abs("a13", "a13")
        asm.or_("a12", "a12", "a13")  # as long as the largest of them

    asm.mov("a15", "a8")
    each(asm, {"a6": 4}, "a15", "a14", magnitude)
    asm.nsau("a12", "a12")
    asm.movi("a13", 32 - 7)
    asm.sub("a12", "a13", "a12")
    asm.s8i("a12", "a11", 0)
    half_of(asm, "a13", "a12")
    asm.movi("a14", 128)  # what numbers are stored with
    asm.sll("a14", "a14")
    asm.add("a13", "a13", "a14")
    asm.ssr("a12")
    asm.movi("a12", 255)

    def number(i: int) -> None:
        asm.l32i("a14", "a3", 4 * i)
        asm.add("a14", "a14", "a13")
        asm.sra("a14", "a14")
        asm.min("a14", "a14", "a12")  # rounding up may reach 256
        asm.s8i("a14", "a4", i)

    asm.mov("a6", "a8")
    each(asm, {"a3": 4, "a4": 1}, "a6", "a15", number)
