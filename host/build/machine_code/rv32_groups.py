"""RV32IM products with matrices in groups of four bits: some rows at a time, so that an input is
loaded once for all.

As in the viper twin (host/build/group_kernels.py), numbers are not masked: each input is less by
16 times the one whose number lies below it, here in a word of 32 bits.
"""

from __future__ import annotations

from host.build.group_kernels import GROUP_SIZE, NUMBER_BITS, STEP_BITS
from host.build.machine_code.rv32 import SAVED, Rv32Assembler
from host.build.machine_code.rv32_core import add_constant, load_words, saved
from host.model.arithmetic import GROUP_SHIFT
from host.model.groups import COLUMNS

# Of each row: what is left of a word that is multiplied, the sum of a group, and of all.
_LEFT, _SUMS, _TOTALS = SAVED[:4], SAVED[4:8], SAVED[8:]
_INPUT, _WEIGHTS, _INPUTS, _OUTPUTS, _ROWS, _END, _PARTS, _GROUP_END = (
    "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7",
)  # fmt: skip
_PRODUCTS = ("t1", "t2", "t3", "t4")
_NUMBERS = 8  # in a word of 32 bits
# On the stack each group has its inputs, in the order in which they are multiplied, and their sum.
_INPUT_SIZE = 4 * (COLUMNS + 1)
# So that these take no more than 4 KB, and loads reach the weights of all rows of a block.
MOST_COLUMNS = 992
_BLOCKS = (4, 1)  # rows


def matvec(asm: Rv32Assembler, columns: int) -> None:
    """The core of the twin matvec_groups_N.

    Words: weights, unused, y, x, rows, offset of the weights in bytes. The weights lie at a
    multiple of 4 bytes. columns: at most MOST_COLUMNS.
    """
    groups = columns // COLUMNS
    stride, room = GROUP_SIZE * groups, -(-_INPUT_SIZE * groups // 16) * 16
    with saved(asm, SAVED):
        load_words(asm, {_WEIGHTS: 0, _OUTPUTS: 2, _INPUTS: 3, _ROWS: 4, "t0": 5})
        add_constant(asm, "sp", -room, "t1")
        asm.add(_WEIGHTS, _WEIGHTS, "t0")
        asm.li("t0", stride)
        asm.mul("t0", "t0", _ROWS)
        asm.add(_PARTS, _WEIGHTS, "t0")
        asm.mv(_END, "sp")
        add_constant(asm, _END, _INPUT_SIZE * groups, "t0")
        _order_inputs(asm)
        for rows in _BLOCKS:
            _block(asm, rows, groups)
        add_constant(asm, "sp", room, "t0")


def _order_inputs(asm: Rv32Assembler) -> None:
    """Writes all groups' inputs to the stack, up to _END."""
    asm.mv("t0", "sp")
    asm.label("group of inputs")
    asm.li("t5", 0)
    asm.addi(_GROUP_END, "t0", 4 * COLUMNS)
    asm.label("word of inputs")
    for i in range(_NUMBERS):
        # Numbers of two columns side by side are in a word: four of each, 8 columns apart.
        half, place = divmod(i, _NUMBERS // 2)
        now, before = ("t1", "t2") if i % 2 else ("t2", "t1")
        asm.lw(now, 4 * (half + 8 * place), _INPUTS)
        asm.add("t5", "t5", now)
        if i:
            asm.slli(before, before, NUMBER_BITS)
            asm.sub(before, now, before)
        asm.sw(before if i else now, 4 * i, "t0")
    asm.addi("t0", "t0", 4 * _NUMBERS)
    asm.addi(_INPUTS, _INPUTS, 8)
    asm.bltu("t0", _GROUP_END, "word of inputs")
    asm.sw("t5", 0, "t0")
    asm.addi("t0", "t0", 4)
    asm.addi(_INPUTS, _INPUTS, 4 * COLUMNS - 4 * 8)
    asm.bltu("t0", _END, "group of inputs")


def _block(asm: Rv32Assembler, rows: int, groups: int) -> None:
    """As many blocks of so many rows as there are."""
    begin, done, group = (asm.unique(name) for name in ("rows", "done", "group"))
    stride = GROUP_SIZE * groups
    asm.label(begin)
    asm.li("t0", rows)
    asm.blt(_ROWS, "t0", done)
    asm.mv(_INPUTS, "sp")
    for total in _TOTALS[:rows]:
        asm.li(total, 0)
    asm.label(group)
    _multiply_group(asm, rows, stride)
    _add_group(asm, rows, groups)
    asm.bltu(_INPUTS, _END, group)
    for r, total in enumerate(_TOTALS[:rows]):
        asm.sw(total, 4 * r, _OUTPUTS)
    add_constant(asm, _WEIGHTS, (rows - 1) * stride, "t0")
    add_constant(asm, _PARTS, (rows - 1) * 2 * groups, "t0")
    asm.addi(_OUTPUTS, _OUTPUTS, 4 * rows)
    asm.addi(_ROWS, _ROWS, -rows)
    asm.j(begin)
    asm.label(done)


def _multiply_group(asm: Rv32Assembler, rows: int, stride: int) -> None:
    """_SUMS = the products of a group's numbers; pointers go behind them."""
    word = asm.unique("word")
    for total in _SUMS[:rows]:
        asm.li(total, 0)
    asm.addi(_GROUP_END, _INPUTS, 4 * COLUMNS)
    asm.label(word)
    for r, left in enumerate(_LEFT[:rows]):
        asm.lw(left, r * stride, _WEIGHTS)
    for i in range(_NUMBERS):
        asm.lw(_INPUT, 4 * i, _INPUTS)
        some = list(zip(_LEFT, _PRODUCTS, _SUMS, strict=True))[:rows]
        for left, product, _ in some:
            asm.mul(product, left, _INPUT)
        if i + 1 < _NUMBERS:
            for left, _, _ in some:
                asm.srli(left, left, NUMBER_BITS)
        for _, product, total in some:
            asm.add(total, total, product)
    asm.addi(_INPUTS, _INPUTS, 4 * _NUMBERS)
    asm.addi(_WEIGHTS, _WEIGHTS, 4)
    asm.bltu(_INPUTS, _GROUP_END, word)


def _add_group(asm: Rv32Assembler, rows: int, groups: int) -> None:
    """Adds a group's sums, times its steps, and its least values to _TOTALS."""
    asm.lw(_INPUT, 0, _INPUTS)  # the sum of its inputs
    asm.addi(_INPUTS, _INPUTS, 4)
    for r, (product, summed, total) in enumerate(
        list(zip(_PRODUCTS, _SUMS, _TOTALS, strict=True))[:rows]
    ):
        asm.lh(product, 2 * groups * r, _PARTS)
        asm.andi("t0", product, (1 << STEP_BITS) - 1)
        asm.srai(product, product, STEP_BITS)
        asm.mul(summed, summed, "t0")
        asm.mul(product, product, _INPUT)
        asm.add(summed, summed, product)
        asm.addi(summed, summed, 1 << GROUP_SHIFT >> 1)
        asm.srai(summed, summed, GROUP_SHIFT)
        asm.add(total, total, summed)
    asm.addi(_PARTS, _PARTS, 2)
