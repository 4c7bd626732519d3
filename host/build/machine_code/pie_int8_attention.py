"""Scores and means of attention over int8 caches on the ESP32-S3's vector unit, for the heads that
pie_attention.py is for.

Numbers are stored as u8, plus 128: with zeros between them they are numbers of 16 bits. A row's
shift is applied to its score, and to its weight.
"""

from __future__ import annotations

from host.build.machine_code.pie_attention import KEPT, LANES, load_query, read_sums
from host.build.machine_code.pie_matrix import VECTOR
from host.build.machine_code.xtensa import ACCX_0, QACC_H, QACC_L, XtensaAssembler
from host.build.machine_code.xtensa_attention import (
    CONSTANT_AT,
    KEYS,
    LARGEST,
    OUT_AT,
    ROOM,
    TOTAL,
    VALUE_ZERO,
    VALUES,
    Unit,
    find_rows,
)
from host.build.machine_code.xtensa_core import each, loop, move, repeat
from host.build.machine_code.xtensa_int8_attention import find_shifts

# In the frame, while means are made: what a sum gets before it is divided; by how many bits
# weights are shifted right, and whether bits were lost; and where the query was, sums of these.
_ADDED_AT, _SHIFT_AT, _HAS_REST_AT, _RESTS_AT = CONSTANT_AT, 28, 29, ROOM
_WEIGHT_BITS = 15


def write_scores(asm: XtensaAssembler, size: int) -> None:
    """score = q . key << the key's shift."""
    vectors = size // LANES
    load_query(asm, vectors, 7)
    find_rows(asm, size, KEYS, "a3", "a4", "a5")
    find_shifts(asm, size, KEYS, "a10")
    asm.set(LARGEST, -1 << 31)
    repeat(asm, "a5", lambda asm: _one_score(asm, vectors))


def _one_score(asm: XtensaAssembler, vectors: int) -> None:
    streams = vectors > KEPT
    asm.ee_zero_accx()
    if streams:
        asm.addi("a9", "a1", ROOM)
    both = vectors % 2 == 0  # halves of a load
    for i in range(vectors):
        key = "q6" if both and i % 2 else "q5"
        if key == "q5":
            if both:
                asm.ee_vld_128_ip("q5", "a3", VECTOR)
            else:
                asm.ee_vld_l_64_ip("q5", "a3", LANES)
            asm.ee_zero_q("q6")
            asm.ee_vzip_8("q5", "q6")
        query = "q0" if streams else f"q{i}"
        if streams:
            asm.ee_vld_128_ip("q0", "a9", VECTOR)
        asm.ee_vmulas_s16_accx(query, key)
    # Two instructions between the last product and its reading, as others leave there.
    asm.l8ui("a15", "a10", 0)
    asm.addi("a10", "a10", 1)
    asm.rur("a14", ACCX_0)
    asm.ssl("a15")
    asm.sub("a14", "a14", "a8")
    asm.sll("a14", "a14")
    asm.max(LARGEST, LARGEST, "a14")
    asm.s32i("a14", "a4", 0)
    asm.addi("a4", "a4", 4)


def write_means(asm: XtensaAssembler, size: int) -> None:
    """mean = weights . values / their sum, half-up, 8 elements at a time.

    With the shifts of their values, weights may have more than the 15 bits that the unit
    multiplies. They are shifted right then, and the bits that this loses, if any, are multiplied
    in a pass of their own.
    """
    _shift_weights(asm, size)
    for first in range(0, size, LANES):
        _write_some_means(asm, size, first)


