"""Scores and means of attention by MAC16."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from host.build.machine_code.xtensa import ACCLO, XtensaAssembler
from host.build.machine_code.xtensa_attention import (
    KEYS,
    LARGEST,
    OUT_AT,
    Q_AT,
    TOTAL,
    VALUE_ZERO,
    VALUES,
    Unit,
    find_query,
    find_rows,
)
from host.build.machine_code.xtensa_core import loop, move

WRITTEN_OUT = 16  # elements of a head up to which a score is written out
SUMS = ("a0", "a2", "a4", "a5", "a6", "a7", "a8", "a9")  # of as many elements at once


def write_scores(asm: XtensaAssembler, size: int) -> None:
    """score = q . key, where keys are stored as u16.

    MAC16 multiplies numbers with signs: with its highest bit flipped, a key is 2**15 less. What
    this takes from a score is added again.
    """
    pack_query(asm, size, 15)
    find_rows(asm, 2 * size, KEYS, "a3", "a4", "a5")
    asm.set("a9", VALUE_ZERO << 16 | VALUE_ZERO)
    score_keys(asm, size, 4, _multiply_word, _finish_score)


def score_keys(
    asm: XtensaAssembler,
    size: int,
    width: int,
    multiply: Callable[[XtensaAssembler, int, str, bool], None],
    finish: Callable[[XtensaAssembler], None],
) -> None:
    """Writes the scores of a5 keys from a3 on, and the largest of them.

    width: bytes of two elements of a key; multiply: adds the products of these elements, at so
    many bytes from a3, and of two of the query in a register, into which it loads the next two if
    asked to; finish: stores a score.
    """
    words = size // 2
    asm.set(LARGEST, -1 << 31)
    asm.movi("a10", 0)
    find_query(asm, size, "a6", -4)  # LDINC increments first
    if size <= WRITTEN_OUT:
        kept = words <= 4  # the whole query in registers of MAC16
        if kept:
            asm.mov("a7", "a6")
            for i in range(words):
                asm.ldinc(f"m{i}", "a7")
        with loop(asm, "a5"):
            if not kept:
                asm.mov("a7", "a6")
                asm.ldinc("m0", "a7")
            asm.mul_aa_ll("a10", "a10")
            for i in range(words):
                multiply(asm, width * i, f"m{i}" if kept else "m0", not kept)
            finish(asm)
            asm.addi("a3", "a3", width * words)
        return
    together = next(count for count in (8, 4, 2, 1) if words % count == 0)
    asm.set("a11", words // together)
    again = asm.label(asm.unique("score"))
    asm.mov("a7", "a6")
    asm.ldinc("m0", "a7")
    asm.mul_aa_ll("a10", "a10")
    with loop(asm, "a11"):
        for i in range(together):
            multiply(asm, width * i, "m0", True)
        asm.addi("a3", "a3", width * together)
    finish(asm)
    asm.addi("a5", "a5", -1)
    asm.bnez("a5", again)


def _multiply_word(asm: XtensaAssembler, place: int, query: str, loads: bool) -> None:
    """Two elements of a key; loads: then the query's next ones."""
    asm.l32i("a14", "a3", place)
    asm.xor("a14", "a14", "a9")
    if query in ("m0", "m1"):
        asm.mula_da_ll(query, "a14")
        if loads:
            asm.mula_da_hh_ldinc(query, "a7", query, "a14")
        else:
            asm.mula_da_hh(query, "a14")
    else:
        asm.mula_ad_ll("a14", query)
        asm.mula_ad_hh("a14", query)


def _finish_score(asm: XtensaAssembler) -> None:
    asm.rsr("a14", ACCLO)
    asm.add("a14", "a14", "a8")
    asm.max(LARGEST, LARGEST, "a14")
    asm.s32i("a14", "a4", 0)
    asm.addi("a4", "a4", 4)


def pack_query(asm: XtensaAssembler, size: int, shift: int) -> None:
    """Writes the query as int16; a8 = 2**shift times the sum of its elements."""
    asm.l32i("a3", "a1", Q_AT)
    find_query(asm, size, "a4")
    asm.movi("a8", 0)
    asm.set("a5", size // 2)
    with loop(asm, "a5"):
        for i in range(2):
            asm.l32i("a6", "a3", 4 * i)
            asm.add("a8", "a8", "a6")
            asm.s16i("a6", "a4", 2 * i)
        asm.addi("a3", "a3", 8)
        asm.addi("a4", "a4", 4)
    asm.slli("a8", "a8", shift)


def write_means(asm: XtensaAssembler, size: int) -> None:
    """mean = weights . values / their sum, half-up.

    The sums of several elements go on side by side, for which MAC16 has no registers. Values are
    stored with 2**15 more, and so is what the division gives.
    """
    for first in range(0, size, len(SUMS)):
        _write_some_means(asm, size, range(first, min(first + len(SUMS), size)))


def _write_some_means(asm: XtensaAssembler, size: int, elements: range) -> None:
    sums = SUMS[: len(elements)]
    find_rows(asm, 2 * size, VALUES, "a3", "a10", "a11")
    move(asm, "a3", 2 * elements.start, "a15")
    for total in sums:
        asm.movi(total, 0)
    with loop(asm, "a11"):
        skip = asm.unique("skip")
        asm.l16ui("a12", "a10", 0)
        asm.beqz("a12", skip)
        for place, total in enumerate(sums):
            fetched = ("a14", "a15")[place % 2]
            asm.l16ui(fetched, "a3", 2 * place)
            asm.mull(fetched, fetched, "a12")
            asm.add(total, total, fetched)
        asm.label(skip)
        asm.addi("a10", "a10", 2)
        move(asm, "a3", 2 * size, "a15")
    asm.l32i("a3", "a1", OUT_AT)
    asm.srli("a14", TOTAL, 1)
    store_means(asm, sums)


def store_means(asm: XtensaAssembler, sums: Sequence[str]) -> None:
    """Writes the means to a3 on, of sums to which a14 is added before they are divided."""
    for place, total in enumerate(sums):
        asm.add(total, total, "a14")
        asm.quou(total, total, TOTAL)
        asm.addmi(total, total, -VALUE_ZERO)
        asm.s32i(total, "a3", 4 * place)
    asm.addi("a3", "a3", 4 * len(sums))
    asm.s32i("a3", "a1", OUT_AT)


MAC16 = Unit(write_scores, write_means)
