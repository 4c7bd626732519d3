"""RV32IM kernels of a chip that keeps the residual stream: the cores of the twins in
firmware/compute/norms.py, and of protocol/sums.py."""

from __future__ import annotations

from host.build.machine_code.rv32 import Rv32Assembler
from host.build.machine_code.rv32_core import clamp, each, end_of, half_of, load_words, saved
from host.build.machine_code.rv32_elements import scale


def norm(asm: Rv32Assembler) -> None:
    """Words: residual, unused, gain u16, offset in bytes, x, n, shift, epsilon, limit."""
    with saved(asm, ("s0", "s1", "s2", "s3")):
        load_words(asm, {"a1": 0, "a2": 2, "t0": 3, "a3": 4, "a4": 5, "a5": 6, "a6": 7, "a7": 8})
        asm.add("a2", "a2", "t0")
        asm.mv("s0", "a1")
        asm.mv("s2", "a4")
        asm.slli("t0", "a4", 2)
        asm.add("s1", "a1", "t0")  # where the residual ends
        asm.add("a4", "a3", "t0")  # and x
        _find_shift(asm)
        _add_squares(asm)
        _find_root(asm)
        half_of(asm, "t4", "a5")
        asm.slli("t5", "a7", 1)
        asm.lui("s2", 8)  # what gains are stored with
        asm.lui("s3", 4)

        def element(i: int) -> None:
            asm.lw("t0", 4 * i, "a3")
            asm.lhu("t1", 2 * i, "a2")
            asm.mul("t0", "t0", "s0")
            asm.sub("t1", "t1", "s2")
            asm.add("t0", "t0", "s3")
            asm.srai("t0", "t0", 15)
            asm.mul("t0", "t0", "t1")
            asm.add("t0", "t0", "t4")
            asm.sra("t0", "t0", "a5")
            clamp(asm, "t0", "a7", "t5", "t1")
            asm.sw("t0", 4 * i, "a3")

        asm.sub("a3", "a4", "t3")
        each(asm, {"a3": 4, "a2": 2}, "a4", "t6", element)


def _find_shift(asm: Rv32Assembler) -> None:
    """s3 = the residual's shift to 15 bits, t3 = ceil(log2 n); a1 is at its begin again."""
    asm.li("t2", 0)

    def element(i: int) -> None:
        asm.lw("t0", 4 * i, "a1")
        asm.srai("t1", "t0", 31)
        asm.xor("t0", "t0", "t1")
        asm.sub("t0", "t0", "t1")
        asm.or_("t2", "t2", "t0")  # as long as the largest of them

    each(asm, {"a1": 4}, "s1", "t6", element)
    asm.mv("a1", "s0")
    asm.li("s3", 0)
    asm.li("t1", 32767)
    asm.ble("t2", "t1", "short")
    asm.label("too long")
    asm.srai("t2", "t2", 1)
    asm.addi("s3", "s3", 1)
    asm.bgt("t2", "t1", "too long")
    asm.label("short")
    asm.li("t3", 0)
    asm.li("t0", 1)
    asm.bge("t0", "s2", "log")
    asm.label("double")
    asm.slli("t0", "t0", 1)
    asm.addi("t3", "t3", 1)
    asm.blt("t0", "s2", "double")
    asm.label("log")


def _add_squares(asm: Rv32Assembler) -> None:
    """x = the residual of 15 bits; t2 = the sum of its squares / n, and epsilon; t3 = 4 n."""
    half_of(asm, "t4", "s3")
    asm.slli("t0", "s3", 1)
    asm.add("t0", "t0", "t3")
    asm.sra("t2", "a6", "t0")
    asm.li("t5", 32767)

    def element(i: int) -> None:
        fits = asm.unique("fits")
        asm.lw("t0", 4 * i, "a1")
        asm.add("t0", "t0", "t4")
        asm.sra("t0", "t0", "s3")
        asm.ble("t0", "t5", fits)  # rounding up may reach 2**15
        asm.mv("t0", "t5")
        asm.label(fits)
        asm.sw("t0", 4 * i, "a3")
        asm.mul("t0", "t0", "t0")
        asm.sra("t0", "t0", "t3")
        asm.add("t2", "t2", "t0")

    each(asm, {"a1": 4, "a3": 4}, "s1", "t6", element)
    asm.slli("t3", "s2", 2)
    asm.bgt("t2", "zero", "positive")
    asm.li("t2", 1)
    asm.label("positive")


