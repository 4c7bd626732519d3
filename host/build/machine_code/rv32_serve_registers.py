"""RV32IM: the registers of `serve`, and the calls of kernels from it."""

from __future__ import annotations

from host.build.machine_code.frames import WORDS
from host.build.machine_code.rv32 import SAVED, Rv32Assembler

ROOM = 32  # for a call's arguments

# Registers that last: the block, frame, answer, position, layer and phase; two for changing use;
# and the decoder's state as it was.
BLOCK, FRAME, ANSWER, POSITION, A, B, LAYER, PHASE = SAVED[:8]
STATE = SAVED[8:]


def get(asm: Rv32Assembler, register: str, word: str) -> None:
    """Loads a word of the block."""
    asm.lw(register, 4 * WORDS.index(word), BLOCK)


def call(asm: Rv32Assembler, kernel: str, *arguments: str | int) -> None:
    """Calls a kernel's core with words of the block, registers and numbers."""
    for place, argument in enumerate(arguments):
        if isinstance(argument, int):
            asm.li("t0", argument)
            argument = "t0"
        elif argument in WORDS:
            get(asm, "t0", argument)
            argument = "t0"
        asm.sw(argument, 4 * place, "sp")
    get(asm, "t0", kernel)
    asm.mv("a0", "sp")
    asm.jalr("ra", 0, "t0")
