"""RV32IM matrix-vector products: some rows at a time, so that an input is loaded once for all."""

from __future__ import annotations

from host.build.machine_code.rv32 import SAVED, Rv32Assembler
from host.build.machine_code.rv32_core import add_constant, each, load_words, saved

_SUMS = (*SAVED, "t4", "t5", "t6", "a7")
_FETCHED = ("t0", "t1", "t2", "t3")  # as many weights are loaded ahead of their use
_INPUT, _WEIGHTS, _INPUTS, _OUTPUTS, _ROWS, _END, _BIAS = (
    "a0", "a1", "a2", "a3", "a4", "a5", "a6",
)  # fmt: skip
# Rows of a block, and columns in a turn of its loop.
_BLOCKS = ((16, 2), (4, 2), (1, 4))
_REACH = 2048  # of a load's offset, in either direction


def matvec(asm: Rv32Assembler, columns: int, adds: bool) -> None:
    """The core of the twins matvec_N and, where it adds to y, matvec_add_N.

    Words: weights u8 [rows, columns] + 128, unused, y, x, rows, offset of the weights in bytes. A
    sum begins with -128 times the sum of x.
    """
    with saved(asm, SAVED):
        load_words(asm, {_WEIGHTS: 0, _OUTPUTS: 2, _INPUTS: 3, _ROWS: 4, "t0": 5})
        asm.add(_WEIGHTS, _WEIGHTS, "t0")
        _sum_inputs(asm, columns)
        blocks = [block for block in _BLOCKS if (block[0] - 1) * columns + 8 <= 2 * _REACH]
        for rows, unroll in blocks:
            _block(asm, rows, columns, unroll, adds)


def _sum_inputs(asm: Rv32Assembler, columns: int) -> None:
    """The bias of all sums; the inputs' begin and end stay in their registers."""
    asm.mv("t1", _INPUTS)
    asm.mv(_END, _INPUTS)
    add_constant(asm, _END, 4 * columns, "t0")
    asm.li(_BIAS, 0)

    def element(i: int) -> None:
        fetched = ("t2", "t3", "t4", "t5")[i]
        asm.lw(fetched, 4 * i, "t1")
        asm.add(_BIAS, _BIAS, fetched)

    each(asm, {"t1": 4}, _END, "t6", element, 4)
    asm.slli(_BIAS, _BIAS, 7)
    asm.neg(_BIAS, _BIAS)


def _block(asm: Rv32Assembler, rows: int, columns: int, unroll: int, adds: bool) -> None:
    """As many blocks of so many rows as there are."""
    begin, done = asm.unique("rows"), asm.unique("done")
    # Weights are found from the middle of what a load can reach, where its one half does not do.
    middle = _REACH if (rows - 1) * columns + unroll > _REACH else 0
    asm.label(begin)
    asm.li("t0", rows)
    asm.blt(_ROWS, "t0", done)
    if middle:
        add_constant(asm, _WEIGHTS, middle, "t0")
    for r, total in enumerate(_SUMS[:rows]):
        if adds:
            asm.lw(total, 4 * r, _OUTPUTS)
            asm.add(total, total, _BIAS)
        else:
            asm.mv(total, _BIAS)
    whole = columns // unroll * unroll
    if whole:
        turn = asm.label(asm.unique("columns"))
        _columns(asm, rows, columns, range(unroll), middle)
        asm.addi(_WEIGHTS, _WEIGHTS, unroll)
        asm.addi(_INPUTS, _INPUTS, 4 * unroll)
        if columns % unroll:
            asm.addi("t0", _END, -4 * (columns % unroll))
            asm.bltu(_INPUTS, "t0", turn)
        else:
            asm.bltu(_INPUTS, _END, turn)
    _columns(asm, rows, columns, range(columns - whole), middle)
    for r, total in enumerate(_SUMS[:rows]):
        asm.sw(total, 4 * r, _OUTPUTS)
    add_constant(asm, _WEIGHTS, rows * columns - whole - middle, "t0")
    add_constant(asm, _INPUTS, -4 * whole, "t0")
    asm.addi(_OUTPUTS, _OUTPUTS, 4 * rows)
    asm.addi(_ROWS, _ROWS, -rows)
    asm.j(begin)
    asm.label(done)


def _columns(asm: Rv32Assembler, rows: int, columns: int, which: range, middle: int) -> None:
    for column in which:
        asm.lw(_INPUT, 4 * column, _INPUTS)
        for first in range(0, rows, len(_FETCHED)):
            some = list(zip(_FETCHED, range(first, rows), strict=False))
            for fetched, r in some:
                asm.lbu(fetched, r * columns + column - middle, _WEIGHTS)
            for fetched, _ in some:
                asm.mul(fetched, fetched, _INPUT)
            for fetched, r in some:
                asm.add(_SUMS[r], _SUMS[r], fetched)
