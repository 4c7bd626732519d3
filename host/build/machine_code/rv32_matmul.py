"""RV32IM matrix products for two positions at a time, so that a weight is loaded once for both.

A position by itself has 16 rows a pass, whose sums take all registers, and three instructions a
product: the weight's load, the multiplication, the addition. With two positions there are 8 rows a
pass, and of a product two instructions and half a load: 2.6 with the inputs' loads, where one
position takes 3.1. Four positions of 4 rows would take 2.5, for twice the code.
"""

from __future__ import annotations

from host.build.machine_code.rv32 import SAVED, Rv32Assembler
from host.build.machine_code.rv32_core import add_constant, each, load_words, saved

_SUMS = (*SAVED, "t4", "t5", "t6", "a7")
# Inputs of both positions and where they are read; what else the loops need.
_INPUT, _OTHER, _INPUTS, _OTHERS = "a0", "ra", "a2", "a6"
_WEIGHTS, _OUTPUTS, _ROWS, _END = "a1", "a3", "a4", "a5"
# Rows of a block, and columns in a turn of its loop.
_BLOCKS = ((8, 2), (1, 2))
# Words on the stack.
(_COUNT, _Y_STEP, _X_STEP, _ALL_ROWS, _FIRST_WEIGHTS, _Y, _X, _BIAS, _OTHER_BIAS) = range(0, 36, 4)
_ROOM = 36


def matmul(asm: Rv32Assembler, columns: int, adds: bool) -> None:
    """The core of the twins matmul_N and, where it adds to y, matmul_add_N.

    Words: weights as matvec's, positions, an even number; y, x, rows, offset of the weights in
    bytes; bytes from a position's y, and x, to the next one's.
    """
    with saved(asm, (*SAVED, "ra"), _ROOM):
        load_words(
            asm,
            {_WEIGHTS: 0, "t0": 1, "t1": 2, "t2": 3, _ROWS: 4, "t3": 5, "t4": 6, "t5": 7},
        )
        asm.add(_WEIGHTS, _WEIGHTS, "t3")
        for register, place in (("t0", _COUNT), ("t1", _Y), ("t2", _X), (_ROWS, _ALL_ROWS),
                                (_WEIGHTS, _FIRST_WEIGHTS), ("t4", _Y_STEP),
                                ("t5", _X_STEP)):  # fmt: skip
            asm.sw(register, place, "sp")
        asm.label("pair")
        asm.lw("t0", _COUNT, "sp")
        asm.addi("t0", "t0", -2)
        asm.bltz("t0", "done")
        asm.sw("t0", _COUNT, "sp")
        _begin_pair(asm, columns)
        for rows, unroll in _BLOCKS:
            _block(asm, rows, columns, unroll, adds)
        asm.j("pair")
        asm.label("done")


def _begin_pair(asm: Rv32Assembler, columns: int) -> None:
    """Registers of the next two positions, and on the stack the biases of their sums and where
    the two after them are."""
    asm.lw(_INPUTS, _X, "sp")
    asm.lw("t0", _X_STEP, "sp")
    asm.add(_OTHERS, _INPUTS, "t0")
    asm.add("t0", "t0", _OTHERS)
    asm.sw("t0", _X, "sp")
    asm.lw(_OUTPUTS, _Y, "sp")
    asm.lw("t0", _Y_STEP, "sp")
    asm.slli("t0", "t0", 1)
    asm.add("t0", "t0", _OUTPUTS)
    asm.sw("t0", _Y, "sp")
    asm.lw(_WEIGHTS, _FIRST_WEIGHTS, "sp")
    asm.lw(_ROWS, _ALL_ROWS, "sp")
    asm.mv(_END, _INPUTS)
    add_constant(asm, _END, 4 * columns, "t0")
    asm.li("t2", 0)
    asm.li("t3", 0)
    asm.mv("t0", _INPUTS)
    asm.mv("t1", _OTHERS)

    def element(i: int) -> None:
        asm.lw("t4", 4 * i, "t0")
        asm.lw("t5", 4 * i, "t1")
        asm.add("t2", "t2", "t4")
        asm.add("t3", "t3", "t5")

    each(asm, {"t0": 4, "t1": 4}, _END, "t6", element, 2)
    for total, place in (("t2", _BIAS), ("t3", _OTHER_BIAS)):
        asm.slli(total, total, 7)
        asm.neg(total, total)
        asm.sw(total, place, "sp")


def _block(asm: Rv32Assembler, rows: int, columns: int, unroll: int, adds: bool) -> None:
    """As many blocks of so many rows as there are."""
    begin, done = asm.unique("rows"), asm.unique("none left")
    sums, others = _SUMS[:rows], _SUMS[rows : 2 * rows]
    asm.label(begin)
    asm.li("t0", rows)
    asm.blt(_ROWS, "t0", done)
    asm.lw("t1", _BIAS, "sp")
    asm.lw("t2", _OTHER_BIAS, "sp")
    asm.lw("t3", _Y_STEP, "sp")
    asm.add("t3", "t3", _OUTPUTS)
    for totals, bias, outputs in ((sums, "t1", _OUTPUTS), (others, "t2", "t3")):
        for r, total in enumerate(totals):
            if adds:
                asm.lw(total, 4 * r, outputs)
                asm.add(total, total, bias)
            else:
                asm.mv(total, bias)
    whole = columns // unroll * unroll
    if whole:
        turn = asm.label(asm.unique("columns"))
        _columns(asm, rows, columns, range(unroll))
        asm.addi(_WEIGHTS, _WEIGHTS, unroll)
        asm.addi(_INPUTS, _INPUTS, 4 * unroll)
        asm.addi(_OTHERS, _OTHERS, 4 * unroll)
        if columns % unroll:
            asm.addi("t0", _END, -4 * (columns % unroll))
            asm.bltu(_INPUTS, "t0", turn)
        else:
            asm.bltu(_INPUTS, _END, turn)
    _columns(asm, rows, columns, range(columns - whole))
    asm.lw("t3", _Y_STEP, "sp")
    asm.add("t3", "t3", _OUTPUTS)
    for totals, outputs in ((sums, _OUTPUTS), (others, "t3")):
        for r, total in enumerate(totals):
            asm.sw(total, 4 * r, outputs)
    add_constant(asm, _WEIGHTS, rows * columns - whole, "t0")
    add_constant(asm, _INPUTS, -4 * whole, "t0")
    add_constant(asm, _OTHERS, -4 * whole, "t0")
    asm.addi(_OUTPUTS, _OUTPUTS, 4 * rows)
    asm.addi(_ROWS, _ROWS, -rows)
    asm.j(begin)
    asm.label(done)


def _columns(asm: Rv32Assembler, rows: int, columns: int, which: range) -> None:
    for column in which:
        asm.lw(_INPUT, 4 * column, _INPUTS)
        asm.lw(_OTHER, 4 * column, _OTHERS)
        for first in range(0, rows, 2):
            some = list(zip(("t0", "t1"), ("t2", "t3"), range(first, rows), strict=False))
            for weight, _, r in some:
                asm.lbu(weight, r * columns + column, _WEIGHTS)
            for weight, product, _ in some:
                asm.mul(product, weight, _INPUT)
            for weight, _, _ in some:
                asm.mul(weight, weight, _OTHER)
            for weight, product, r in some:
                asm.add(_SUMS[r], _SUMS[r], product)
                asm.add(_SUMS[rows + r], _SUMS[rows + r], weight)
