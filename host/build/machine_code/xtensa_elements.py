"""Xtensa kernels over vectors: the cores of the twins in firmware/compute/kernels.py, whose
docstrings state what they compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_core import clamp, each, frame, half_of, loop


def load_int16s(asm: XtensaAssembler) -> None:
    """Words: src, unused, offset in bytes, out, n."""

    def half(i: int) -> None:
        asm.l16si("a8", "a3", 2 * i)
        asm.s32i("a8", "a5", 4 * i)

    def octets(i: int) -> None:
        asm.l8ui("a8", "a3", 2 * i + 1)
        asm.l8ui("a9", "a3", 2 * i)
        asm.slli("a8", "a8", 24)
        asm.srai("a8", "a8", 16)
        asm.or_("a8", "a8", "a9")
        asm.s32i("a8", "a5", 4 * i)

    _each_int16(asm, {"a3": 2, "a5": 4}, "a3", half, octets)


def store_int16s(asm: XtensaAssembler) -> None:
    """Words: src, unused, offset in bytes, out, n."""

    def half(i: int) -> None:
        asm.l32i("a8", "a3", 4 * i)
        asm.s16i("a8", "a5", 2 * i)

    def octets(i: int) -> None:
        asm.l32i("a8", "a3", 4 * i)
        asm.s8i("a8", "a5", 2 * i)
        asm.srai("a8", "a8", 8)
        asm.s8i("a8", "a5", 2 * i + 1)

    _each_int16(asm, {"a3": 4, "a5": 2}, "a5", half, octets)


def _each_int16(
    asm: XtensaAssembler,
    pointers: Mapping[str, int],
    int16s: str,
    half: Callable[[int], None],
    octets: Callable[[int], None],
) -> None:
    """Moves each number from a3 to a5: by `half` where the int16, from the offset behind `int16s`
    on, lie at even addresses, else by `octets`."""
    with frame(asm, {"a3": 0, "a4": 2, "a5": 3, "a6": 4}):
        asm.add(int16s, int16s, "a4")
        asm.extui("a4", int16s, 0, 1)
        asm.bnez("a4", "odd")
        each(asm, pointers, "a6", "a7", half)
        asm.retw()
        asm.label("odd")
        each(asm, pointers, "a6", "a7", octets)


def rescale(asm: XtensaAssembler) -> None:
    """Words: x, unused, multipliers u16, offset in bytes, parts [count, 3], count."""
    with frame(asm, {"a3": 0, "a4": 2, "a5": 3, "a6": 4, "a7": 5}):
        asm.add("a4", "a4", "a5")
        asm.beqz("a7", "no part")
        asm.label("part")
        asm.l32i("a5", "a6", 0)
        asm.l32i("a8", "a6", 4)
        asm.l32i("a9", "a6", 8)
        asm.neg("a10", "a9")

        def store(i: int) -> None:
            clamp(asm, "a12", "a9", "a10")
            asm.s32i("a12", "a3", 4 * i)

        scale_each(asm, {"a3": 4, "a4": 2}, "a3", "a4", "a8", "a5", store)
        asm.addi("a6", "a6", 12)
        asm.addi("a7", "a7", -1)
        asm.bnez("a7", "part")
        asm.label("no part")


def scale_each(
    asm: XtensaAssembler, pointers: Mapping[str, int], sums: str, multipliers: str, shift: str,
    count: str, use: Callable[[int], None],
) -> None:  # fmt: skip
    """For each of `count` sums: a12 = sum * multiplier / 2**shift, half-up, which use(i) takes.

    16 <= shift <= 45, and it is changed, as are a11 to a15. The product of 47 bits is shifted by
    one bit less, and one is added before the last shift: that is the same number.
    """
    far, done = asm.unique("far"), asm.unique("done")

    def element(i: int, is_near: bool) -> None:
        asm.l32i("a12", sums, 4 * i)
        asm.l16ui("a13", multipliers, 2 * i)
        if is_near:
            asm.mull("a14", "a12", "a13")
        asm.mulsh("a12", "a12", "a13")
        if is_near:
            asm.src("a12", "a12", "a14")
        else:  # of the lower word nothing is left
            asm.sra("a12", "a12")
        asm.addi("a12", "a12", 1)
        asm.srai("a12", "a12", 1)
        use(i)

    asm.addi(shift, shift, -33)
    asm.bgez(shift, far)
    asm.addi(shift, shift, 32)
    asm.ssr(shift)
    each(asm, pointers, count, "a11", partial(element, is_near=True))
    asm.j(done)
    asm.label(far)
    asm.ssr(shift)
    each(asm, pointers, count, "a11", partial(element, is_near=False))
    asm.label(done)


def rope_row(asm: XtensaAssembler) -> None:
    """Words: table u16, unused, position, row, pairs."""
    with frame(asm, {"a3": 0, "a4": 2, "a5": 3, "a6": 4}):
        asm.slli("a7", "a6", 2)  # bytes of a position
        asm.srli("a8", "a4", 5)
        asm.addi("a8", "a8", 32)
        asm.mull("a8", "a8", "a7")
        asm.extui("a4", "a4", 0, 5)
        asm.mull("a4", "a4", "a7")
        asm.add("a4", "a3", "a4")
        asm.add("a3", "a3", "a8")
        asm.set("a7", 1 << 14)
        asm.set("a2", 1 << 13)

        def pair(i: int) -> None:
            for register, base, place in (("a8", "a4", 0), ("a9", "a4", 2), ("a10", "a3", 0),
                                          ("a11", "a3", 2)):  # fmt: skip
                asm.l16ui(register, base, place)
                asm.sub(register, register, "a7")
            _turn(asm, "a2")
            asm.s32i("a12", "a5", 0)
            asm.s32i("a13", "a5", 4)

        each(asm, {"a3": 4, "a4": 4, "a5": 8}, "a6", "", pair, 1)


def _turn(asm: XtensaAssembler, half: str) -> None:
    """a12, a13 = (a8, a9) turned by cosine a10 and sine a11, half-up; changes a14, a15."""
    asm.mull("a12", "a8", "a10")
    asm.mull("a14", "a9", "a11")
    asm.mull("a13", "a8", "a11")
    asm.mull("a15", "a9", "a10")
    asm.add("a12", "a12", half)
    asm.add("a13", "a13", half)
    asm.sub("a12", "a12", "a14")
    asm.add("a13", "a13", "a15")
    asm.srai("a12", "a12", 14)
    asm.srai("a13", "a13", 14)


def rotate(asm: XtensaAssembler) -> None:
    """Words: x, unused, table [pairs, 2], pairs, parts [count, 3], count."""
    with frame(asm, {"a3": 0, "a4": 2, "a5": 3, "a6": 4, "a7": 5}, 16):
        asm.s32i("a4", "a1", 0)
        asm.set("a2", 1 << 13)
        asm.slli("a5", "a5", 3)  # bytes of a head of the table and of x
        asm.beqz("a7", "no part")
        asm.label("part")
        asm.l32i("a8", "a6", 0)
        asm.slli("a8", "a8", 2)
        asm.add("a8", "a8", "a3")
        asm.s32i("a8", "a1", 4)  # where the part ends
        asm.label("head")
        asm.l32i("a8", "a1", 4)
        asm.l32i("a4", "a1", 0)
        asm.bgeu("a3", "a8", "no head")
        asm.srli("a14", "a5", 3)
        with loop(asm, "a14"):
            asm.l32i("a8", "a3", 0)
            asm.l32i("a9", "a3", 4)
            asm.l32i("a10", "a4", 0)
            asm.l32i("a11", "a4", 4)
            _turn(asm, "a2")
            asm.l32i("a8", "a6", 8)
            asm.neg("a9", "a8")
            clamp(asm, "a12", "a8", "a9")
            clamp(asm, "a13", "a8", "a9")
            asm.s32i("a12", "a3", 0)
            asm.s32i("a13", "a3", 4)
            asm.addi("a3", "a3", 8)
            asm.addi("a4", "a4", 8)
        asm.j("head")
        asm.label("no head")
        asm.addi("a6", "a6", 12)
        asm.addi("a7", "a7", -1)
        asm.bnez("a7", "part")
        asm.label("no part")


def cache_rows(asm: XtensaAssembler) -> None:
    """Words: x [2, heads, head_dim], keys, values, row, heads, head_dim, context, zero."""
    with frame(asm, {"a3": 0, "a4": 1, "a5": 2, "a6": 3, "a7": 4, "a8": 5, "a9": 6, "a10": 7}):
        asm.slli("a11", "a8", 1)  # bytes of a head in a row of a cache
        asm.mull("a6", "a6", "a11")
        asm.add("a4", "a4", "a6")
        asm.add("a5", "a5", "a6")
        asm.mull("a9", "a9", "a11")
        asm.sub("a9", "a9", "a11")  # bytes between two heads of a cache
        asm.movi("a2", 2)
        asm.label("cache")
        asm.mov("a12", "a7")
        asm.beqz("a12", "next")
        asm.label("head")
        asm.mov("a13", "a8")

        def element(i: int) -> None:
            asm.l32i("a14", "a3", 4 * i)
            asm.add("a14", "a14", "a10")
            asm.s16i("a14", "a4", 2 * i)

        each(asm, {"a3": 4, "a4": 2}, "a13", "a15", element)
        asm.add("a4", "a4", "a9")
        asm.addi("a12", "a12", -1)
        asm.bnez("a12", "head")
        asm.label("next")
        asm.mov("a4", "a5")
        asm.set("a10", 1 << 15)  # what values are stored with
        asm.addi("a2", "a2", -1)
        asm.bnez("a2", "cache")


def gate(asm: XtensaAssembler) -> None:
    """Words: gates, unused, up, table, n, index shift, shift, limit."""
    with frame(asm, {"a3": 0, "a4": 2, "a5": 3, "a6": 4, "a7": 5, "a8": 6, "a9": 7}, 16):
        asm.s32i("a6", "a1", 0)
        asm.mov("a6", "a9")
        asm.movi("a10", 17)  # where all gates of 16 bits are in the middle of the table as well
        asm.min("a7", "a7", "a10")
        half_of(asm, "a10", "a7")
        asm.movi("a11", 512)
        asm.sll("a11", "a11")
        asm.add("a10", "a10", "a11")
        half_of(asm, "a11", "a8")
        asm.neg("a2", "a6")
        asm.movi("a9", 1023)
        asm.movi("a12", 0)
        asm.l32i("a13", "a1", 0)
        asm.extui("a13", "a13", 0, 1)
        asm.beqz("a13", "even")
        _gates(asm, 1)
        asm.label("even")
        asm.l32i("a13", "a1", 0)
        asm.srli("a13", "a13", 1)
        with loop(asm, "a13"):
            _gates(asm, 2)


def _gates(asm: XtensaAssembler, count: int) -> None:
    """One or two gates: a shift's amount is set once for both."""
    indices, values = ("a13", "a14")[:count], ("a15", "a13")[:count]
    asm.ssr("a7")
    for i, index in enumerate(indices):
        asm.l32i(index, "a3", 4 * i)
        asm.add(index, index, "a10")
        asm.sra(index, index)
        clamp(asm, index, "a9", "a12")
        asm.addx2(index, index, "a5")
    asm.ssr("a8")
    for i, (index, value) in enumerate(zip(indices, values, strict=True)):
        asm.l16ui(index, index, 0)
        asm.l32i(value, "a3", 4 * i)
        asm.mull(value, value, index)
        asm.l32i(index, "a4", 4 * i)
        asm.addmi(value, value, 1 << 14)
        asm.srai(value, value, 15)
        asm.mull(value, value, index)
        asm.add(value, value, "a11")
        asm.sra(value, value)
        clamp(asm, value, "a6", "a2")
        asm.s32i(value, "a3", 4 * i)
    asm.addi("a3", "a3", 4 * count)
    asm.addi("a4", "a4", 4 * count)
