"""Products with matrices in groups of four bits on the ESP32-S3's vector unit, exact.

A group's 16 bytes, masked, are eight numbers of 16 bits, and after each shift by 4 bits the next
eight: the unit multiplies them with inputs of 16 bits, as they are. Each group's sum is taken from
it, multiplied with the group's step, and added to the least value times the sum of its inputs,
which is known once for all rows.
"""

from __future__ import annotations

from host.build.group_kernels import NUMBER_BITS
from host.build.machine_code.xtensa import ACCX_0, XtensaAssembler
from host.build.machine_code.xtensa_core import loop, move
from host.build.machine_code.xtensa_groups import (
    AT,
    INPUT_SIZE,
    INPUTS,
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

_SPARE = "a15"
_WORDS, _MASK = "q4", "q7"  # what is left of a group's numbers; 15 in each element
_VECTOR = 16
_GROUPS_A_TURN = 2


def matvec(asm: XtensaAssembler, columns: int) -> None:
    """The core of the twin matvec_groups_N (host/build/group_kernels.py).

    The weights and x lie at multiples of 16 bytes.
    """
    groups = columns // COLUMNS
    with open_frame(asm, groups):
        multiply_rows(asm, groups, _SPARE, _prepare, _multiply_row)


def _prepare(asm: XtensaAssembler, groups: int) -> None:
    """Has AT at the inputs, and the first group's numbers in _WORDS."""
    _pack_inputs(asm, groups)
    _broadcast(asm, _MASK, (1 << NUMBER_BITS) - 1)
    asm.ssai(NUMBER_BITS)
    move(asm, AT, -INPUT_SIZE * groups, _SPARE)
    asm.ee_vld_128_ip(_WORDS, WEIGHTS, _VECTOR)


def _broadcast(asm: XtensaAssembler, register: str, value: int) -> None:
    """Each element of 16 bits = value; changes the word at a1."""
    asm.movi("a11", value)
    asm.s32i("a11", "a1", 0)
    asm.ee_vldbc_16(register, "a1")


def _pack_inputs(asm: XtensaAssembler, groups: int) -> None:
    """Writes the inputs as int16 from AT on, which goes behind them, and each group's sum from
    SUMS on, which is at the first of them in the end."""
    _broadcast(asm, _MASK, 1)
    asm.set("a11", groups)
    with loop(asm, "a11"):
        asm.ee_zero_accx()
        for _ in range(COLUMNS // 8):
            asm.ee_vld_128_ip("q0", INPUTS, _VECTOR)
            asm.ee_vld_128_ip("q1", INPUTS, _VECTOR)
            asm.ee_vunzip_16("q0", "q1")
            asm.ee_vst_128_ip("q0", AT, _VECTOR)
            asm.ee_vmulas_s16_accx("q0", _MASK)
        asm.nop()  # others leave some time before ACCX is read
        asm.nop()
        asm.rur("a12", ACCX_0)
        asm.s32i("a12", SUMS, 0)
        asm.addi(SUMS, SUMS, 4)
    move(asm, SUMS, -4 * groups, _SPARE)


def _multiply_row(asm: XtensaAssembler, groups: int) -> None:
    """One output. The first group's numbers are in _WORDS; the next row's are in the end."""
    asm.movi(TOTAL, 0)
    asm.ee_vld_128_ip("q0", AT, _VECTOR)
    turns, rest = divmod(groups, _GROUPS_A_TURN)
    if turns:
        asm.set("a11", turns)
        with loop(asm, "a11"):
            _multiply_groups(asm, _GROUPS_A_TURN)
    if rest:
        _multiply_groups(asm, rest)
    asm.s32i(TOTAL, OUT, 0)
    asm.addi(OUT, OUT, 4)
    # One vector of inputs was loaded too many.
    move(asm, AT, -INPUT_SIZE * groups - _VECTOR, _SPARE)
    move(asm, SUMS, -4 * groups, _SPARE)


def _multiply_groups(asm: XtensaAssembler, count: int) -> None:
    """Adds the next groups to TOTAL."""
    for i in range(count):
        asm.ee_zero_accx()
        for part in range(COLUMNS // 8):
            asm.ee_andq(f"q{5 + part % 2}", _WORDS, _MASK)
            if part < 3:
                asm.ee_vsr_32(_WORDS, _WORDS)
            else:
                asm.ee_vld_128_ip(_WORDS, WEIGHTS, _VECTOR)
            asm.ee_vmulas_s16_accx_ld_ip(
                f"q{(part + 1) % 4}", AT, _VECTOR, f"q{part}", f"q{5 + part % 2}"
            )
        # Meanwhile the last product gets ready.
        asm.l16si("a12", PARTS, 2 * i)
        asm.l32i("a13", SUMS, 4 * i)
        add_group(asm, lambda register: asm.rur(register, ACCX_0))
    asm.addi(PARTS, PARTS, 2 * count)
    asm.addi(SUMS, SUMS, 4 * count)
