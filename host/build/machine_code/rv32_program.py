"""RV32IM: runs a program of kernels, as firmware/compute/program.py describes it."""

from __future__ import annotations

from host.build.machine_code.rv32 import Rv32Assembler
from host.build.machine_code.rv32_core import load_words, saved


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
