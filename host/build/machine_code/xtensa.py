"""Assembler for Xtensa LX: the cores of ESP32 (LX6) and ESP32-S3 (LX7 with PIE).

Instructions are methods of their mnemonics, with underscores for full stops and operands in the
order of assembly language:

    asm = XtensaAssembler()
    asm.loopgtz("a3", "end")
    asm.ee_vld_128_ip("q0", "a2", 16)
    asm.label("end")
    code = asm.assemble()

A load, store, addition or constant that fits 16 bits takes these. xtensa_table.py has all
instructions with their sources.
"""

from __future__ import annotations

from collections.abc import Callable

from host.build.machine_code.assembler import Assembler, AssemblyError
from host.build.machine_code.xtensa_encoding import TARGETS, Instruction, Operand, instructions

# Numbers of special registers (RSR, WSR), and of PIE's user registers (RUR): the first of five.
ACCLO, ACCHI = 16, 17
ACCX_0, QACC_H, QACC_L = 0, 2, 7


class XtensaAssembler(Assembler):
    """Beside what the table has there are mov, set and align_loop. `and_` and `or_`, which Python
    has words for, end in an underscore."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        mnemonic = name.rstrip("_").replace("_", ".")
        found = instructions().get(mnemonic)
        if found is None:
            raise AttributeError(f"no instruction {name}")
        return lambda *operands: self._instruction(found, operands)

    def mov(self, to: str, source: str) -> None:
        """to = source."""
        self.mov_n(to, source)

    def set(self, register: str, value: int) -> None:
        """register = value, of 32 bits, in one to eight instructions."""
        value = (value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
        if -2048 <= value < 2048:
            self.movi(register, value)
            return
        zeros = (value & -value).bit_length() - 1
        if -2048 <= value >> zeros < 2048:
            self.movi(register, value >> zeros)
            self.slli(register, register, zeros)
            return
        low = (value & 0xFF ^ 0x80) - 0x80
        middle = (value - low & 0xFF00 ^ 0x8000) - 0x8000
        rest = value - low - middle
        if rest:
            self.set(register, rest >> 16)
            self.slli(register, register, 16)
        else:
            self.movi(register, 0)
        if middle:
            self.addmi(register, register, middle)
        if low:
            self.addi(register, register, low)

    def align_loop(self, first: int = 3) -> None:
        """Fills up, before a loop instruction, so that the first one of the loop's body, of
        `first` bytes, lies within an aligned word: else each turn fetches once more."""
        while (self.here + 3) % 4 > 4 - first:
            if (self.here + 3 + 3) % 4 <= 4 - first:
                self.nop()
            else:
                self.mov("a1", "a1")

    def _instruction(self, instruction: Instruction, operands: tuple[Operand, ...]) -> None:
        narrow = instructions().get(instruction.mnemonic + ".n")
        if narrow is not None:
            try:
                self.emit(narrow.encode(*operands), narrow.size)
                return
            except AssemblyError:
                pass  # it takes the longer form
        if instruction.operands and instruction.operands[-1] in TARGETS:
            *registers, label = operands
            self.emit_reference(
                instruction.size,
                str(label),
                lambda place, target: instruction.encode(
                    *registers, instruction.distance(place, target)
                ),
            )
        else:
            self.emit(instruction.encode(*operands), instruction.size)
