"""What products with matrices in groups of four bits have in common on Xtensa.

Both kernels, lx6_groups.py and pie_groups.py, first write their inputs as int16 onto the stack,
and behind them the sum of each group's. A group then gives its step times the sum of its numbers'
products, and its least value times the sum of its inputs, which is known once for all rows.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from host.build.group_kernels import GROUP_SIZE, STEP_BITS
from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_core import frame, move
from host.model.arithmetic import GROUP_SHIFT
from host.model.groups import COLUMNS

WEIGHTS, OUT, INPUTS, ROWS, PARTS = "a3", "a4", "a5", "a6", "a7"
AT, SUMS, TOTAL = "a8", "a9", "a10"
INPUT_SIZE = 2 * COLUMNS  # bytes of a group's inputs
INPUTS_AT = 16  # on the stack

Part = Callable[[XtensaAssembler, int], None]


def open_frame(asm: XtensaAssembler, groups: int) -> AbstractContextManager[None]:
    """Returns a frame with room for the inputs, whose words are: weights, unused, y, x, rows,
    offset of the weights in bytes."""
    words = {WEIGHTS: 0, OUT: 2, INPUTS: 3, ROWS: 4, "a11": 5}
    return frame(asm, words, INPUTS_AT + (INPUT_SIZE + 4) * groups)


def multiply_rows(
    asm: XtensaAssembler, groups: int, spare: str, prepare: Part, multiply_row: Part
) -> None:
    """Multiplies all rows. prepare: writes the inputs from AT on and their sums from SUMS on, and
    sets what is the same for all rows; multiply_row: gives one output; spare: a register."""
    asm.add(WEIGHTS, WEIGHTS, "a11")
    asm.beqz(ROWS, "done")
    asm.set(PARTS, GROUP_SIZE * groups)
    asm.mull(PARTS, PARTS, ROWS)
    asm.add(PARTS, PARTS, WEIGHTS)
    asm.addi(AT, "a1", INPUTS_AT)
    asm.mov(SUMS, AT)
    move(asm, SUMS, INPUT_SIZE * groups, spare)
    prepare(asm, groups)
    asm.label("row")
    multiply_row(asm, groups)
    asm.addi(ROWS, ROWS, -1)
    asm.bnez(ROWS, "row")
    asm.label("done")


def add_group(asm: XtensaAssembler, read_products: Callable[[str], None]) -> None:
    """Adds a group to TOTAL, rounded half up. In a12 is the group's part, in a13 the sum of its
    inputs; read_products: puts the sum of its numbers' products into a register."""
    asm.extui("a14", "a12", 0, STEP_BITS)
    asm.srai("a12", "a12", STEP_BITS)
    asm.mull("a13", "a13", "a12")
    read_products("a12")
    asm.mull("a12", "a12", "a14")
    asm.add("a12", "a12", "a13")
    asm.addi("a12", "a12", 1 << GROUP_SHIFT >> 1)
    asm.srai("a12", "a12", GROUP_SHIFT)
    asm.add(TOTAL, TOTAL, "a12")
