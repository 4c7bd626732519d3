"""Xtensa kernels of a chip that keeps the residual stream: the cores of the twins in
firmware/compute/norms.py, and of protocol/sums.py."""

from __future__ import annotations

from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_core import clamp, each, frame, half_of, loop
from host.build.machine_code.xtensa_elements import scale_each

_RESIDUAL_LIMIT = 0xFFFFFF  # arithmetic.RESIDUAL_LIMIT
_GAIN_ZERO = 1 << 15  # what gains are stored with
_VALUES = ("a12", "a13", "a14", "a15")


def norm(asm: XtensaAssembler) -> None:
    """Words: residual, unused, gain u16, offset in bytes, x, n, shift, epsilon, limit."""
    with frame(asm, {"a3": 0, "a4": 2, "a5": 3, "a6": 4, "a7": 5, "a8": 6, "a9": 7}, 16):
        asm.l32i("a10", "a2", 32)
        asm.s32i("a10", "a1", 0)  # the limit
        asm.add("a4", "a4", "a5")
        _find_shift(asm)
        _add_squares(asm)
        _find_inverse(asm)
        half_of(asm, "a11", "a8")
        asm.ssr("a8")
        asm.l32i("a9", "a1", 0)
        asm.neg("a8", "a9")

        def element(i: int) -> None:
            asm.l32i("a12", "a6", 4 * i)
            asm.l16ui("a13", "a4", 2 * i)
            asm.mull("a12", "a12", "a10")
            asm.addmi("a13", "a13", -_GAIN_ZERO)
            asm.addmi("a12", "a12", 1 << 14)
            asm.srai("a12", "a12", 15)
            asm.mull("a12", "a12", "a13")
            asm.add("a12", "a12", "a11")
            asm.sra("a12", "a12")
            clamp(asm, "a12", "a9", "a8")
            asm.s32i("a12", "a6", 4 * i)

        each(asm, {"a6": 4, "a4": 2}, "a7", "a14", element)


def _find_shift(asm: XtensaAssembler) -> None:
    """a5 = the residual's shift to 15 bits; a11 = half of what it cuts off; a10 = ceil(log2 n);
    a3 is at the residual's begin again."""
    asm.mov("a2", "a3")
    asm.mov("a10", "a7")
    asm.movi("a5", 0)

    def element(i: int) -> None:
        asm.l32i("a12", "a3", 4 * i)
        asm.abs("a12", "a12")
        asm.or_("a5", "a5", "a12")  # as long as the largest of them

    each(asm, {"a3": 4}, "a10", "a11", element)
    asm.mov("a3", "a2")
    asm.nsau("a5", "a5")
    asm.movi("a12", 32 - 15)
    asm.sub("a5", "a12", "a5")
    asm.movi("a12", 0)
    asm.max("a5", "a5", "a12")
    asm.addi("a10", "a7", -1)
    asm.nsau("a10", "a10")
    asm.movi("a12", 32)
    asm.sub("a10", "a12", "a10")
    half_of(asm, "a11", "a5")


def _add_squares(asm: XtensaAssembler) -> None:
    """x = the residual of 15 bits; a9 = the sum of its squares / n, and epsilon, at least 1."""
    asm.addx2("a12", "a5", "a10")
    asm.ssr("a12")
    asm.sra("a9", "a9")
    asm.set("a2", (1 << 15) - 1)
    asm.s32i("a6", "a1", 4)

    def some(values: tuple[str, ...]) -> None:
        asm.ssr("a5")
        for i, value in enumerate(values):
            asm.l32i(value, "a3", 4 * i)
            asm.add(value, value, "a11")
            asm.sra(value, value)
            asm.min(value, value, "a2")  # rounding up may reach 2**15
            asm.s32i(value, "a6", 4 * i)
        asm.ssr("a10")
        for value in values:
            asm.mull(value, value, value)
            asm.srl(value, value)
            asm.add("a9", "a9", value)
        asm.addi("a3", "a3", 4 * len(values))
        asm.addi("a6", "a6", 4 * len(values))

    asm.srli("a12", "a7", 2)
    with loop(asm, "a12"):
        some(_VALUES)
    asm.extui("a12", "a7", 0, 2)
    with loop(asm, "a12"):
        some(_VALUES[:1])
    asm.l32i("a6", "a1", 4)
    asm.movi("a12", 1)
    asm.max("a9", "a9", "a12")


