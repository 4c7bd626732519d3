"""RV32IM attention of one position: scores, softmax and weighted mean of all heads of a chip.

The core of the twin `attend` (host/build/attention_kernel.py), whose docstring states the shapes,
and of `attend_int8` (host/build/int8_kernels.py).
"""

from __future__ import annotations

from host.build.machine_code.rv32 import SAVED, Rv32Assembler
from host.build.machine_code.rv32_core import (
    add_constant,
    each,
    end_of,
    half_of,
    load_words,
    saved,
)
from host.build.machine_code.rv32_rows import LAST_AT, REACH, ROWS_AT, WORDS_AT, Rows, find_offset

PARTS = ("scores", "softmax", "mean")
# Places of the argument words.
_KEYS, _VALUES, _ROWS, _HEADS, _Q, _OUT, _SCORES, _TABLE, _SEEN, _SHIFT = range(2, 12)
# In the stack's frame from head to head, besides what Rows needs: what is left of `q` and `out`,
# and at which byte of a row of values a block of elements begins.
_Q_AT, _OUT_AT, _BLOCK_AT, _ROOM = 8, 12, 20, 24
_FETCHED = ("t0", "t1", "t2", "t3")
_SUMS = (*SAVED, "t4", "t5", "t6", "a7")
_UNROLLED = 16  # elements of a query up to which a score is written out
_WRITTEN = 8  # of a longer one, in a turn of a loop
_LARGEST = "a5"  # from scores to softmax
_KEY_SHIFTS, _OFFSET = "s10", "s11"  # while scores of int8 caches are made
_ADDED = "a5"  # from their weights to means


def attend(
    asm: Rv32Assembler, size: int, parts: tuple[str, ...] = PARTS, is_int8: bool = False
) -> None:
    """Heads of `size` elements; parts: the first of PARTS, of a kernel that serves only to count
    instructions; is_int8: whether caches hold int8."""
    rows = Rows(size, is_int8)
    with saved(asm, (*SAVED, "ra"), _ROOM):
        load_words(asm, {"t0": _ROWS, "t1": _HEADS, "t2": _Q, "t3": _OUT})
        end_of(asm, "t1", "t0")
        for register, place in (("a0", WORDS_AT), ("t0", ROWS_AT), ("t2", _Q_AT),
                                ("t3", _OUT_AT), ("t1", LAST_AT)):  # fmt: skip
            asm.sw(register, place, "sp")
        asm.bltu("t0", "t1", "head")
        asm.j("no head")
        asm.label("head")
        _write_scores(asm, rows)
        if "softmax" in parts:
            _write_softmax(asm)
        if "mean" in parts:
            _write_means(asm, rows)
        asm.lw("t0", ROWS_AT, "sp")
        asm.lw("t1", LAST_AT, "sp")
        asm.lw("t2", _Q_AT, "sp")
        asm.addi("t0", "t0", 4)
        add_constant(asm, "t2", 4 * size, "t3")
        asm.sw("t0", ROWS_AT, "sp")
        asm.sw("t2", _Q_AT, "sp")
        asm.bgeu("t0", "t1", "no head")
        asm.j("head")
        asm.label("no head")


def _find_scores(asm: Rv32Assembler, begin: str, end: str) -> None:
    """Where the scores begin and end; a0 has the words' address."""
    asm.lw(begin, 4 * _SCORES, "a0")
    asm.lw(end, 4 * _SEEN, "a0")
    end_of(asm, end, begin)


def _write_scores(asm: Rv32Assembler, rows: Rows) -> None:
    """scores [seen] = q . key, and the largest of them.

    Keys are stored with an offset that makes all scores of a head greater by the same: neither
    their differences nor their order show it, and they still fit 32 bits. What it adds to those of
    int8 caches differs with the keys' shifts, and is taken away before these are applied.
    """
    size = rows.size
    together = next(n for n in (8, 4, 2, 1) if n == 1 or rows.is_reached(n - 1, _WRITTEN))
    rows.find(asm, _KEYS, "a1", _KEY_SHIFTS if rows.is_int8 else "")
    _find_scores(asm, "a3", "a4")
    asm.lw("a2", _Q_AT, "sp")
    if 4 * size <= REACH:
        asm.addi("a6", "a2", 4 * size)
    else:
        asm.li("a6", 4 * size)
        asm.add("a6", "a6", "a2")
    asm.lui(_LARGEST, 0x80000)
    if rows.is_int8:
        find_offset(asm, _OFFSET)
    asm.addi("t5", "a4", -4 * together)
    asm.bgtu("a3", "t5", "few keys")
    asm.label("keys")
    _positions(asm, rows, together)
    asm.bleu("a3", "t5", "keys")
    asm.label("few keys")
    asm.bgeu("a3", "a4", "no keys")
    asm.label("key")
    _positions(asm, rows, 1)
    asm.bltu("a3", "a4", "key")
    asm.label("no keys")


