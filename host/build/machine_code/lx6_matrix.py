"""Matrix-vector products by MAC16, which multiplies words of 16 bits into a sum of 40, exact.

Two rows share such a word: P = 256 w1 + u0, where u0 = w0 + 128. One pass over P and one over its
lower bytes give

    A = P . x    B = u0 . x    w1 . x = (A - B) / 256    w0 . x = B - 128 sum(x)

MULA multiplies, adds, and loads the next word in one instruction; the second pass must cut off the
upper bytes itself.
"""

from __future__ import annotations

from host.build.machine_code.xtensa import ACCHI, ACCLO, XtensaAssembler
from host.build.machine_code.xtensa_core import frame, loop
from protocol.shard_layout import PAIRS

_WEIGHTS, _OUT, _INPUTS, _ROWS, _BIAS, _MASK, _ZERO = "a3", "a4", "a5", "a6", "a7", "a2", "a0"
_FOURS, _TURNS, _AT = "a8", "a9", "a10"  # turns of the passes; where the inputs are read


def matvec(asm: XtensaAssembler, columns: int) -> None:
    """The core of the twin matvec_N (host/build/kernels.py) for rows in pairs.

    Words: weights, unused, y, x, rows, offset of the weights in bytes. Weights: int16 [rows / 2,
    columns filled up] as above, at a multiple of 4 bytes, and of the last of an odd number of rows
    u8, weight + 128. What fills rows up makes no difference.
    """
    filled = columns + -columns % PAIRS
    with frame(asm, {_WEIGHTS: 0, _OUT: 2, _INPUTS: 3, _ROWS: 4, "a9": 5}, 2 * filled + 16):
        inputs_at = 16  # on the stack
        asm.s32i("a0", "a1", 0)
        asm.add(_WEIGHTS, _WEIGHTS, "a9")
        asm.addi(_AT, "a1", inputs_at)
        pack_inputs(asm, columns, filled)
        asm.addi(_INPUTS, "a1", inputs_at - 4)  # LDINC increments first
        asm.set(_MASK, 0x00FF00FF)
        asm.movi(_ZERO, 0)
        asm.movi(_FOURS, filled // 4 - 1)
        together = next(several for several in (4, 2, 1) if filled // 4 % several == 0)
        asm.movi(_TURNS, filled // 4 // together)
        asm.ssai(8)
        asm.srli("a15", _ROWS, 1)
        asm.beqz("a15", "last row")
        asm.s32i(_ROWS, "a1", 4)
        asm.mov(_ROWS, "a15")
        asm.label("pair")
        _multiply_pair(asm, together)
        asm.addi(_ROWS, _ROWS, -1)
        asm.bnez(_ROWS, "pair")
        asm.l32i(_ROWS, "a1", 4)
        asm.label("last row")
        asm.extui(_ROWS, _ROWS, 0, 1)
        asm.beqz(_ROWS, "done")
        _multiply_last(asm, filled)
        asm.label("done")
        asm.l32i("a0", "a1", 0)


def pack_inputs(asm: XtensaAssembler, columns: int, filled: int) -> None:
    """Writes the inputs as int16 to where _AT points, filled up with 0; _BIAS = -128 times their
    sum."""
    asm.movi(_BIAS, 0)
    asm.movi("a11", columns // 4)
    with loop(asm, "a11"):
        _pack_some(asm, 4)
        asm.addi(_INPUTS, _INPUTS, 16)
        asm.addi(_AT, _AT, 8)
    _pack_some(asm, columns % 4)
    asm.movi("a11", 0)
    for i in range(columns % 4, filled - columns + columns % 4):
        asm.s16i("a11", _AT, 2 * i)
    asm.slli(_BIAS, _BIAS, 7)
    asm.neg(_BIAS, _BIAS)


def _pack_some(asm: XtensaAssembler, count: int) -> None:
    for i in range(count):
        asm.l32i("a12", _INPUTS, 4 * i)
        asm.add(_BIAS, _BIAS, "a12")
        asm.s16i("a12", _AT, 2 * i)


def _multiply_pair(asm: XtensaAssembler, together: int) -> None:
    """Two outputs; _WEIGHTS goes on to the next pair."""
    multiply_words(asm, _WEIGHTS)
    asm.mov(_AT, _INPUTS)
    asm.ldinc("m0", _AT)
    asm.ldinc("m1", _AT)
    asm.rsr("a12", ACCLO)
    asm.rsr("a13", ACCHI)
    asm.mul_aa_ll(_ZERO, _ZERO)
    with loop(asm, _TURNS):
        for i in range(together):
            asm.l32i("a14", _WEIGHTS, 8 * i)
            asm.l32i("a15", _WEIGHTS, 8 * i + 4)
            asm.and_("a14", "a14", _MASK)
            asm.and_("a15", "a15", _MASK)
            asm.mula_da_ll("m0", "a14")
            asm.mula_da_hh_ldinc("m0", _AT, "m0", "a14")
            asm.mula_da_ll("m1", "a15")
            asm.mula_da_hh_ldinc("m1", _AT, "m1", "a15")
        asm.addi(_WEIGHTS, _WEIGHTS, 8 * together)
    subtract_lower(asm)
    asm.add("a14", "a14", _BIAS)
    asm.s32i("a14", _OUT, 0)
    asm.s32i("a12", _OUT, 4)
    asm.addi(_OUT, _OUT, 8)


def multiply_words(asm: XtensaAssembler, weights: str) -> None:
    """ACC = the products of a row's inputs, int16 from 4 bytes behind _INPUTS on, with the words
    of 16 bits from `weights` on; _FOURS: a quarter of how many, less 1; changes a11."""
    asm.mov(_AT, _INPUTS)
    asm.addi("a11", weights, -4)
    asm.ldinc("m0", _AT)
    asm.ldinc("m2", "a11")
    asm.mul_aa_ll(_ZERO, _ZERO)
    with loop(asm, _FOURS):
        _load_two_words(asm)
        asm.mula_dd_ll_ldinc("m0", _AT, "m1", "m3")
        asm.mula_dd_hh_ldinc("m2", "a11", "m1", "m3")
    _load_two_words(asm)
    asm.mula_dd_ll("m1", "m3")
    asm.mula_dd_hh("m1", "m3")


def subtract_lower(asm: XtensaAssembler) -> None:
    """a14 = B, which is in ACC, and a12 = (A - B) / 256, where a13 and a12 hold A; changes a15.
    SAR is 8."""
    no_borrow = asm.unique("no borrow")
    asm.rsr("a14", ACCLO)
    asm.rsr("a15", ACCHI)
    asm.sub("a13", "a13", "a15")
    asm.bgeu("a12", "a14", no_borrow)
    asm.addi("a13", "a13", -1)
    asm.label(no_borrow)
    asm.sub("a12", "a12", "a14")
    asm.src("a12", "a13", "a12")


def _load_two_words(asm: XtensaAssembler) -> None:
    asm.mula_dd_ll_ldinc("m1", _AT, "m0", "m2")
    asm.mula_dd_hh_ldinc("m3", "a11", "m0", "m2")


def _multiply_last(asm: XtensaAssembler, filled: int) -> None:
    """The last of an odd number of rows."""
    multiply_bytes(asm, filled)
    asm.add("a12", "a12", _BIAS)
    asm.s32i("a12", _OUT, 0)


def multiply_bytes(asm: XtensaAssembler, filled: int) -> None:
    """a12 = the products of the inputs with so many bytes from _WEIGHTS on, which goes behind
    them."""
    asm.mov(_AT, _INPUTS)
    asm.ldinc("m0", _AT)
    asm.mul_aa_ll(_ZERO, _ZERO)
    asm.movi("a11", filled // 4)
    with loop(asm, "a11"):
        for i in range(0, 4, 2):
            asm.l8ui("a12", _WEIGHTS, i)
            asm.l8ui("a13", _WEIGHTS, i + 1)
            asm.mula_da_ll("m0", "a12")
            asm.mula_da_hl_ldinc("m0", _AT, "m0", "a13")
        asm.addi(_WEIGHTS, _WEIGHTS, 4)
    asm.rsr("a12", ACCLO)