def _find_root(asm: Rv32Assembler) -> None:
    """s0 = 2**29 / the root of t2 brought to [2**28, 2**30); a5 makes up for that."""
    asm.srai("t0", "t2", 30)
    asm.beqz("t0", "in 30 bits")
    asm.srai("t2", "t2", 2)
    asm.addi("a5", "a5", 1)
    asm.label("in 30 bits")
    asm.lui("t0", 0x10000)
    asm.bge("t2", "t0", "large")
    asm.label("small")
    asm.slli("t2", "t2", 2)
    asm.addi("a5", "a5", -1)
    asm.blt("t2", "t0", "small")
    asm.label("large")
    asm.lui("s0", 4)  # of 15 bits, of which the first is set
    asm.lui("t0", 2)
    asm.label("bit")
    asm.add("t1", "s0", "t0")
    asm.mul("t4", "t1", "t1")
    asm.bgt("t4", "t2", "too large")
    asm.mv("s0", "t1")
    asm.label("too large")
    asm.srli("t0", "t0", 1)
    asm.bnez("t0", "bit")
    asm.lui("t0", 0x20000)
    asm.div("s0", "t0", "s0")


def add_rescaled(asm: Rv32Assembler) -> None:
    """Words: residual, unused, sums, multipliers u16, offset in bytes, n, shift."""
    _add_rescaled(asm)


def add_coarser(asm: Rv32Assembler) -> None:
    """Words: as add_rescaled's, but shift is DROP larger for each bit that the residual loses."""
    _add_rescaled(asm, is_coarser=True)


def _add_rescaled(asm: Rv32Assembler, is_coarser: bool = False) -> None:
    load_words(asm, {"a1": 0, "a2": 2, "a3": 3, "t0": 4, "a4": 5, "a5": 6})
    asm.add("a3", "a3", "t0")
    end_of(asm, "a4", "a1")
    if is_coarser:
        _drop_bits(asm)
    asm.addi("a5", "a5", -15)
    half_of(asm, "a6", "a5")
    asm.li("a7", 0xFFFFFF)  # arithmetic.RESIDUAL_LIMIT
    asm.slli("t5", "a7", 1)

    def element(i: int) -> None:
        asm.lw("t0", 4 * i, "a2")
        asm.lhu("t1", 2 * i, "a3")
        asm.lw("t2", 4 * i, "a1")
        scale(asm, "t0", "t1", "a6", "a5")
        asm.add("t0", "t0", "t2")
        clamp(asm, "t0", "a7", "t5", "t3")
        asm.sw("t0", 4 * i, "a1")

    each(asm, {"a1": 4, "a2": 4, "a3": 2}, "a4", "t6", element)
    asm.ret()


def _drop_bits(asm: Rv32Assembler) -> None:
    """Shifts the residual right by what a5 has above 6 bits, half-up; a5 = the rest."""
    asm.srli("t0", "a5", 6)
    asm.beqz("t0", "as fine")
    asm.andi("a5", "a5", 63)
    half_of(asm, "a6", "t0")
    asm.mv("a7", "a1")

    def element(i: int) -> None:
        asm.lw("t1", 4 * i, "a1")
        asm.add("t1", "t1", "a6")
        asm.sra("t1", "t1", "t0")
        asm.sw("t1", 4 * i, "a1")

    each(asm, {"a1": 4}, "a4", "t6", element, 1)
    asm.mv("a1", "a7")
    asm.label("as fine")


def best(asm: Rv32Assembler) -> None:
    """Words: logits, n; the index of the largest, of equal ones the lowest."""
    load_words(asm, {"a1": 0, "a2": 1})
    asm.mv("a3", "a1")
    end_of(asm, "a2", "a1")
    asm.lw("a4", 0, "a1")
    asm.mv("a5", "a1")

    def element(i: int) -> None:
        smaller = asm.unique("smaller")
        asm.lw("t0", 4 * i, "a1")
        asm.ble("t0", "a4", smaller)
        asm.mv("a4", "t0")
        asm.addi("a5", "a1", 4 * i)
        asm.label(smaller)

    each(asm, {"a1": 4}, "a2", "t6", element)
    asm.sub("a0", "a5", "a3")
    asm.srli("a0", "a0", 2)
    asm.ret()


def contribute(asm: Rv32Assembler) -> None:
    """Words: total, first, values, own, count."""
    load_words(asm, {"a1": 0, "t0": 1, "a2": 2, "a3": 3, "a4": 4})
    asm.slli("t0", "t0", 2)
    asm.add("a1", "a1", "t0")
    end_of(asm, "a4", "a2")

    def element(i: int) -> None:
        asm.lw("t0", 4 * i, "a2")
        asm.lw("t1", 4 * i, "a1")
        asm.sw("t0", 4 * i, "a3")
        asm.add("t1", "t1", "t0")
        asm.sw("t1", 4 * i, "a1")

    each(asm, {"a2": 4, "a1": 4, "a3": 4}, "a4", "t6", element)
    asm.ret()


def clear(asm: Rv32Assembler) -> None:
    """Words: total, count."""
    load_words(asm, {"a1": 0, "a2": 1})
    end_of(asm, "a2", "a1")
    each(asm, {"a1": 4}, "a2", "t6", lambda i: asm.sw("zero", 4 * i, "a1"), 8)
    asm.ret()
