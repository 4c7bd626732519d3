"""RV32IM kernels that go over vectors: the cores of the twins in firmware/compute/kernels.py,
whose docstrings state shapes and values."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from host.build.machine_code.rv32 import Rv32Assembler
from host.build.machine_code.rv32_core import clamp, each, end_of, half_of, load_words, saved

_MULTIPLIER_BITS = 17  # by which a multiplier below 2**15 is moved up, so that the upper word of
# its product with a sum is sum * multiplier >> 15, floored: mulhsu takes a sign and none


def load_int16s(asm: Rv32Assembler) -> None:
    """Words: src, unused, offset in bytes, out, n."""

    def half(i: int) -> None:
        asm.lh("t0", 2 * i, "a1")
        asm.sw("t0", 4 * i, "a2")

    def octets(i: int) -> None:
        asm.lb("t0", 2 * i + 1, "a1")
        asm.lbu("t1", 2 * i, "a1")
        asm.slli("t0", "t0", 8)
        asm.or_("t0", "t0", "t1")
        asm.sw("t0", 4 * i, "a2")

    _each_int16(asm, {"a1": 0, "t0": 2, "a2": 3, "a3": 4}, half, octets)


def store_int16s(asm: Rv32Assembler) -> None:
    """Words: src, unused, offset in bytes, out, n."""

    def half(i: int) -> None:
        asm.lw("t0", 4 * i, "a2")
        asm.sh("t0", 2 * i, "a1")

    def octets(i: int) -> None:
        asm.lw("t0", 4 * i, "a2")
        asm.sb("t0", 2 * i, "a1")
        asm.srli("t0", "t0", 8)
        asm.sb("t0", 2 * i + 1, "a1")

    _each_int16(asm, {"a2": 0, "t0": 2, "a1": 3, "a3": 4}, half, octets)


def _each_int16(
    asm: Rv32Assembler,
    words: Mapping[str, int],
    half: Callable[[int], None],
    octets: Callable[[int], None],
) -> None:
    """Moves each of a3 numbers between int32 at a2 and int16 from t0 bytes behind a1 on: by `half`
    where these lie at even addresses, else by `octets`. words: of these registers."""
    load_words(asm, words)
    asm.add("a1", "a1", "t0")
    end_of(asm, "a3", "a2")
    asm.andi("t0", "a1", 1)
    asm.bnez("t0", "odd")
    each(asm, {"a2": 4, "a1": 2}, "a3", "t6", half)
    asm.ret()
    asm.label("odd")
    each(asm, {"a2": 4, "a1": 2}, "a3", "t6", octets)
    asm.ret()


def rescale(asm: Rv32Assembler) -> None:
    """Words: x, unused, multipliers u16, offset in bytes, parts [count, 3], count."""
    load_words(asm, {"a1": 0, "a2": 2, "t0": 3, "a3": 4, "a4": 5})
    asm.add("a2", "a2", "t0")
    asm.beqz("a4", "no part")
    asm.label("part")
    for place, register in enumerate(("t0", "t1", "a5")):
        asm.lw(register, 4 * place, "a3")
    asm.slli("t0", "t0", 2)
    asm.add("a6", "a1", "t0")  # where the part ends
    asm.addi("a7", "t1", -15)
    half_of(asm, "t5", "a7")
    asm.slli("t4", "a5", 1)

    def element(i: int) -> None:
        asm.lw("t0", 4 * i, "a1")
        asm.lhu("t1", 2 * i, "a2")
        scale(asm, "t0", "t1", "t5", "a7")
        clamp(asm, "t0", "a5", "t4", "t2")
        asm.sw("t0", 4 * i, "a1")

    each(asm, {"a1": 4, "a2": 2}, "a6", "t6", element)
    asm.addi("a3", "a3", 12)
    asm.addi("a4", "a4", -1)
    asm.bnez("a4", "part")
    asm.label("no part")
    asm.ret()


def scale(asm: Rv32Assembler, value: str, multiplier: str, half: str, shift: str) -> None:
    """value = value * multiplier / 2**(15 + shift), half-up; half: of 2**shift; changes
    multiplier."""
    asm.slli(multiplier, multiplier, _MULTIPLIER_BITS)
    asm.mulhsu(value, value, multiplier)
    asm.add(value, value, half)
    asm.sra(value, value, shift)


def rope_row(asm: Rv32Assembler) -> None:
    """Words: table, unused, position, row, pairs."""
    load_words(asm, {"a1": 0, "t0": 2, "a2": 3, "a4": 4})
    asm.slli("t1", "a4", 2)  # bytes of a row of the table
    asm.srli("t2", "t0", 5)
    asm.addi("t2", "t2", 32)
    asm.mul("t2", "t2", "t1")
    asm.add("a3", "a1", "t2")  # of far positions
    asm.andi("t0", "t0", 31)
    asm.mul("t0", "t0", "t1")
    asm.add("a1", "a1", "t0")  # of near ones
    asm.slli("a4", "a4", 3)
    asm.add("a4", "a4", "a2")
    asm.lui("a5", 4)  # 2**14
    asm.lui("a6", 2)  # half of it

    def pair(i: int) -> None:
        for register, place, base in (("t0", 0, "a1"), ("t1", 2, "a1"), ("t2", 0, "a3"),
                                      ("t3", 2, "a3")):  # fmt: skip
            asm.lhu(register, 4 * i + place, base)
            asm.sub(register, register, "a5")
        _turn(asm, "t0", "t1", "t2", "t3")
        asm.sw("t4", 8 * i, "a2")
        asm.sw("t5", 8 * i + 4, "a2")

    each(asm, {"a2": 8, "a1": 4, "a3": 4}, "a4", "t6", pair, 2)
    asm.ret()


def _turn(asm: Rv32Assembler, x: str, y: str, cosine: str, sine: str) -> None:
    """t4, t5 = (x, y) turned, half-up; a6: half of 2**14; changes a7."""
    asm.mul("t4", x, cosine)
    asm.mul("a7", y, sine)
    asm.add("t4", "t4", "a6")
    asm.sub("t4", "t4", "a7")
    asm.mul("t5", x, sine)
    asm.mul("a7", y, cosine)
    asm.add("t5", "t5", "a6")
    asm.add("t5", "t5", "a7")
    asm.srai("t4", "t4", 14)
    asm.srai("t5", "t5", 14)


def rotate(asm: Rv32Assembler) -> None:
    """Words: x, unused, table [pairs, 2], pairs, parts [count, 3], count."""
    with saved(asm, ("s0", "s1", "s2", "s3")):
        load_words(asm, {"a1": 0, "a2": 2, "t0": 3, "a3": 4, "a4": 5})
        asm.slli("t0", "t0", 3)
        asm.add("a5", "a2", "t0")
        asm.lui("a6", 2)
        asm.beqz("a4", "no part")
        asm.label("part")
        asm.lw("t0", 0, "a3")
        asm.lw("s0", 8, "a3")
        asm.slli("t0", "t0", 2)
        asm.add("s2", "a1", "t0")  # where the part ends
        asm.slli("s1", "s0", 1)
        asm.bgeu("a1", "s2", "no head")
        asm.label("head")
        asm.mv("s3", "a2")

        def pair(i: int) -> None:
            asm.lw("t0", 8 * i, "a1")
            asm.lw("t1", 8 * i + 4, "a1")
            asm.lw("t2", 8 * i, "s3")
            asm.lw("t3", 8 * i + 4, "s3")
            _turn(asm, "t0", "t1", "t2", "t3")
            clamp(asm, "t4", "s0", "s1", "a7")
            clamp(asm, "t5", "s0", "s1", "a7")
            asm.sw("t4", 8 * i, "a1")
            asm.sw("t5", 8 * i + 4, "a1")

        each(asm, {"s3": 8, "a1": 8}, "a5", "t6", pair, 2)
        asm.bltu("a1", "s2", "head")
        asm.label("no head")
        asm.addi("a3", "a3", 12)
        asm.addi("a4", "a4", -1)
        asm.bnez("a4", "part")
        asm.label("no part")


def cache_rows(asm: Rv32Assembler) -> None:
    """Words: x [2, heads, head_dim], keys, values, row, heads, head_dim, context, zero."""
    load_words(asm, {"a1": 0, "a2": 1, "a3": 2, "t0": 3, "a4": 4, "a5": 5, "a6": 6, "a7": 7})
    asm.slli("t5", "a5", 2)  # bytes of a head of x
    asm.slli("a5", "a5", 1)  # and of a cache
    asm.mul("t0", "t0", "a5")
    asm.add("a2", "a2", "t0")
    asm.add("a3", "a3", "t0")
    asm.mul("a6", "a6", "a5")
    asm.sub("a6", "a6", "a5")  # bytes between two heads of a cache
    asm.li("t4", 2)
    asm.label("cache")
    asm.mv("t3", "a4")
    asm.beqz("t3", "next")
    asm.label("head")
    asm.add("t2", "a1", "t5")

    def element(i: int) -> None:
        asm.lw("t0", 4 * i, "a1")
        asm.add("t0", "t0", "a7")
        asm.sh("t0", 2 * i, "a2")

    each(asm, {"a1": 4, "a2": 2}, "t2", "t6", element)
    asm.add("a2", "a2", "a6")
    asm.addi("t3", "t3", -1)
    asm.bnez("t3", "head")
    asm.label("next")
    asm.mv("a2", "a3")
    asm.lui("a7", 8)  # what values are stored with
    asm.addi("t4", "t4", -1)
    asm.bnez("t4", "cache")
    asm.ret()


def gate(asm: Rv32Assembler) -> None:
    """Words: gates, unused, up, table, n, index shift, shift, limit."""
    with saved(asm, ("s0", "s1")):
        load_words(asm, {"a1": 0, "a2": 2, "a3": 3, "a4": 4, "a5": 5, "a6": 6, "a7": 7})
        end_of(asm, "a4", "a1")
        asm.slli("s0", "a7", 1)
        asm.li("t0", 17)  # where all gates of 16 bits are in the middle of the table as well
        asm.ble("a5", "t0", "index shift")
        asm.mv("a5", "t0")
        asm.label("index shift")
        half_of(asm, "t3", "a5")
        asm.li("t0", 512)
        asm.sll("t0", "t0", "a5")
        asm.add("t3", "t3", "t0")
        half_of(asm, "t4", "a6")
        asm.lui("t5", 4)
        asm.li("s1", 1023)

        def element(i: int) -> None:
            inside = asm.unique("inside")
            asm.lw("t0", 4 * i, "a1")
            asm.add("t1", "t0", "t3")
            asm.sra("t1", "t1", "a5")
            asm.bleu("t1", "s1", inside)
            asm.srai("t1", "t1", 31)
            asm.xori("t1", "t1", -1)
            asm.and_("t1", "t1", "s1")
            asm.label(inside)
            asm.slli("t1", "t1", 1)
            asm.add("t1", "t1", "a3")
            asm.lhu("t1", 0, "t1")
            asm.lw("t2", 4 * i, "a2")
            asm.mul("t0", "t0", "t1")
            asm.add("t0", "t0", "t5")
            asm.srai("t0", "t0", 15)
            asm.mul("t0", "t0", "t2")
            asm.add("t0", "t0", "t4")
            asm.sra("t0", "t0", "a6")
            clamp(asm, "t0", "a7", "s0", "t1")
            asm.sw("t0", 4 * i, "a1")

        each(asm, {"a1": 4, "a2": 4}, "a4", "t6", element, 2)