def _positions(asm: Rv32Assembler, rows: Rows, count: int) -> None:
    """The scores of so many positions; an element of the query is loaded once for all."""
    size = rows.size
    sums = _SUMS[:count]
    written = size if size <= _UNROLLED else next(n for n in (_WRITTEN, 6, 4, 2) if size % n == 0)
    is_loop = written < size
    if is_loop:
        for total in sums:
            asm.li(total, 0)
        asm.mv("a7", "a2")
        turn = asm.label(asm.unique("elements"))
    for element in range(written):
        asm.lw("t4", 4 * element, "a7" if is_loop else "a2")
        for first in range(0, count, len(_FETCHED)):
            some = list(zip(_FETCHED, range(first, count), strict=False))
            for fetched, p in some:
                rows.load(asm, fetched, p, element, "a1")
            for fetched, p in some:
                begins = not is_loop and element == 0
                asm.mul(sums[p] if begins else fetched, fetched, "t4")
            if is_loop or element:
                for fetched, p in some:
                    asm.add(sums[p], sums[p], fetched)
    if is_loop:
        asm.addi("a1", "a1", rows.width * written)
        asm.addi("a7", "a7", 4 * written)
        asm.bltu("a7", "a6", turn)
    add_constant(asm, "a1", rows.stride * (count - is_loop), "t0")
    for p, total in enumerate(sums):
        if rows.is_int8:
            asm.lbu("t0", p, _KEY_SHIFTS)
            asm.sub(total, total, _OFFSET)
            asm.sll(total, total, "t0")
        asm.sw(total, 4 * p, "a3")
        smaller = asm.unique("smaller")
        asm.bge(_LARGEST, total, smaller)
        asm.mv(_LARGEST, total)
        asm.label(smaller)
    asm.addi("a3", "a3", 4 * count)
    if rows.is_int8:
        asm.addi(_KEY_SHIFTS, _KEY_SHIFTS, count)


def _write_softmax(asm: Rv32Assembler) -> None:
    """scores = 2**((score - largest) / 2**(shift + 9)) * 2**15; their sum in s0."""
    load_words(asm, {"s1": _SHIFT, "s3": _TABLE})
    _find_scores(asm, "a1", "a4")
    asm.lui("s2", 2)  # 16 << 9: from here on weights are 0
    asm.li("s0", 0)

    def element(i: int) -> None:
        none = asm.unique("none")
        asm.lw("t0", 4 * i, "a1")
        asm.li("t1", 0)
        asm.sub("t0", _LARGEST, "t0")
        asm.sra("t0", "t0", "s1")
        asm.bge("t0", "s2", none)
        asm.andi("t1", "t0", 511)
        asm.slli("t1", "t1", 1)
        asm.add("t1", "t1", "s3")
        asm.lhu("t1", 0, "t1")
        asm.srli("t0", "t0", 9)
        asm.srl("t1", "t1", "t0")
        asm.add("s0", "s0", "t1")
        asm.label(none)
        asm.sw("t1", 4 * i, "a1")

    each(asm, {"a1": 4}, "a4", "s4", element)


def _write_means(asm: Rv32Assembler, rows: Rows) -> None:
    """out [size] = the mean of values under the weights, which are first shifted right until their
    sum has about 15 bits."""
    size = rows.size
    asm.addi("a6", "s0", -1)
    asm.li("a5", 0)
    asm.li("t0", 32767)
    asm.ble("a6", "t0", "weights fit")
    asm.label("shift on")
    asm.srai("a6", "a6", 1)
    asm.addi("a5", "a5", 1)
    asm.bgt("a6", "t0", "shift on")
    asm.label("weights fit")
    half_of(asm, "a4", "a5")
    asm.li("a6", 0)  # the sum of the weights as shifted
    if size <= len(_SUMS) and not rows.is_int8:
        _some_means(asm, rows, size, shifts=True)
        return
    _shift_weights(asm, rows)
    asm.sw("zero", _BLOCK_AT, "sp")
    if blocks := size // len(_SUMS):
        asm.label("block")
        _some_means(asm, rows, len(_SUMS), shifts=False)
        asm.lw("t1", _BLOCK_AT, "sp")
        asm.addi("t1", "t1", rows.width * len(_SUMS))
        asm.sw("t1", _BLOCK_AT, "sp")
        asm.li("t0", rows.width * blocks * len(_SUMS))
        asm.bltu("t1", "t0", "block")
    if size % len(_SUMS):
        _some_means(asm, rows, size % len(_SUMS), shifts=False)