def _shift_weights(asm: XtensaAssembler, size: int) -> None:
    """Gives the weights the shifts of their values, for which all have 15 bits; behind them the
    bits that are lost."""
    find_rows(asm, size, VALUES, "a3", "a4", "a5")
    find_shifts(asm, size, VALUES, "a3")
    asm.mov("a10", "a3")
    asm.movi("a6", 0)
    asm.movi("a7", 1)
    asm.mov("a11", "a4")

    def add_up(i: int) -> None:
        _shift_weight(asm, i, "a11")
        asm.add("a6", "a6", "a9")
        asm.or_("a7", "a7", "a9")  # as long as the largest of them

    asm.mov("a15", "a5")
    each(asm, {"a3": 1, "a11": 2}, "a15", "a14", add_up)
    asm.slli("a6", "a6", 7)
    asm.slli("a8", TOTAL, 15)
    asm.srli("a9", TOTAL, 1)
    asm.add("a8", "a8", "a9")
    asm.sub("a8", "a8", "a6")
    asm.s32i("a8", "a1", _ADDED_AT)
    asm.nsau("a7", "a7")
    asm.movi("a6", 32 - _WEIGHT_BITS)
    asm.sub("a6", "a6", "a7")
    asm.movi("a7", 0)
    asm.max("a6", "a6", "a7")
    asm.s8i("a6", "a1", _SHIFT_AT)
    asm.ssl("a6")
    asm.movi("a8", 1)
    asm.sll("a2", "a8")
    asm.addi("a2", "a2", -1)  # the bits that are lost
    asm.mov("a3", "a10")

    def split(i: int) -> None:
        _shift_weight(asm, i, "a4")
        asm.ssr("a6")
        asm.and_("a8", "a9", "a2")
        asm.srl("a9", "a9")
        asm.s16i("a8", "a11", 2 * i)
        asm.s16i("a9", "a4", 2 * i)
        asm.or_("a7", "a7", "a8")

    each(asm, {"a3": 1, "a4": 2, "a11": 2}, "a5", "a14", split)
    asm.s8i("a7", "a1", _HAS_REST_AT)


def _shift_weight(asm: XtensaAssembler, i: int, weights: str) -> None:
    """a9 = the i-th weight with the shift of its value, which is at a3; changes a8 and SAR."""
    asm.l8ui("a8", "a3", i)
    asm.l16ui("a9", weights, 2 * i)
    asm.ssl("a8")
    asm.sll("a9", "a9")


def _write_some_means(asm: XtensaAssembler, size: int, first: int) -> None:
    no_rest, rests = asm.unique("no rest"), asm.unique("rests")
    asm.l8ui("a4", "a1", _HAS_REST_AT)
    asm.movi("a9", 0)
    asm.beqz("a4", no_rest)
    _add_products(asm, size, first, is_rest=True)
    for half, user in enumerate((QACC_L, QACC_H)):
        read_sums(asm, user)
        for lane in range(4):
            asm.s32i(f"a{4 + lane}", "a1", _RESTS_AT + 16 * half + 4 * lane)
    asm.j(rests)
    asm.label(no_rest)
    for lane in range(8):
        asm.s32i("a9", "a1", _RESTS_AT + 4 * lane)
    asm.label(rests)
    _add_products(asm, size, first, is_rest=False)
    asm.l32i("a3", "a1", OUT_AT)
    asm.l32i("a9", "a1", _ADDED_AT)
    asm.l8ui("a10", "a1", _SHIFT_AT)
    for half, user in enumerate((QACC_L, QACC_H)):
        read_sums(asm, user)
        asm.ssl("a10")
        for lane in range(4):
            mean = f"a{4 + lane}"
            asm.l32i("a8", "a1", _RESTS_AT + 16 * half + 4 * lane)
            asm.sll(mean, mean)
            asm.add("a8", "a8", "a9")
            asm.add(mean, mean, "a8")
            asm.quou(mean, mean, TOTAL)
            asm.addmi(mean, mean, -VALUE_ZERO)
            asm.s32i(mean, "a3", 4 * lane)
        asm.addi("a3", "a3", 16)
    asm.s32i("a3", "a1", OUT_AT)


def _add_products(asm: XtensaAssembler, size: int, first: int, is_rest: bool) -> None:
    """QACC = the products of 8 elements of the values with the weights, or with what they lost."""
    find_rows(asm, size, VALUES, "a3", "a4", "a5")
    move(asm, "a3", first, "a15")
    if is_rest:
        asm.addx2("a4", "a5", "a4")
    asm.addi("a5", "a5", -1)  # the last weight has none behind it
    asm.ee_zero_qacc()
    asm.ee_vldbc_16_ip("q0", "a4", 2)
    with loop(asm, "a5"):
        _load_values(asm, size)
        asm.ee_vmulas_s16_qacc_ldbc_incp("q0", "a4", "q0", "q1")
    _load_values(asm, 0)
    asm.ee_vmulas_s16_qacc("q0", "q1")


def _load_values(asm: XtensaAssembler, step: int) -> None:
    """Eight elements in q1."""
    asm.ee_vld_l_64_ip("q1", "a3", step)
    asm.ee_zero_q("q2")
    asm.ee_vzip_8("q1", "q2")


PIE_INT8 = Unit(write_scores, write_means)
