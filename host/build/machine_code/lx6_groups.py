"""Products with matrices in groups of four bits by MAC16, exact.

A word of 32 bits of a group, masked, is two numbers of 16 bits, of two columns side by side, and
after each shift by 4 bits the next two. MULA multiplies one of them with an input of 16 bits, and
loads the next two inputs.
"""

from __future__ import annotations

from host.build.group_kernels import GROUP_SIZE, NUMBER_BITS, STEP_BITS
from host.build.machine_code.xtensa import ACCLO, XtensaAssembler
from host.build.machine_code.xtensa_core import frame, loop, move
from host.model.arithmetic import GROUP_SHIFT
from host.model.groups import COLUMNS

_WEIGHTS, _OUT, _INPUTS, _ROWS, _PARTS = "a3", "a4", "a5", "a6", "a7"
_AT, _SUMS, _TOTAL, _SPARE = "a8", "a9", "a10", "a11"
_MASK, _ZERO, _WORD, _NUMBERS = "a2", "a0", "a14", "a15"
_INPUT_SIZE = 2 * COLUMNS  # bytes of a group's inputs
_PLACES = 16 // NUMBER_BITS  # of numbers in a half of a word
_WORDS = GROUP_SIZE // 4  # of 32 bits in a group
_INPUTS_AT = 16  # on the stack, and behind them the sum of each group's


def matvec(asm: XtensaAssembler, columns: int) -> None:
    """The core of the twin matvec_groups_N (host/build/group_kernels.py).

    Words: weights, unused, y, x, rows, offset of the weights in bytes. The weights lie at a
    multiple of 4 bytes.
    """
    groups = columns // COLUMNS
    with frame(
        asm, {_WEIGHTS: 0, _OUT: 2, _INPUTS: 3, _ROWS: 4, "a11": 5},
        _INPUTS_AT + (_INPUT_SIZE + 4) * groups,
    ):  # fmt: skip
        asm.s32i("a0", "a1", 0)
        asm.add(_WEIGHTS, _WEIGHTS, "a11")
        asm.beqz(_ROWS, "done")
        asm.set(_PARTS, GROUP_SIZE * groups)
        asm.mull(_PARTS, _PARTS, _ROWS)
        asm.add(_PARTS, _PARTS, _WEIGHTS)
        asm.addi(_AT, "a1", _INPUTS_AT)
        asm.mov(_SUMS, _AT)
        move(asm, _SUMS, _INPUT_SIZE * groups, _SPARE)
        _pack_inputs(asm, groups)
        asm.set(_MASK, 0x000F000F)
        asm.movi(_ZERO, 0)
        asm.label("row")
        _multiply_row(asm, groups)
        asm.addi(_ROWS, _ROWS, -1)
        asm.bnez(_ROWS, "row")
        asm.label("done")
        asm.l32i("a0", "a1", 0)


def _pack_inputs(asm: XtensaAssembler, groups: int) -> None:
    """Writes the inputs from _AT on, as int16 in the order in which they are multiplied, and each
    group's sum from _SUMS on, which is at the first of them in the end."""
    asm.set("a12", groups)
    asm.label("group of inputs")
    asm.movi("a13", 0)
    asm.movi("a11", _WORDS)
    with loop(asm, "a11"):
        for place in range(_PLACES):
            for half in range(2):
                asm.l32i("a14", _INPUTS, 4 * (half + COLUMNS // _PLACES * place))
                asm.add("a13", "a13", "a14")
                asm.s16i("a14", _AT, 4 * place + 2 * half)
        asm.addi(_AT, _AT, 4 * _PLACES)
        asm.addi(_INPUTS, _INPUTS, 8)
    asm.addi(_INPUTS, _INPUTS, 4 * COLUMNS - 8 * _WORDS)
    asm.s32i("a13", _SUMS, 0)
    asm.addi(_SUMS, _SUMS, 4)
    asm.addi("a12", "a12", -1)
    asm.bnez("a12", "group of inputs")
    move(asm, _SUMS, -4 * groups, _SPARE)


def _multiply_row(asm: XtensaAssembler, groups: int) -> None:
    """One output; pointers to weights go on to the next row."""
    asm.movi(_TOTAL, 0)
    asm.addi(_AT, "a1", _INPUTS_AT - 4)  # LDINC increments first
    asm.ldinc("m0", _AT)
    asm.set("a11", groups)
    with loop(asm, "a11"):
        _multiply_group(asm)
    asm.s32i(_TOTAL, _OUT, 0)
    asm.addi(_OUT, _OUT, 4)
    move(asm, _SUMS, -4 * groups, _SPARE)


def _multiply_group(asm: XtensaAssembler) -> None:
    """Adds the next group to _TOTAL. The first two of its inputs are in m0, as those of the next
    group are in the end."""
    asm.mul_aa_ll(_ZERO, _ZERO)
    for word in range(_WORDS):
        asm.l32i(_WORD, _WEIGHTS, 4 * word)
        for place in range(_PLACES):
            asm.and_(_NUMBERS, _WORD, _MASK)
            asm.mula_da_ll("m0", _NUMBERS)
            asm.mula_da_hh_ldinc("m0", _AT, "m0", _NUMBERS)
            if place + 1 < _PLACES:
                asm.srli(_WORD, _WORD, NUMBER_BITS)
    asm.addi(_WEIGHTS, _WEIGHTS, GROUP_SIZE)
    asm.l16si("a12", _PARTS, 0)
    asm.addi(_PARTS, _PARTS, 2)
    asm.l32i("a13", _SUMS, 0)
    asm.addi(_SUMS, _SUMS, 4)
    asm.extui("a14", "a12", 0, STEP_BITS)
    asm.srai("a12", "a12", STEP_BITS)
    asm.mull("a13", "a13", "a12")
    asm.rsr("a12", ACCLO)
    asm.mull("a12", "a12", "a14")
    asm.add("a12", "a12", "a13")
    asm.addi("a12", "a12", 1 << GROUP_SHIFT >> 1)
    asm.srai("a12", "a12", GROUP_SHIFT)
    asm.add(_TOTAL, _TOTAL, "a12")
