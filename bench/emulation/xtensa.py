"""The instructions of Xtensa LX (ESP32, S2, S3) that mpy-cross emits for viper, windowed calls.

Encodings and meanings are those of Cadence's "Xtensa Instruction Set Architecture (ISA) Reference
Manual". Registers are a0 to a15 of the current window. MicroPython's own functions, which viper
code calls, are not emulated; where hand-made code calls other such code, the window turns by 8.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from bench.emulation.memory import Fault
from bench.emulation.processor import RETURN, Operation, Processor, signed

_STACK = 4096  # bytes that the function may use

_ARITHMETIC: dict[int, Callable[[int, int], int]] = {
    1: operator.and_,
    2: operator.or_,
    3: operator.xor,
    8: operator.add,
    9: lambda a, b: a * 2 + b,
    10: lambda a, b: a * 4 + b,
    11: lambda a, b: a * 8 + b,
    12: operator.sub,
    13: lambda a, b: a * 2 - b,
    14: lambda a, b: a * 4 - b,
    15: lambda a, b: a * 8 - b,
}
_UNSIGNED_COMPARE = {3: operator.lt, 11: operator.ge}
_COMPARE = {1: operator.eq, 2: operator.lt, 9: operator.ne, 10: operator.ge}
_COMPARE_ZERO = (operator.eq, operator.ne, operator.lt, operator.ge)
_LOADS = {0: 1, 1: 2, 2: 4, 9: 2}
_STORES = {4: 1, 5: 2, 6: 4}
_LOAD_SIGNED = 9


class Xtensa(Processor):
    """An Xtensa core with 32-bit multiplication."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = 0  # the special register SAR
        self._windows: list[list[int]] = []  # a0 to a7 of those who called

    def enter(self, function: int, arguments: int, count: int) -> None:
        self.registers[:] = [0] * 16
        self._windows = []
        # A call with a window of 8: what the caller put into a10 to a13 is in a2 to a5.
        self.registers[0], self.registers[1] = RETURN, self.memory.top() - 16
        self.registers[2:6] = function, count, 0, arguments

    def runtime_arguments(self) -> tuple[int, int]:
        return self.registers[10], self.registers[11]

    def leave_runtime(self, result: int) -> int:
        back = self.registers[8]
        # The window of whoever was called lay over a8 to a15.
        self.registers[8:] = [0xDEADBEEF] * 8
        self.registers[10] = result
        return back

    def result(self) -> int:
        return self.registers[2]

    def decoded(self, pc: int) -> Operation:
        first, second = self.memory.load(pc, 1), self.memory.load(pc + 1, 1)
        narrow, t, s, r = first & 15, first >> 4, second & 15, second >> 4
        if narrow >= 8:
            operation = self._narrow(pc, narrow, t, s, r)
        else:
            word = first | second << 8 | self.memory.load(pc + 2, 1) << 16
            operation = self._wide(pc, word, narrow, t, s, r)
        operation = operation or self.extension(pc)
        if operation is None:
            raise Fault(f"unknown Xtensa instruction {first:02x} {second:02x} at {pc:#x}")
        return operation

    def extension(self, pc: int) -> Operation | None:
        """Returns the instruction at an address, where a chip's own extensions have it."""
        return None

    def _narrow(self, pc: int, kind: int, t: int, s: int, r: int) -> Operation | None:
        """Instructions of 16 bits (the code density option)."""
        after = pc + 2
        if kind == 8:
            return self.load(t, s, 4 * r, 4, after)
        if kind == 9:
            return self.store(t, s, 4 * r, 4, after)
        if kind == 10:
            return self.computed(r, lambda a: a[s] + a[t], after)
        if kind == 11:
            immediate = t or -1
            return self.computed(r, lambda a: a[s] + immediate, after)
        if kind == 12 and t & 8:
            return self._branch_zero(t >> 2 & 1, s, pc + 4 + ((t & 3) << 4 | r), after)
        if kind == 12:
            value = (t & 7) << 4 | r
            constant = value if value < 96 else value - 128
            return self.computed(s, lambda a: constant, after)
        if kind != 13:  # 32 bits, of an extension
            return None
        if r == 0:
            return self.computed(t, lambda a: a[s], after)
        if (r, t) in ((15, 0), (15, 1)):  # ret.n, retw.n
            return self._returned(t == 1)
        return (lambda: after) if (r, t) == (15, 3) else None

    def _wide(self, pc: int, word: int, kind: int, t: int, s: int, r: int) -> Operation | None:
        """Instructions of 24 bits."""
        after, low8 = pc + 3, word >> 16
        if kind == 0:
            return self._register(word >> 16 & 15, word >> 20, t, s, r, after)
        if kind == 1:  # l32r
            target = (pc + 3 & ~3) + ((word >> 8) - 0x10000) * 4
            return self.computed(t, lambda a: self.memory.load(target, 4), after)
        if kind == 2:
            return self._immediate(t, s, r, low8, after)
        if kind == 6:
            return self._jump(pc, word, t, s, after)
        if kind == 7:
            target = pc + 4 + signed(low8, 8)
            if r in _UNSIGNED_COMPARE:
                return self._branch(_UNSIGNED_COMPARE[r], s, t, target, after, signs=False)
            if r in _COMPARE:
                return self._branch(_COMPARE[r], s, t, target, after)
        return None

    def _register(
        self, op1: int, op2: int, t: int, s: int, r: int, after: int
    ) -> Operation | None:
        if op1 == 0 and op2 in _ARITHMETIC:
            compute = _ARITHMETIC[op2]
            return self.computed(r, lambda a: compute(a[s], a[t]), after)
        if op1 == 0 and op2 == 0 and r == 0:
            return self._call(s, t, after)
        if op1 == 0 and op2 == 4 and r in (0, 1):  # ssr, ssl
            return self._set_shift(s, r == 1, after)
        if op1 == 0 and op2 == 6 and s in (0, 1):  # neg, abs
            return self.computed(r, lambda a: abs(signed(a[t])) if s else -a[t], after)
        if op1 == 1:
            return self._shifted(op2, t, s, r, after)
        if op1 == 2 and op2 == 8:  # mull
            return self.computed(r, lambda a: a[s] * a[t], after)
        if op1 in (4, 5):  # extui
            position, mask = s | (op1 & 1) << 4, (2 << op2) - 1
            return self.computed(r, lambda a: a[t] >> position & mask, after)
        return None

    def _shifted(self, op2: int, t: int, s: int, r: int, after: int) -> Operation | None:
        if op2 in (0, 1):  # slli
            left = 32 - (t | (op2 & 1) << 4)
            return self.computed(r, lambda a: a[s] << left, after)
        if op2 in (2, 3):  # srai
            right = s | (op2 & 1) << 4
            return self.computed(r, lambda a: signed(a[t]) >> right, after)
        if op2 == 4:  # srli
            return self.computed(r, lambda a: a[t] >> s, after)
        if op2 == 9:
            return self.computed(r, lambda a: a[t] >> self.shift, after)
        if op2 == 10:
            return self.computed(r, lambda a: a[s] << 32 - self.shift, after)
        if op2 == 11:
            return self.computed(r, lambda a: signed(a[t]) >> self.shift, after)
        return None

    def _immediate(self, t: int, s: int, r: int, low8: int, after: int) -> Operation | None:
        if r in _LOADS:
            size = _LOADS[r]
            return self.load(t, s, low8 * size, size, after, signs=r == _LOAD_SIGNED)
        if r in _STORES:
            return self.store(t, s, low8 * _STORES[r], _STORES[r], after)
        if r == 10:  # movi
            constant = signed(s << 8 | low8, 12)
            return self.computed(t, lambda a: constant, after)
        if r in (12, 13):  # addi, addmi
            addend = signed(low8, 8) << (8 if r == 13 else 0)
            return self.computed(t, lambda a: a[s] + addend, after)
        return None

    def _jump(self, pc: int, word: int, t: int, s: int, after: int) -> Operation | None:
        kind, sort = t & 3, t >> 2
        if kind == 0:
            target = pc + 4 + signed(word >> 6, 18)
            return lambda: target
        if kind == 1:
            return self._branch_zero(sort, s, pc + 4 + signed(word >> 12, 12), after)
        if kind == 3 and sort == 0:  # entry
            size = word >> 12 << 3
            if size > _STACK:
                raise Fault(f"a frame of {size} bytes")
            return self.computed(s, lambda a: a[s] - size, after)
        return None

    def _branch(
        self, compare: Callable[[int, int], bool], s: int, t: int, target: int, after: int,
        signs: bool = True,
    ) -> Operation:  # fmt: skip
        registers = self.registers

        def execute() -> int:
            a, b = registers[s], registers[t]
            if signs:
                a, b = signed(a), signed(b)
            return target if compare(a, b) else after

        return execute

    def _branch_zero(self, sort: int, s: int, target: int, after: int) -> Operation:
        registers, compare = self.registers, _COMPARE_ZERO[sort]
        return lambda: target if compare(signed(registers[s]), 0) else after

    def _set_shift(self, s: int, left: bool, after: int) -> Operation:
        registers = self.registers

        def execute() -> int:
            amount = registers[s] & 31
            self.shift = 32 - amount if left else amount
            return after

        return execute

    def _call(self, s: int, t: int, after: int) -> Operation | None:
        registers = self.registers
        if t in (8, 9):  # ret, retw
            return self._returned(t == 9)
        if t == 10:  # jx
            return lambda: registers[s]
        if t != 14:  # callx8
            return None

        def execute() -> int:
            return self.called(registers[s], after)

        return execute

    def called(self, target: int, after: int) -> int:
        """Calls what is at an address with a window of 8 (CALL8, CALLX8, ENTRY); gives the
        address."""
        registers = self.registers
        registers[8] = after
        if target < RETURN:  # nothing is emulated there and beyond
            self._windows.append(registers[:8])
            stack = registers[1]
            registers[:8] = registers[8:]
            registers[1] = stack
            registers[8:] = [0xDEADBEEF] * 8
        return target

    def _returned(self, turns: bool) -> Operation:
        """Executes RETW and RETW.N, which rotate the window, and RET and RET.N."""
        registers = self.registers

        def execute() -> int:
            back = registers[0]
            if turns and self._windows:
                registers[8:] = registers[:8]
                registers[:8] = self._windows.pop()
            return back

        return execute
