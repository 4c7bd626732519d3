"""Scores and means of attention on the ESP32-S3's vector unit, for heads of a multiple of 8
elements that lie on the stack: from one value to the next a load steps at most 2032 bytes."""

from __future__ import annotations

from host.build.machine_code.pie_matrix import VECTOR
from host.build.machine_code.xtensa import ACCX_0, QACC_H, QACC_L, XtensaAssembler
from host.build.machine_code.xtensa_attention import (
    CONSTANT_AT,
    KEYS,
    LARGEST,
    OUT_AT,
    Q_AT,
    ROOM,
    TOTAL,
    VALUE_ZERO,
    VALUES,
    Unit,
    find_rows,
)
from host.build.machine_code.xtensa_core import loop, move, repeat

LANES = 8  # numbers of 16 bits in a vector register
KEPT = 5  # vectors of a query that stay in registers
_FLIP = "q7"  # flips the highest bits of what is stored with 2**15 more


def write_scores(asm: XtensaAssembler, size: int) -> None:
    """score = q . key, where keys are stored as u16.

    The unit multiplies numbers with signs: with its highest bit flipped, a key is 2**15 less. What
    this takes from a score is added again, as 2**15 times the sum of the query.
    """
    vectors = size // LANES
    load_query(asm, vectors, 15)
    find_rows(asm, 2 * size, KEYS, "a3", "a4", "a5")
    asm.set(LARGEST, -1 << 31)
    asm.ee_vld_128_ip("q5", "a3", VECTOR)
    asm.addi("a5", "a5", -1)  # the last key has none behind it
    if vectors == 1:
        asm.srli("a6", "a5", 1)
        with loop(asm, "a6"):
            _two_scores(asm)
        asm.extui("a5", "a5", 0, 1)
    repeat(asm, "a5", lambda asm: _one_score(asm, vectors, False))
    _one_score(asm, vectors, True)


def load_query(asm: XtensaAssembler, vectors: int, shift: int) -> None:
    """The query as int16 in q0 and on, or on the stack where there are too many; a8 = 2**shift
    times the sum of its elements."""
    _broadcast(asm, "q6", 1)
    asm.l32i("a3", "a1", Q_AT)
    asm.addi("a4", "a1", ROOM)
    asm.ee_zero_accx()
    for i in range(vectors):
        register = f"q{i}" if vectors <= KEPT else "q0"
        asm.ee_vld_128_ip(register, "a3", VECTOR)
        asm.ee_vld_128_ip("q7", "a3", VECTOR)
        asm.ee_vunzip_16(register, "q7")
        asm.ee_vmulas_s16_accx(register, "q6")
        if vectors > KEPT:
            asm.ee_vst_128_ip(register, "a4", VECTOR)
    _broadcast(asm, _FLIP, VALUE_ZERO)
    asm.rur("a8", ACCX_0)
    asm.slli("a8", "a8", shift)


def _broadcast(asm: XtensaAssembler, register: str, number: int) -> None:
    """All numbers of 16 bits in a vector = number; changes a14 and a15."""
    asm.set("a15", number)
    asm.addi("a14", "a1", CONSTANT_AT)
    asm.s32i("a15", "a14", 0)
    asm.ee_vldbc_16(register, "a14")


def _two_scores(asm: XtensaAssembler) -> None:
    """The scores of two keys of one vector each: what one waits for is the other's work."""
    asm.ee_xorq("q5", "q5", _FLIP)
    asm.ee_zero_accx()
    asm.ee_vmulas_s16_accx_ld_ip("q6", "a3", VECTOR, "q0", "q5")
    asm.addi("a4", "a4", 8)
    asm.ee_xorq("q6", "q6", _FLIP)
    asm.rur("a14", ACCX_0)
    asm.ee_zero_accx()
    asm.ee_vmulas_s16_accx_ld_ip("q5", "a3", VECTOR, "q0", "q6")
    asm.add("a14", "a14", "a8")
    asm.max(LARGEST, LARGEST, "a14")
    asm.rur("a15", ACCX_0)
    asm.addi("a9", "a4", -8)
    asm.add("a15", "a15", "a8")
    asm.max(LARGEST, LARGEST, "a15")
    asm.s32i("a14", "a9", 0)
    asm.s32i("a15", "a9", 4)


