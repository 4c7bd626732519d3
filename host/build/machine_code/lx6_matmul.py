"""Matrix products for several positions by MAC16: weights are read once for all of them.

MULA has one accumulator, so each position goes over the words of a pair of rows by itself. But
cutting off their upper bytes, which takes a position by itself longer than multiplying with them
(lx6_matrix.py), is done once for all, into a row on the stack.
"""

from __future__ import annotations

from collections.abc import Callable

from host.build.machine_code.lx6_matrix import (
    multiply_bytes,
    multiply_words,
    pack_inputs,
    subtract_lower,
)
from host.build.machine_code.xtensa import ACCHI, ACCLO, XtensaAssembler
from host.build.machine_code.xtensa_core import frame, loop, move
from host.hardware.kernels import positions_in_pass
from protocol.shard_layout import PAIRS

# lx6_matrix's, and what else there is: where the outputs of a pair of rows go, of the first
# position and of the one whose turn it is; where the last position's inputs end.
_WEIGHTS, _INPUTS, _ROWS, _BIAS, _ZERO = "a3", "a5", "a6", "a7", "a0"
_FOURS, _AT, _OUTPUTS, _OUT, _END = "a8", "a10", "a4", "a9", "a2"
# Bytes on the stack: words, and a row's lower bytes; then each position's bias and inputs.
_RETURN, _Y_STEP, _ALL_ROWS, _X_STEP, _LOWER = 0, 4, 8, 12, 16


def matmul(asm: XtensaAssembler, columns: int) -> None:
    """The core of the twin matmul_N for rows in pairs.

    Words: weights as matvec's, positions, at most positions_in_pass; y, x, rows, offset of the
    weights in bytes; bytes from a position's y, and x, to the next one's.
    """
    filled = columns + -columns % PAIRS
    step = 4 + 2 * filled
    words = {_WEIGHTS: 0, "a15": 1, _OUTPUTS: 2, _INPUTS: 3, _ROWS: 4, "a8": 5, "a9": 6, "a11": 7}
    # LDINC loads some bytes more than there are.
    with frame(asm, words, _LOWER + 2 * filled + step * positions_in_pass(columns) + 16):
        for register, place in (("a0", _RETURN), ("a9", _Y_STEP), (_ROWS, _ALL_ROWS),
                                ("a11", _X_STEP)):  # fmt: skip
            asm.s32i(register, "a1", place)
        asm.add(_WEIGHTS, _WEIGHTS, "a8")
        _pack_positions(asm, columns, filled)
        asm.movi(_ZERO, 0)
        asm.movi(_FOURS, filled // 4 - 1)
        asm.ssai(8)
        asm.srli(_ROWS, _ROWS, 1)
        asm.beqz(_ROWS, "last row")
        asm.label("pair")
        _cut_lower(asm, filled)
        _each_position(asm, filled, _multiply_pair)
        asm.addi(_OUTPUTS, _OUTPUTS, 8)
        move(asm, _WEIGHTS, 2 * filled, "a11")
        asm.addi(_ROWS, _ROWS, -1)
        asm.bnez(_ROWS, "pair")
        asm.label("last row")
        asm.l32i("a11", "a1", _ALL_ROWS)
        asm.extui("a11", "a11", 0, 1)
        asm.beqz("a11", "done")
        _each_position(asm, filled, lambda asm: _multiply_last(asm, filled))
        asm.label("done")
        asm.l32i("a0", "a1", _RETURN)


def _pack_positions(asm: XtensaAssembler, columns: int, filled: int) -> None:
    """Writes all positions' biases and inputs as int16 to the stack; _END = where they end; a15 =
    positions."""
    asm.mov("a14", "a1")
    move(asm, "a14", _LOWER + 2 * filled, "a11")
    asm.mov("a13", _INPUTS)
    asm.label("inputs")
    asm.mov(_INPUTS, "a13")
    asm.addi(_AT, "a14", 4)
    pack_inputs(asm, columns, filled)
    asm.s32i(_BIAS, "a14", 0)
    move(asm, "a14", 4 + 2 * filled, "a11")
    asm.l32i("a11", "a1", _X_STEP)
    asm.add("a13", "a13", "a11")
    asm.addi("a15", "a15", -1)
    asm.bnez("a15", "inputs")
    asm.mov(_END, "a14")


def _cut_lower(asm: XtensaAssembler, filled: int) -> None:
    """Writes the lower bytes of a pair of rows to the stack."""
    together = next(several for several in (4, 2, 1) if filled // 4 % several == 0)
    asm.mov("a14", _WEIGHTS)
    asm.addi("a15", "a1", _LOWER)
    asm.set(_OUT, 0x00FF00FF)
    asm.movi("a13", filled // 4 // together)
    with loop(asm, "a13"):
        for i in range(together):
            asm.l32i("a11", "a14", 8 * i)
            asm.l32i("a12", "a14", 8 * i + 4)
            asm.and_("a11", "a11", _OUT)
            asm.and_("a12", "a12", _OUT)
            asm.s32i("a11", "a15", 8 * i)
            asm.s32i("a12", "a15", 8 * i + 4)
        asm.addi("a14", "a14", 8 * together)
        asm.addi("a15", "a15", 8 * together)


def _each_position(
    asm: XtensaAssembler, filled: int, multiply: Callable[[XtensaAssembler], None]
) -> None:
    """Does `multiply` for each position, with its _INPUTS, _BIAS and _OUT."""
    again, done = asm.unique("position"), asm.unique("positions done")
    asm.mov(_OUT, _OUTPUTS)
    asm.mov(_INPUTS, "a1")
    move(asm, _INPUTS, _LOWER + 2 * filled, "a11")
    asm.label(again)
    asm.l32i(_BIAS, _INPUTS, 0)
    multiply(asm)
    asm.l32i("a11", "a1", _Y_STEP)
    asm.add(_OUT, _OUT, "a11")
    move(asm, _INPUTS, 4 + 2 * filled, "a11")
    asm.beq(_INPUTS, _END, done)
    asm.j(again)
    asm.label(done)


def _multiply_pair(asm: XtensaAssembler) -> None:
    """Two outputs of a position."""
    multiply_words(asm, _WEIGHTS)
    asm.rsr("a12", ACCLO)
    asm.rsr("a13", ACCHI)
    asm.addi("a14", "a1", _LOWER)
    multiply_words(asm, "a14")
    subtract_lower(asm)
    asm.add("a14", "a14", _BIAS)
    asm.s32i("a14", _OUT, 0)
    asm.s32i("a12", _OUT, 4)


def _multiply_last(asm: XtensaAssembler, filled: int) -> None:
    """A position's output of the last of an odd number of rows."""
    multiply_bytes(asm, filled)
    move(asm, _WEIGHTS, -filled, "a11")
    asm.add("a12", "a12", _BIAS)
    asm.s32i("a12", _OUT, 0)
