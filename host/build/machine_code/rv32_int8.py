"""RV32IM: keys and values into int8 caches, the core of the twin in host/build/int8_kernels.py."""

from __future__ import annotations

from host.build.machine_code.rv32 import Rv32Assembler
from host.build.machine_code.rv32_core import each, half_of, load_words, saved


def cache_rows_int8(asm: Rv32Assembler) -> None:
    """Words: x [2, heads, head_dim], keys, values, row, heads, head_dim, context, unused."""
    with saved(asm, ("s0", "s1")):
        load_words(asm, {"a1": 0, "a2": 1, "a3": 2, "t0": 3, "a4": 4, "a5": 5, "a6": 6})
        asm.mul("a7", "a6", "a5")
        asm.mul("t1", "a7", "a4")
        asm.add("t1", "t1", "t0")  # the row's shift, behind all rows
        asm.sub("a7", "a7", "a5")  # bytes between two heads of a cache
        asm.mul("t0", "t0", "a5")
        asm.slli("a5", "a5", 2)  # bytes of a head of x
        asm.add("a0", "a2", "t1")
        asm.add("a2", "a2", "t0")
        asm.add("s1", "a3", "t1")
        asm.add("a3", "a3", "t0")
        asm.li("t4", 2)
        asm.label("cache")
        asm.mv("t3", "a4")
        asm.beqz("t3", "next")
        asm.label("head")
        _narrow_head(asm)
        asm.add("a2", "a2", "a7")
        asm.add("a0", "a0", "a6")
        asm.addi("t3", "t3", -1)
        asm.bnez("t3", "head")
        asm.label("next")
        asm.mv("a2", "a3")
        asm.mv("a0", "s1")
        asm.addi("t4", "t4", -1)
        asm.bnez("t4", "cache")


def _narrow_head(asm: Rv32Assembler) -> None:
    """Writes a head's int8 row from a2 on, and its shift to a0; its numbers begin at a1 and take
    a5 bytes. a1 and a2 are behind them then; changes t0, t1, t2, t5, t6 and s0."""
    asm.add("t2", "a1", "a5")
    asm.li("t5", 0)

    def magnitude(i: int) -> None:
        asm.lw("t0", 4 * i, "a1")
        asm.srai("t1", "t0", 31)
        asm.xor("t0", "t0", "t1")
        asm.sub("t0", "t0", "t1")
        asm.or_("t5", "t5", "t0")  # as long as the largest of them

    each(asm, {"a1": 4}, "t2", "t6", magnitude)
    asm.sub("a1", "a1", "a5")
    asm.li("t1", 0)
    asm.li("t0", 127)
    asm.ble("t5", "t0", "short")
    asm.label("too long")
    asm.srai("t5", "t5", 1)
    asm.addi("t1", "t1", 1)
    asm.bgt("t5", "t0", "too long")
    asm.label("short")
    asm.sb("t1", 0, "a0")
    half_of(asm, "t5", "t1")
    asm.li("t0", 128)  # what numbers are stored with
    asm.sll("t0", "t0", "t1")
    asm.add("t5", "t5", "t0")

    def number(i: int) -> None:
        asm.lw("t0", 4 * i, "a1")
        asm.add("t0", "t0", "t5")
        asm.sra("t0", "t0", "t1")
        asm.srli("s0", "t0", 8)
        asm.sub("t0", "t0", "s0")  # 255 for 256, which rounding up may reach
        asm.sb("t0", i, "a2")

    each(asm, {"a1": 4, "a2": 1}, "t2", "t6", number)