def _shift_weights(asm: Rv32Assembler, rows: Rows) -> None:
    """Weights shifted in place, half-up; their sum in a6. Those of int8 caches then have the
    shifts of their values, and _ADDED is what a sum of products gets before it is divided."""
    if rows.is_int8:
        rows.find(asm, _VALUES, "t2", "s1")
        asm.li("s2", 0)
    asm.lw("a0", WORDS_AT, "sp")
    _find_scores(asm, "a1", "a3")

    def weight(i: int) -> None:
        asm.lw("t0", 4 * i, "a1")
        if rows.is_int8:
            asm.lbu("t1", i, "s1")
        asm.add("t0", "t0", "a4")
        asm.sra("t0", "t0", "a5")
        asm.add("a6", "a6", "t0")
        if rows.is_int8:
            asm.sll("t0", "t0", "t1")
            asm.add("s2", "s2", "t0")
        asm.sw("t0", 4 * i, "a1")

    each(asm, {"a1": 4, "s1": 1} if rows.is_int8 else {"a1": 4}, "a3", "ra", weight)
    if rows.is_int8:
        # As if values were stored plus 2**15, and not plus 128 before they are shifted.
        asm.srli(_ADDED, "a6", 1)
        asm.slli("t0", "a6", 15)
        asm.slli("s2", "s2", 7)
        asm.add(_ADDED, _ADDED, "t0")
        asm.sub(_ADDED, _ADDED, "s2")


def _some_means(asm: Rv32Assembler, rows: Rows, elements: int, shifts: bool) -> None:
    """The means of the next elements; shifts: whether the weights are yet to be shifted."""
    sums = _SUMS[:elements]
    rows.find(asm, _VALUES, "a2")
    _find_scores(asm, "a1", "a3")
    if not shifts:
        asm.lw("t0", _BLOCK_AT, "sp")
        asm.add("a2", "a2", "t0")
    for total in sums:
        asm.li(total, 0)

    def position(i: int) -> None:
        skip = asm.unique("skip")
        asm.lw("a0", 4 * i, "a1")
        if shifts:
            asm.add("a0", "a0", "a4")
            asm.sra("a0", "a0", "a5")
        asm.beqz("a0", skip)
        if shifts:
            asm.add("a6", "a6", "a0")
        for first in range(0, elements, len(_FETCHED)):
            some = list(zip(_FETCHED, sums[first:], strict=False))
            for place, (fetched, _) in enumerate(some, first):
                rows.load(asm, fetched, i, place, "a2")
            for fetched, _ in some:
                asm.mul(fetched, fetched, "a0")
            for fetched, total in some:
                asm.add(total, total, fetched)
        asm.label(skip)

    several = min(8, 32 // elements)
    if rows.is_reached(several, elements):
        each(asm, {"a1": 4, "a2": rows.stride}, "a3", "ra", position, several)
    else:  # weights are shifted already, and so a4 is free
        asm.li("a4", rows.stride)

        def far(i: int) -> None:
            position(i)
            asm.add("a2", "a2", "a4")

        each(asm, {"a1": 4}, "a3", "ra", far, 1)
    # Values are stored plus 2**15, so the sums are positive, of 32 bits; and so is their mean.
    asm.lw("t0", _OUT_AT, "sp")
    added = _ADDED if rows.is_int8 else "t1"
    if not rows.is_int8:
        asm.srli(added, "a6", 1)
    asm.lui("t2", 8)
    for place, total in enumerate(sums):
        asm.add(total, total, added)
        asm.divu(total, total, "a6")
        asm.sub(total, total, "t2")
        asm.sw(total, 4 * place, "t0")
    asm.addi("t0", "t0", 4 * elements)
    asm.sw("t0", _OUT_AT, "sp")
