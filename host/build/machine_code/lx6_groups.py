"""Products with matrices in groups of four bits by MAC16, exact.

A word of 32 bits of a group, masked, is two numbers of 16 bits, of two columns side by side, and
after each shift by 4 bits the next two. MULA multiplies one of them with an input of 16 bits, and
loads the next two inputs.
"""

from __future__ import annotations

from host.build.group_kernels import GROUP_SIZE, NUMBER_BITS
from host.build.machine_code.xtensa import ACCLO, XtensaAssembler
from host.build.machine_code.xtensa_core import loop, move
from host.build.machine_code.xtensa_groups import (
    AT,
    INPUTS,
    INPUTS_AT,
    OUT,
    PARTS,
    SUMS,
    TOTAL,
    WEIGHTS,
    add_group,
    multiply_rows,
    open_frame,
)
from host.model.groups import COLUMNS

_SPARE = "a11"
_MASK, _ZERO, _WORD, _NUMBERS = "a2", "a0", "a14", "a15"
_PLACES = 16 // NUMBER_BITS  # of numbers in a half of a word
_WORDS = GROUP_SIZE // 4  # of 32 bits in a group


def matvec(asm: XtensaAssembler, columns: int) -> None:
    """The core of the twin matvec_groups_N (host/build/group_kernels.py).

    The weights lie at a multiple of 4 bytes.
    """
    groups = columns // COLUMNS
    with open_frame(asm, groups):
        asm.s32i("a0", "a1", 0)
        multiply_rows(asm, groups, _SPARE, _prepare, _multiply_row)
        asm.l32i("a0", "a1", 0)


def _prepare(asm: XtensaAssembler, groups: int) -> None:
    _pack_inputs(asm, groups)
    asm.set(_MASK, 0x000F000F)
    asm.movi(_ZERO, 0)


def _pack_inputs(asm: XtensaAssembler, groups: int) -> None:
    """Writes the inputs from AT on, as int16 in the order in which they are multiplied, and each
    group's sum from SUMS on, which is at the first of them in the end."""
    asm.set("a12", groups)
    asm.label("group of inputs")
    asm.movi("a13", 0)
    asm.movi("a11", _WORDS)
    with loop(asm, "a11"):
        for place in range(_PLACES):
            for half in range(2):
                asm.l32i("a14", INPUTS, 4 * (half + COLUMNS // _PLACES * place))
                asm.add("a13", "a13", "a14")
                asm.s16i("a14", AT, 4 * place + 2 * half)
        asm.addi(AT, AT, 4 * _PLACES)
        asm.addi(INPUTS, INPUTS, 8)
    asm.addi(INPUTS, INPUTS, 4 * COLUMNS - 8 * _WORDS)
    asm.s32i("a13", SUMS, 0)
    asm.addi(SUMS, SUMS, 4)
    asm.addi("a12", "a12", -1)
    asm.bnez("a12", "group of inputs")
    move(asm, SUMS, -4 * groups, _SPARE)


def _multiply_row(asm: XtensaAssembler, groups: int) -> None:
    """One output; pointers to weights go on to the next row."""
    asm.movi(TOTAL, 0)
    asm.addi(AT, "a1", INPUTS_AT - 4)  # LDINC increments first
    asm.ldinc("m0", AT)
    asm.set("a11", groups)
    with loop(asm, "a11"):
        _multiply_group(asm)
    asm.s32i(TOTAL, OUT, 0)
    asm.addi(OUT, OUT, 4)
    move(asm, SUMS, -4 * groups, _SPARE)


def _multiply_group(asm: XtensaAssembler) -> None:
    """Adds the next group to TOTAL. The first two of its inputs are in m0, as those of the next
    group are in the end."""
    asm.mul_aa_ll(_ZERO, _ZERO)
    for word in range(_WORDS):
        asm.l32i(_WORD, WEIGHTS, 4 * word)
        for place in range(_PLACES):
            asm.and_(_NUMBERS, _WORD, _MASK)
            asm.mula_da_ll("m0", _NUMBERS)
            asm.mula_da_hh_ldinc("m0", AT, "m0", _NUMBERS)
            if place + 1 < _PLACES:
                asm.srli(_WORD, _WORD, NUMBER_BITS)
    asm.addi(WEIGHTS, WEIGHTS, GROUP_SIZE)
    asm.l16si("a12", PARTS, 0)
    asm.addi(PARTS, PARTS, 2)
    asm.l32i("a13", SUMS, 0)
    asm.addi(SUMS, SUMS, 4)
    add_group(asm, lambda register: asm.rsr(register, ACCLO))
