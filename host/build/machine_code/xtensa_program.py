"""Xtensa: runs a program of kernels, as firmware/compute/program.py describes it."""

from __future__ import annotations

from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_core import calling_frame, loop


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
