"""Scores and means of attention over int8 caches, by MAC16: of ESP32 and ESP32-S3.

Numbers are stored as u8, plus 128, which is taken away from whole sums. A row's shift is applied
to its score, and to its weight.
"""

from __future__ import annotations

from host.build.machine_code.lx6_attention import SUMS, pack_query, score_keys, store_means
from host.build.machine_code.xtensa import ACCLO, XtensaAssembler
from host.build.machine_code.xtensa_attention import (
    CONSTANT_AT,
    KEYS,
    LARGEST,
    LAST_AT,
    OUT_AT,
    ROWS_AT,
    TOTAL,
    VALUES,
    WORDS_AT,
    Unit,
    find_rows,
)
from host.build.machine_code.xtensa_core import loop, move


def find_shifts(asm: XtensaAssembler, size: int, cache: int, shifts: str) -> None:
    """shifts = where those of the head's rows begin, behind all rows of a cache; changes a2 and
    a15."""
    asm.l32i(shifts, "a1", LAST_AT)
    asm.l32i(shifts, shifts, 0)  # how many rows the cache has
    asm.set("a15", size)
    asm.mull(shifts, shifts, "a15")
    asm.l32i("a2", "a1", WORDS_AT)
    asm.l32i("a2", "a2", 4 * cache)
    asm.l32i("a15", "a1", ROWS_AT)
    asm.l32i("a15", "a15", 0)
    asm.add(shifts, shifts, "a2")
    asm.add(shifts, shifts, "a15")


def write_scores(asm: XtensaAssembler, size: int) -> None:
    """score = q . key << the key's shift."""
    pack_query(asm, size, 7)
    find_rows(asm, size, KEYS, "a3", "a4", "a5")
    find_shifts(asm, size, KEYS, "a9")
    score_keys(asm, size, 2, _multiply_two, _finish_score)


def _multiply_two(asm: XtensaAssembler, place: int, query: str, loads: bool) -> None:
    """Two elements of a key; loads: then the query's next ones."""
    asm.l8ui("a14", "a3", place)
    asm.l8ui("a15", "a3", place + 1)
    if query in ("m0", "m1"):
        asm.mula_da_ll(query, "a14")
        if loads:
            asm.mula_da_hl_ldinc(query, "a7", query, "a15")
        else:
            asm.mula_da_hl(query, "a15")
    else:
        asm.mula_ad_ll("a14", query)
        asm.mula_ad_lh("a15", query)


def _finish_score(asm: XtensaAssembler) -> None:
    asm.l8ui("a15", "a9", 0)
    asm.rsr("a14", ACCLO)
    asm.ssl("a15")
    asm.sub("a14", "a14", "a8")
    asm.sll("a14", "a14")
    asm.max(LARGEST, LARGEST, "a14")
    asm.s32i("a14", "a4", 0)
    asm.addi("a4", "a4", 4)
    asm.addi("a9", "a9", 1)


def write_means(asm: XtensaAssembler, size: int) -> None:
    """mean = weights . values / their sum, half-up, of several elements side by side."""
    _find_added(asm, size)
    for first in range(0, size, len(SUMS)):
        _write_some_means(asm, size, range(first, min(first + len(SUMS), size)))


def _find_added(asm: XtensaAssembler, size: int) -> None:
    """Keeps in the frame what a sum of products gets before it is divided: half of the weights'
    sum, and as if values were stored with 2**15 more, and not with 128 before they are shifted."""
    find_rows(asm, size, VALUES, "a3", "a4", "a5")
    find_shifts(asm, size, VALUES, "a3")
    asm.movi("a6", 0)
    with loop(asm, "a5"):
        asm.l8ui("a8", "a3", 0)
        asm.l16ui("a7", "a4", 0)
        asm.ssl("a8")
        asm.addi("a3", "a3", 1)
        asm.sll("a7", "a7")
        asm.addi("a4", "a4", 2)
        asm.add("a6", "a6", "a7")
    asm.slli("a6", "a6", 7)
    asm.slli("a7", TOTAL, 15)
    asm.srli("a8", TOTAL, 1)
    asm.add("a7", "a7", "a8")
    asm.sub("a7", "a7", "a6")
    asm.s32i("a7", "a1", CONSTANT_AT)


def _write_some_means(asm: XtensaAssembler, size: int, elements: range) -> None:
    sums = SUMS[: len(elements)]
    find_shifts(asm, size, VALUES, "a11")
    find_rows(asm, size, VALUES, "a3", "a10", "a14")
    move(asm, "a3", elements.start, "a15")
    for total in sums:
        asm.movi(total, 0)
    with loop(asm, "a14"):
        skip = asm.unique("skip")
        asm.l16ui("a12", "a10", 0)
        asm.beqz("a12", skip)
        asm.l8ui("a14", "a11", 0)
        asm.ssl("a14")
        asm.sll("a12", "a12")
        for place, total in enumerate(sums):
            fetched = ("a14", "a15")[place % 2]
            asm.l8ui(fetched, "a3", place)
            asm.mull(fetched, fetched, "a12")
            asm.add(total, total, fetched)
        asm.label(skip)
        asm.addi("a10", "a10", 2)
        asm.addi("a11", "a11", 1)
        move(asm, "a3", size, "a15")
    asm.l32i("a3", "a1", OUT_AT)
    asm.l32i("a14", "a1", CONSTANT_AT)
    store_means(asm, sums)


INT8 = Unit(write_scores, write_means)
