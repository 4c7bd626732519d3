"""Attention of one position on Xtensa: the core of the twin `attend`
(host/build/attention_kernel.py), whose docstring states the shapes, and of `attend_int8`
(host/build/int8_kernels.py).

What both chips have in common: the loop over heads, and softmax. Scores and means are made by
MAC16 (lx6_attention.py) or by the S3's vector unit (pie_attention.py), those of int8 caches in
xtensa_int8_attention.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_core import each, frame, loop, move

PARTS = ("scores", "softmax", "mean")
# Places of the argument words.
KEYS, VALUES, _ROWS, _HEADS, _Q, _OUT, _SCORES, _TABLE, _SEEN, _SHIFT = range(2, 12)
# In the frame: the words' address, what is left of `rows`, `q` and `out`, where `rows` ends, the
# return address, a word to build constants in, and from ROOM on the query as int16.
WORDS_AT, ROWS_AT, Q_AT, OUT_AT, LAST_AT, _RETURN_AT, CONSTANT_AT, ROOM = (
    0, 4, 8, 12, 16, 20, 24, 32,
)  # fmt: skip
LARGEST, TOTAL = "a12", "a13"  # from scores to softmax, and from there to means
STACKED = 1016  # elements of the widest query on the stack; a wider one lies where `out` will
VALUE_ZERO = 1 << 15  # what values are stored with, and what makes numbers of 16 bits signed


class Unit(NamedTuple):
    """How a chip multiplies, for heads of a size.

    write_scores: writes int32 scores, the same as the twin's, and leaves the largest in LARGEST;
    write_means: out = the mean of the values under weights u16, which begin where the scores did,
    each below 2**15, and whose sum is in TOTAL.
    """

    write_scores: Callable[[XtensaAssembler, int], None]
    write_means: Callable[[XtensaAssembler, int], None]


def attend(asm: XtensaAssembler, size: int, unit: Unit, parts: tuple[str, ...] = PARTS) -> None:
    """Heads of `size` elements, an even number; parts: the first of PARTS, of a kernel that serves
    only to count instructions."""
    room = ROOM + 2 * (size if size <= STACKED else 0) + 16
    with frame(asm, {"a3": _ROWS, "a4": _HEADS, "a5": _Q, "a6": _OUT}, room):
        asm.addx4("a4", "a4", "a3")
        for register, place in (("a2", WORDS_AT), ("a3", ROWS_AT), ("a5", Q_AT),
                                ("a6", OUT_AT), ("a4", LAST_AT), ("a0", _RETURN_AT)):  # fmt: skip
            asm.s32i(register, "a1", place)
        asm.bltu("a3", "a4", "head")
        asm.j("no head")
        asm.label("head")
        unit.write_scores(asm, size)
        if "softmax" in parts:
            _write_softmax(asm)
        if "mean" in parts:
            _write_weights(asm)
            unit.write_means(asm, size)
        asm.l32i("a3", "a1", ROWS_AT)
        asm.l32i("a4", "a1", LAST_AT)
        asm.l32i("a5", "a1", Q_AT)
        asm.addi("a3", "a3", 4)
        move(asm, "a5", 4 * size, "a6")
        asm.s32i("a3", "a1", ROWS_AT)
        asm.s32i("a5", "a1", Q_AT)
        asm.bgeu("a3", "a4", "no head")
        asm.j("head")
        asm.label("no head")
        asm.l32i("a0", "a1", _RETURN_AT)


def find_query(asm: XtensaAssembler, size: int, register: str, more: int = 0) -> None:
    """register = where the query is as int16, and so many bytes more."""
    if size <= STACKED:
        asm.addi(register, "a1", ROOM + more)
    else:
        asm.l32i(register, "a1", OUT_AT)
        asm.addi(register, register, more)


def find_rows(
    asm: XtensaAssembler, stride: int, cache: int, rows: str, scores: str, seen: str
) -> None:
    """rows = where the head's rows, of `stride` bytes, begin in a cache, scores = where its scores
    do, seen = how many there are; a2 = the words' address; changes a15."""
    asm.l32i("a2", "a1", WORDS_AT)
    asm.l32i("a15", "a1", ROWS_AT)
    asm.l32i("a15", "a15", 0)
    asm.set(rows, stride)
    asm.mull("a15", "a15", rows)
    asm.l32i(rows, "a2", 4 * cache)
    asm.add(rows, rows, "a15")
    asm.l32i(scores, "a2", 4 * _SCORES)
    asm.l32i(seen, "a2", 4 * _SEEN)


def _write_softmax(asm: XtensaAssembler) -> None:
    """weights u16, from the scores' begin on, = 2**((score - largest) / 2**(shift + 9)) * 2**15;
    TOTAL = their sum."""
    asm.l32i("a2", "a1", WORDS_AT)
    asm.l32i("a3", "a2", 4 * _SCORES)
    asm.l32i("a5", "a2", 4 * _SEEN)
    asm.l32i("a6", "a2", 4 * _SHIFT)
    asm.l32i("a7", "a2", 4 * _TABLE)
    asm.mov("a4", "a3")  # a weight never lies beyond its score
    asm.set("a8", 16 << 9)  # from here on weights are 0
    asm.movi(TOTAL, 0)

    def some(distances: tuple[str, ...]) -> None:
        asm.ssr("a6")
        for i, distance in enumerate(distances):
            asm.l32i(distance, "a3", 4 * i)
            asm.sub(distance, LARGEST, distance)
            asm.srl(distance, distance)
            asm.minu(distance, distance, "a8")
        for i, distance in enumerate(distances):
            asm.extui("a15", distance, 0, 9)
            asm.addx2("a15", "a15", "a7")
            asm.l16ui("a15", "a15", 0)
            asm.extui(distance, distance, 9, 5)
            asm.ssr(distance)
            asm.srl("a15", "a15")
            asm.add(TOTAL, TOTAL, "a15")
            asm.s16i("a15", "a4", 2 * i)
        asm.addi("a3", "a3", 4 * len(distances))
        asm.addi("a4", "a4", 2 * len(distances))

    asm.srli("a11", "a5", 2)
    with loop(asm, "a11"):
        some(("a9", "a10", "a14", "a2"))
    asm.extui("a5", "a5", 0, 2)
    with loop(asm, "a5"):
        some(("a9",))


def _write_weights(asm: XtensaAssembler) -> None:
    """Shifts the weights right, half-up, until their sum has about 15 bits, but at least by one,
    so that none is 2**15: only a single position has a weight without that, and its mean is the
    same. TOTAL = their new sum."""
    asm.l32i("a2", "a1", WORDS_AT)
    asm.l32i("a3", "a2", 4 * _SCORES)
    asm.l32i("a5", "a2", 4 * _SEEN)
    asm.addi("a6", TOTAL, -1)
    asm.nsau("a6", "a6")
    asm.movi("a7", 32 - 15)
    asm.sub("a6", "a7", "a6")
    asm.movi("a7", 1)
    asm.max("a6", "a6", "a7")
    asm.ssl("a6")
    asm.sll("a7", "a7")
    asm.srli("a7", "a7", 1)
    asm.ssr("a6")
    asm.movi(TOTAL, 0)

    def weight(i: int) -> None:
        asm.l16ui("a8", "a3", 2 * i)
        asm.add("a8", "a8", "a7")
        asm.srl("a8", "a8")
        asm.add(TOTAL, TOTAL, "a8")
        asm.s16i("a8", "a3", 2 * i)

    each(asm, {"a3": 2}, "a5", "a9", weight)
