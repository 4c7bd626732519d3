"""Xtensa: runs a program of kernels, as firmware/compute/program.py describes it, and a kernel for
each block of a matrix (firmware/compute/placed.py)."""

from __future__ import annotations

from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_core import calling_frame, loop

# Words of multiply_blocks: where the kernel's begin, and three of these.
_KERNELS, _Y, _ROWS, _OFFSET = 3, 5, 7, 8


def run_program(asm: XtensaAssembler) -> None:
    """Words: program, values, position, out."""
    with calling_frame(asm, {"a3": 0, "a4": 1, "a5": 2, "a6": 3}):
        asm.s32i("a5", "a4", 0)
        asm.addi("a5", "a5", 1)
        asm.s32i("a5", "a4", 4)
        asm.s32i("a6", "a4", 8)
        asm.l32i("a7", "a3", 0)
        asm.addi("a3", "a3", 4)
        with loop(asm, "a7"):
            asm.l32i("a8", "a3", 0)
            asm.l32i("a9", "a3", 4)
            asm.addi("a3", "a3", 8)
            asm.add("a9", "a9", "a4")
            asm.l32i("a9", "a9", 0)
            asm.s32i("a9", "a8", 0)
        asm.label("call")
        asm.l32i("a8", "a3", 0)
        asm.beqz("a8", "done")
        asm.l32i("a9", "a3", 4)
        asm.addi("a10", "a3", 8)
        asm.add("a3", "a10", "a9")
        asm.callx8("a8")
        asm.j("call")
        asm.label("done")


def multiply_blocks(asm: XtensaAssembler) -> None:
    """Words: kernel, rows of a block, its bytes; then the kernel's, of which y, the rows and the
    offset of the weights are changed from block to block, and are in the end as they were."""
    with calling_frame(asm, {"a3": _ROWS, "a4": _Y, "a5": _ROWS, "a6": _OFFSET}):
        asm.label("block")
        asm.l32i("a8", "a2", 4)
        asm.minu("a8", "a8", "a3")
        asm.s32i("a8", "a2", 4 * _ROWS)
        asm.sub("a3", "a3", "a8")
        asm.l32i("a8", "a2", 0)
        asm.addi("a10", "a2", 4 * _KERNELS)
        asm.callx8("a8")
        asm.beqz("a3", "done")
        asm.l32i("a8", "a2", 4)
        asm.l32i("a9", "a2", 4 * _Y)
        asm.slli("a8", "a8", 2)
        asm.add("a9", "a9", "a8")
        asm.s32i("a9", "a2", 4 * _Y)
        asm.l32i("a8", "a2", 8)
        asm.l32i("a9", "a2", 4 * _OFFSET)
        asm.add("a9", "a9", "a8")
        asm.s32i("a9", "a2", 4 * _OFFSET)
        asm.j("block")
        asm.label("done")
        asm.s32i("a4", "a2", 4 * _Y)
        asm.s32i("a5", "a2", 4 * _ROWS)
        asm.s32i("a6", "a2", 4 * _OFFSET)