def _one_score(asm: XtensaAssembler, vectors: int, is_last: bool) -> None:
    """The score of a key, whose first vector is in q5; the next key's is in the end."""
    streams = vectors > KEPT
    asm.ee_zero_accx()
    if streams:
        asm.addi("a9", "a1", ROOM)
    for i in range(vectors):
        key, following = ("q5", "q6") if i % 2 == 0 else ("q6", "q5")
        query = "q0" if streams else f"q{i}"
        if streams:
            asm.ee_vld_128_ip("q0", "a9", VECTOR)
        asm.ee_xorq(key, key, _FLIP)
        if is_last and i == vectors - 1:
            asm.ee_vmulas_s16_accx(query, key)
        else:
            asm.ee_vmulas_s16_accx_ld_ip(following, "a3", VECTOR, query, key)
    if vectors % 2 and not is_last:
        asm.ee_orq("q5", "q6", "q6")
    else:
        asm.nop()
    asm.addi("a4", "a4", 4)
    asm.rur("a14", ACCX_0)
    asm.addi("a9", "a4", -4)
    asm.add("a14", "a14", "a8")
    asm.max(LARGEST, LARGEST, "a14")
    asm.s32i("a14", "a9", 0)


def write_means(asm: XtensaAssembler, size: int) -> None:
    """mean = weights . values / their sum, half-up, 8 elements at a time."""
    for first in range(0, size, LANES):
        find_rows(asm, 2 * size, VALUES, "a3", "a4", "a5")
        move(asm, "a3", 2 * first, "a15")
        asm.ee_zero_qacc()
        asm.ee_vldbc_16_ip("q0", "a4", 2)
        asm.srli("a6", "a5", 1)
        with loop(asm, "a6"):
            asm.ee_vld_128_ip("q1", "a3", 2 * size)
            asm.ee_vld_128_ip("q2", "a3", 2 * size)
            asm.ee_xorq("q1", "q1", _FLIP)
            asm.ee_xorq("q2", "q2", _FLIP)
            asm.ee_vmulas_s16_qacc_ldbc_incp("q0", "a4", "q0", "q1")
            asm.ee_vmulas_s16_qacc_ldbc_incp("q0", "a4", "q0", "q2")
        even = asm.unique("even")
        asm.extui("a5", "a5", 0, 1)
        asm.beqz("a5", even)
        asm.ee_vld_128_ip("q1", "a3", 0)
        asm.ee_xorq("q1", "q1", _FLIP)
        asm.ee_vmulas_s16_qacc("q0", "q1")
        asm.label(even)
        _divide(asm)


def _divide(asm: XtensaAssembler) -> None:
    """Eight means of the sums in QACC. Of each of its halves, which five user registers hold, a
    sum begins every 40 bits. For the division, which knows no sign, each grows by 2**15 times the
    weights' sum, and the quotient by 2**15."""
    asm.l32i("a3", "a1", OUT_AT)
    asm.slli("a9", TOTAL, 15)
    asm.srli("a10", TOTAL, 1)
    asm.add("a9", "a9", "a10")
    for first in (QACC_L, QACC_H):
        read_sums(asm, first)
        for lane in range(4):
            mean = f"a{4 + lane}"
            asm.add(mean, mean, "a9")
            asm.quou(mean, mean, TOTAL)
            asm.addmi(mean, mean, -VALUE_ZERO)
            asm.s32i(mean, "a3", 4 * lane)
        asm.addi("a3", "a3", 16)
    asm.s32i("a3", "a1", OUT_AT)


def read_sums(asm: XtensaAssembler, first: int) -> None:
    """a4 to a7 = the lower 32 bits of the sums in a half of QACC, whose user registers begin at
    `first`; changes a8 and SAR."""
    for word in range(5):
        asm.rur(f"a{4 + word}", first + word)
    for lane in range(1, 4):
        asm.ssai(8 * lane)
        asm.src(f"a{4 + lane}", f"a{5 + lane}", f"a{4 + lane}")


PIE = Unit(write_scores, write_means)
