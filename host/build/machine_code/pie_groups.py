"""Products with matrices in groups of four bits on the ESP32-S3's vector unit, exact.

A group's 16 bytes, masked, are eight numbers of 16 bits, and after each shift by 4 bits the next
eight: the unit multiplies them with inputs of 16 bits, as they are. Each group's sum is taken from
it, multiplied with the group's step, and added to the least value times the sum of its inputs,
which is known once for all rows.
"""

from __future__ import annotations

from host.build.group_kernels import GROUP_SIZE, NUMBER_BITS, STEP_BITS
from host.build.machine_code.xtensa import ACCX_0, XtensaAssembler
from host.build.machine_code.xtensa_core import frame, loop, move
from host.model.arithmetic import GROUP_SHIFT
from host.model.groups import COLUMNS

_WEIGHTS, _OUT, _INPUTS, _ROWS, _PARTS = "a3", "a4", "a5", "a6", "a7"
_AT, _SUMS, _TOTAL, _SPARE = "a8", "a9", "a10", "a15"
_WORDS, _MASK = "q4", "q7"  # what is left of a group's numbers; 15 in each element
_VECTOR = 16
_INPUT_SIZE = 2 * COLUMNS  # bytes of a group's inputs
_GROUPS_A_TURN = 2


def matvec(asm: XtensaAssembler, columns: int) -> None:
    """The core of the twin matvec_groups_N (host/build/group_kernels.py).

    Words: weights, unused, y, x, rows, offset of the weights in bytes. The weights and x lie at
    multiples of 16 bytes.
    """
    groups = columns // COLUMNS
    inputs = _VECTOR  # on the stack, and behind them the sum of each group's
    with frame(
        asm, {_WEIGHTS: 0, _OUT: 2, _INPUTS: 3, _ROWS: 4, "a11": 5},
        inputs + (_INPUT_SIZE + 4) * groups,
    ):  # fmt: skip
        asm.add(_WEIGHTS, _WEIGHTS, "a11")
        asm.beqz(_ROWS, "done")
        asm.set(_PARTS, GROUP_SIZE * groups)
        asm.mull(_PARTS, _PARTS, _ROWS)
        asm.add(_PARTS, _PARTS, _WEIGHTS)
        asm.addi(_AT, "a1", inputs)
        asm.mov(_SUMS, _AT)
        move(asm, _SUMS, _INPUT_SIZE * groups, _SPARE)
        _pack_inputs(asm, groups)
        _broadcast(asm, _MASK, (1 << NUMBER_BITS) - 1)
        asm.ssai(NUMBER_BITS)
        move(asm, _AT, -_INPUT_SIZE * groups, _SPARE)
        asm.ee_vld_128_ip(_WORDS, _WEIGHTS, _VECTOR)
        asm.label("row")
        _multiply_row(asm, groups)
        asm.addi(_ROWS, _ROWS, -1)
        asm.bnez(_ROWS, "row")
        asm.label("done")


def _broadcast(asm: XtensaAssembler, register: str, value: int) -> None:
    """Each element of 16 bits = value; changes the word at a1."""
    asm.movi("a11", value)
    asm.s32i("a11", "a1", 0)
    asm.ee_vldbc_16(register, "a1")


def _pack_inputs(asm: XtensaAssembler, groups: int) -> None:
    """Writes the inputs as int16 from _AT on, which goes behind them, and each group's sum from
    _SUMS on, which is at the first of them in the end."""
    _broadcast(asm, _MASK, 1)
    asm.set("a11", groups)
    with loop(asm, "a11"):
        asm.ee_zero_accx()
        for _ in range(COLUMNS // 8):
            asm.ee_vld_128_ip("q0", _INPUTS, _VECTOR)
            asm.ee_vld_128_ip("q1", _INPUTS, _VECTOR)
            asm.ee_vunzip_16("q0", "q1")
            asm.ee_vst_128_ip("q0", _AT, _VECTOR)
            asm.ee_vmulas_s16_accx("q0", _MASK)
        asm.nop()  # others leave some time before ACCX is read
        asm.nop()
        asm.rur("a12", ACCX_0)
        asm.s32i("a12", _SUMS, 0)
        asm.addi(_SUMS, _SUMS, 4)
    move(asm, _SUMS, -4 * groups, _SPARE)


def _multiply_row(asm: XtensaAssembler, groups: int) -> None:
    """One output. The first group's numbers are in _WORDS; the next row's are in the end."""
    asm.movi(_TOTAL, 0)
    asm.ee_vld_128_ip("q0", _AT, _VECTOR)
    turns, rest = divmod(groups, _GROUPS_A_TURN)
    if turns:
        asm.set("a11", turns)
        with loop(asm, "a11"):
            _multiply_groups(asm, _GROUPS_A_TURN)
    if rest:
        _multiply_groups(asm, rest)
    asm.s32i(_TOTAL, _OUT, 0)
    asm.addi(_OUT, _OUT, 4)
    # One vector of inputs was loaded too many.
    move(asm, _AT, -_INPUT_SIZE * groups - _VECTOR, _SPARE)
    move(asm, _SUMS, -4 * groups, _SPARE)


def _multiply_groups(asm: XtensaAssembler, count: int) -> None:
    """Adds the next groups to _TOTAL."""
    for i in range(count):
        asm.ee_zero_accx()
        for part in range(COLUMNS // 8):
            asm.ee_andq(f"q{5 + part % 2}", _WORDS, _MASK)
            if part < 3:
                asm.ee_vsr_32(_WORDS, _WORDS)
            else:
                asm.ee_vld_128_ip(_WORDS, _WEIGHTS, _VECTOR)
            asm.ee_vmulas_s16_accx_ld_ip(
                f"q{(part + 1) % 4}", _AT, _VECTOR, f"q{part}", f"q{5 + part % 2}"
            )
        # Meanwhile the last product gets ready.
        asm.l16si("a12", _PARTS, 2 * i)
        asm.l32i("a13", _SUMS, 4 * i)
        asm.extui("a14", "a12", 0, STEP_BITS)
        asm.srai("a12", "a12", STEP_BITS)
        asm.mull("a13", "a13", "a12")
        asm.rur("a12", ACCX_0)
        asm.mull("a12", "a12", "a14")
        asm.add("a12", "a12", "a13")
        asm.addi("a12", "a12", 1 << GROUP_SHIFT >> 1)
        asm.srai("a12", "a12", GROUP_SHIFT)
        asm.add(_TOTAL, _TOTAL, "a12")
    asm.addi(_PARTS, _PARTS, 2 * count)
    asm.addi(_SUMS, _SUMS, 4 * count)
