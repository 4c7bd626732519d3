"""RV32IM: runs a program of kernels, as firmware/compute/program.py describes it, and a kernel for
each block of a matrix (firmware/compute/placed.py)."""

from __future__ import annotations

from host.build.machine_code.rv32 import Rv32Assembler
from host.build.machine_code.rv32_core import load_words, saved

# Words of multiply_blocks: where the kernel's begin, and three of these.
_KERNELS, _Y, _ROWS, _OFFSET = 3, 5, 7, 8


def run_program(asm: Rv32Assembler) -> None:
    """Words: program, values, position, out."""
    with saved(asm, ("s0", "ra")):
        load_words(asm, {"s0": 0, "a1": 1, "a2": 2, "a3": 3})
        asm.sw("a2", 0, "a1")
        asm.addi("a2", "a2", 1)
        asm.sw("a2", 4, "a1")
        asm.sw("a3", 8, "a1")
        asm.lw("a4", 0, "s0")
        asm.addi("s0", "s0", 4)
        asm.beqz("a4", "filled")
        asm.label("fill")
        asm.lw("t0", 0, "s0")
        asm.lw("t1", 4, "s0")
        asm.add("t1", "t1", "a1")
        asm.lw("t1", 0, "t1")
        asm.addi("s0", "s0", 8)
        asm.addi("a4", "a4", -1)
        asm.sw("t1", 0, "t0")
        asm.bnez("a4", "fill")
        asm.label("filled")
        asm.lw("t0", 0, "s0")
        asm.beqz("t0", "done")
        asm.label("call")
        asm.lw("t1", 4, "s0")
        asm.addi("a0", "s0", 8)
        asm.add("s0", "a0", "t1")
        asm.jalr("ra", 0, "t0")
        asm.lw("t0", 0, "s0")
        asm.bnez("t0", "call")
        asm.label("done")


def multiply_blocks(asm: Rv32Assembler) -> None:
    """Words: kernel, rows of a block, its bytes; then the kernel's, of which y, the rows and the
    offset of the weights are changed from block to block, and are in the end as they were."""
    with saved(asm, ("s0", "s1", "s2", "s3", "s4", "ra")):
        load_words(asm, {"s2": _Y, "s3": _ROWS, "s4": _OFFSET})
        asm.mv("s0", "a0")
        asm.mv("s1", "s3")
        asm.label("block")
        asm.lw("t0", 4, "s0")
        asm.bgeu("s1", "t0", "whole")
        asm.mv("t0", "s1")
        asm.label("whole")
        asm.sw("t0", 4 * _ROWS, "s0")
        asm.sub("s1", "s1", "t0")
        asm.lw("t1", 0, "s0")
        asm.addi("a0", "s0", 4 * _KERNELS)
        asm.jalr("ra", 0, "t1")
        asm.beqz("s1", "done")
        asm.lw("t0", 4, "s0")
        asm.slli("t0", "t0", 2)
        asm.lw("t1", 4 * _Y, "s0")
        asm.add("t1", "t1", "t0")
        asm.sw("t1", 4 * _Y, "s0")
        asm.lw("t0", 8, "s0")
        asm.lw("t1", 4 * _OFFSET, "s0")
        asm.add("t1", "t1", "t0")
        asm.sw("t1", 4 * _OFFSET, "s0")
        asm.j("block")
        asm.label("done")
        asm.sw("s2", 4 * _Y, "s0")
        asm.sw("s3", 4 * _ROWS, "s0")
        asm.sw("s4", 4 * _OFFSET, "s0")