def _find_inverse(asm: XtensaAssembler) -> None:
    """a10 = 2**29 / the root of a9 brought to [2**28, 2**30); the shift a8 makes up for that."""
    asm.nsau("a12", "a9")
    asm.addi("a12", "a12", -2)
    asm.srai("a12", "a12", 1)  # doublings of the root; -1 at least
    asm.sub("a8", "a8", "a12")
    asm.slli("a13", "a12", 1)
    asm.ssl("a13")
    asm.srli("a14", "a9", 2)
    asm.sll("a9", "a9")
    asm.movltz("a9", "a14", "a12")
    asm.set("a10", 1 << 14)  # a root of 15 bits, of which the first is set
    asm.set("a12", 1 << 13)
    asm.movi("a13", 14)
    with loop(asm, "a13"):
        asm.add("a13", "a10", "a12")
        asm.mull("a14", "a13", "a13")
        asm.sub("a14", "a9", "a14")
        asm.movgez("a10", "a13", "a14")
        asm.srli("a12", "a12", 1)
    asm.set("a12", 1 << 29)
    asm.quou("a10", "a12", "a10")


def add_rescaled(asm: XtensaAssembler) -> None:
    """Words: residual, unused, sums, multipliers u16, offset in bytes, n, shift."""
    _add_rescaled(asm)


def add_coarser(asm: XtensaAssembler) -> None:
    """Words: as add_rescaled's, but shift is DROP larger for each bit that the residual loses."""
    _add_rescaled(asm, is_coarser=True)


def _add_rescaled(asm: XtensaAssembler, is_coarser: bool = False) -> None:
    with frame(asm, {"a3": 0, "a4": 2, "a5": 3, "a6": 4, "a7": 5, "a8": 6}):
        asm.add("a5", "a5", "a6")
        if is_coarser:
            _drop_bits(asm)
        asm.set("a9", _RESIDUAL_LIMIT)
        asm.neg("a10", "a9")

        def store(i: int) -> None:
            asm.l32i("a13", "a3", 4 * i)
            asm.add("a12", "a12", "a13")
            clamp(asm, "a12", "a9", "a10")
            asm.s32i("a12", "a3", 4 * i)

        scale_each(asm, {"a4": 4, "a5": 2, "a3": 4}, "a4", "a5", "a8", "a7", store)


def _drop_bits(asm: XtensaAssembler) -> None:
    """Shifts the residual, a7 words from a3 on, right by what a8 has above 6 bits, half-up; a8 =
    the rest."""
    asm.srli("a9", "a8", 6)
    asm.beqz("a9", "as fine")
    asm.extui("a8", "a8", 0, 6)
    half_of(asm, "a10", "a9")
    asm.ssr("a9")
    asm.mov("a9", "a3")

    def element(i: int) -> None:
        asm.l32i("a12", "a3", 4 * i)
        asm.add("a12", "a12", "a10")
        asm.sra("a12", "a12")
        asm.s32i("a12", "a3", 4 * i)

    asm.mov("a11", "a7")
    each(asm, {"a3": 4}, "a11", "a13", element, 1)
    asm.mov("a3", "a9")
    asm.label("as fine")


def best(asm: XtensaAssembler) -> None:
    """Words: logits, n; the index of the largest, of equal ones the lowest."""
    with frame(asm, {"a3": 0, "a4": 1}):
        asm.mov("a5", "a3")
        asm.mov("a6", "a3")  # where the largest lies
        asm.l32i("a7", "a3", 0)

        def element(i: int) -> None:
            smaller = asm.unique("smaller")
            asm.l32i("a8", "a3", 4 * i)
            asm.bge("a7", "a8", smaller)
            asm.mov("a7", "a8")
            asm.addi("a6", "a3", 4 * i)
            asm.label(smaller)

        each(asm, {"a3": 4}, "a4", "a9", element)
        asm.sub("a2", "a6", "a5")
        asm.srli("a2", "a2", 2)


def contribute(asm: XtensaAssembler) -> None:
    """Words: total, first, values, own, count."""
    with frame(asm, {"a3": 0, "a4": 1, "a5": 2, "a6": 3, "a7": 4}):
        asm.addx4("a3", "a4", "a3")

        def element(i: int) -> None:
            asm.l32i("a8", "a5", 4 * i)
            asm.l32i("a9", "a3", 4 * i)
            asm.s32i("a8", "a6", 4 * i)
            asm.add("a9", "a9", "a8")
            asm.s32i("a9", "a3", 4 * i)

        each(asm, {"a5": 4, "a3": 4, "a6": 4}, "a7", "a10", element)


def clear(asm: XtensaAssembler) -> None:
    """Words: total, count."""
    with frame(asm, {"a3": 0, "a4": 1}):
        asm.movi("a5", 0)
        each(asm, {"a3": 4}, "a4", "a6", lambda i: asm.s32i("a5", "a3", 4 * i), 8)
