"""Xtensa: the registers of `serve`, and the calls of kernels from it."""

from __future__ import annotations

from host.build.machine_code.frames import WORDS
from host.build.machine_code.xtensa import XtensaAssembler

# Registers that a call leaves: the block, frame, answer and position, and two for changing use.
# Others are a call's.
BLOCK, FRAME, ANSWER, POSITION, A, B = "a2", "a3", "a4", "a5", "a6", "a7"
X, Y, Z = "a12", "a13", "a14"
# In the frame: a call's arguments, from 0 on; the decoder's state as it was; layer and phase.
STATE_AT, LAYER_AT, PHASE_AT, ROOM = 32, 48, 52, 56


def get(asm: XtensaAssembler, register: str, word: str) -> None:
    """Loads a word of the block."""
    asm.l32i(register, BLOCK, 4 * WORDS.index(word))


def call(asm: XtensaAssembler, kernel: str, *arguments: str | int) -> None:
    """Calls a kernel's core with words of the block, registers and numbers; its result is in
    a10."""
    for place, argument in enumerate(arguments):
        if isinstance(argument, int):
            asm.movi(X, argument)
            argument = X
        elif argument in WORDS:
            get(asm, X, argument)
            argument = X
        asm.s32i(argument, "a1", 4 * place)
    get(asm, "a8", kernel)
    asm.mov("a10", "a1")
    asm.callx8("a8")


def unless(asm: XtensaAssembler, branch: str, *operands: str) -> None:
    """Goes to "other", which is too far for a branch, unless this one would be taken."""
    holds = asm.unique("holds")
    getattr(asm, branch)(*operands, holds)
    asm.j("other")
    asm.label(holds)
