"""The instructions of RV32IMC (ESP32-C3, C6).

Encodings and meanings are those of "The RISC-V Instruction Set Manual, Volume I: Unprivileged
ISA"; calls follow its psABI. A compressed instruction is executed as the one that it stands for.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from bench.emulation.compressed import expanded
from bench.emulation.memory import Fault
from bench.emulation.processor import MASK, RETURN, Operation, Processor, signed

_SP, _RA, _A0 = 2, 1, 10
_SAVED = (2, 8, 9, *range(18, 28))  # sp and s0 to s11 are the caller's
_UNSAVED = (5, 6, 7, *range(10, 18), *range(28, 32))

Binary = Callable[[int, int], int]


def _divided(a: int, b: int) -> int:
    """Towards zero; by zero all bits are set, as the manual has it."""
    return (abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1) if b else -1



_IMMEDIATE: dict[int, Binary] = {
    0: operator.add,
    2: lambda a, b: signed(a) < b,
    3: lambda a, b: a < b & MASK,
    4: operator.xor,
    6: operator.or_,
    7: operator.and_,
}
_REGISTER: dict[tuple[int, int], Binary] = {
    (0, 0): operator.add,
    (0, 32): operator.sub,
    (1, 0): lambda a, b: a << (b & 31),
    (2, 0): lambda a, b: signed(a) < signed(b),
    (3, 0): operator.lt,
    (4, 0): operator.xor,
    (5, 0): lambda a, b: a >> (b & 31),
    (5, 32): lambda a, b: signed(a) >> (b & 31),
    (6, 0): operator.or_,
    (7, 0): operator.and_,
    (0, 1): operator.mul,
    (1, 1): lambda a, b: signed(a) * signed(b) >> 32,
    (2, 1): lambda a, b: signed(a) * b >> 32,
    (3, 1): lambda a, b: a * b >> 32,
    (4, 1): lambda a, b: _divided(signed(a), signed(b)),
    (5, 1): lambda a, b: a // b if b else MASK,
    (6, 1): lambda a, b: signed(a) - signed(b) * _divided(signed(a), signed(b)) if b else a,
    (7, 1): lambda a, b: a % b if b else a,
}
_COMPARE: dict[int, Callable[[int, int], bool]] = {
    0: operator.eq,
    1: operator.ne,
    4: lambda a, b: signed(a) < signed(b),
    5: lambda a, b: signed(a) >= signed(b),
    6: operator.lt,
    7: operator.ge,
}


class Rv32(Processor):
    """A RISC-V core with integer multiplication and compressed instructions."""

    def enter(self, function: int, arguments: int, count: int) -> None:
        self.registers[:] = [0] * 32
        for saved in _SAVED:
            self.registers[saved] = 0xCA11E400 + saved
        self.registers[_SP], self.registers[_RA] = self.memory.top() - 16, RETURN
        self.registers[_A0 : _A0 + 4] = function, count, 0, arguments
        self._before = [self.registers[saved] for saved in _SAVED]

    def runtime_arguments(self) -> tuple[int, int]:
        return self.registers[_A0], self.registers[_A0 + 1]

    def leave_runtime(self, result: int) -> int:
        for register in _UNSAVED:
            self.registers[register] = 0xDEADBEEF
        self.registers[_A0] = result
        return self.registers[_RA]

    def result(self) -> int:
        if [self.registers[saved] for saved in _SAVED] != self._before:
            raise Fault("the function did not give back the caller's registers")
        return self.registers[_A0]

    def decoded(self, pc: int) -> Operation:
        word, size = self.memory.load(pc, 2), 2
        full: int | None
        if word & 3 == 3:
            size = 4
            full = word = word | self.memory.load(pc + 2, 2) << 16
        else:
            full = expanded(word)
        operation = self._operation(pc, full, pc + size) if full else None
        if operation is None:
            raise Fault(f"unknown RISC-V instruction {word:#x} at {pc:#x}")
        return operation

    def _operation(self, pc: int, word: int, after: int) -> Operation | None:
        opcode, rd, kind = word & 127, word >> 7 & 31, word >> 12 & 7
        rs1, rs2, upper = word >> 15 & 31, word >> 20 & 31, word & 0xFFFFF000
        immediate = signed(word >> 20, 12)
        if opcode == 0x03 and kind in (0, 1, 2, 4, 5):
            return self.load(rd, rs1, immediate, 1 << (kind & 3), after, kind < 4)
        if opcode == 0x23 and kind < 3:
            offset = signed(word >> 25 << 5 | rd, 12)
            return self.store(rs2, rs1, offset, 1 << kind, after)
        if opcode == 0x13:
            return self._with_immediate(word, kind, rd, rs1, immediate, after)
        if opcode == 0x33 and (kind, word >> 25) in _REGISTER:
            compute = _REGISTER[kind, word >> 25]
            return self.computed(rd, lambda x: compute(x[rs1], x[rs2]), after)
        if opcode == 0x37:  # lui
            return self.computed(rd, lambda x: upper, after)
        if opcode == 0x17:  # auipc
            return self.computed(rd, lambda x: pc + upper, after)
        if opcode == 0x63 and kind in _COMPARE:
            return self._branch(_COMPARE[kind], rs1, rs2, pc + _branch_offset(word), after)
        if opcode == 0x6F:  # jal
            return self._jump(rd, None, pc + _jump_offset(word), after)
        if opcode == 0x67 and kind == 0:  # jalr
            return self._jump(rd, rs1, immediate, after)
        return None

    def _with_immediate(
        self, word: int, kind: int, rd: int, rs1: int, immediate: int, after: int
    ) -> Operation | None:
        if kind in _IMMEDIATE:
            compute = _IMMEDIATE[kind]
            return self.computed(rd, lambda x: compute(x[rs1], immediate), after)
        shift, sort = (kind, word >> 25), word >> 20 & 31
        if shift not in ((1, 0), (5, 0), (5, 32)):
            return None
        compute = _REGISTER[shift]
        return self.computed(rd, lambda x: compute(x[rs1], sort), after)

    def computed(self, to: int, value: Callable[[list[int]], int], after: int) -> Operation:
        return super().computed(to, value, after) if to else lambda: after  # x0 stays 0

    def _branch(
        self, compare: Callable[[int, int], bool], rs1: int, rs2: int, target: int, after: int
    ) -> Operation:
        registers = self.registers
        return lambda: target if compare(registers[rs1], registers[rs2]) else after

    def _jump(self, rd: int, base: int | None, offset: int, after: int) -> Operation:
        registers = self.registers

        def execute() -> int:
            target = offset if base is None else registers[base] + offset & MASK & ~1
            if rd:
                registers[rd] = after
            return target

        return execute


def _branch_offset(word: int) -> int:
    return signed(
        word >> 31 << 12 | (word >> 7 & 1) << 11 | (word >> 25 & 63) << 5 | (word >> 8 & 15) << 1,
        13,
    )


def _jump_offset(word: int) -> int:
    return signed(
        word >> 31 << 20 | (word >> 12 & 255) << 12 | (word >> 20 & 1) << 11
        | (word >> 21 & 1023) << 1,
        21,
    )  # fmt: skip
