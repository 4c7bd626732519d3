"""What both emulated processors share: calling a viper function and counting instructions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from bench.emulation.memory import Fault, Memory
from host.build.machine_code.mpy import ViperFunction

MASK = 0xFFFFFFFF
Operation = Callable[[], int]  # executes one instruction; the address of the next

# Addresses beyond the memory that stand for MicroPython's own functions (4 bytes each, in the
# order of mp_fun_table in py/nativeglue.c) and for the caller's return.
_RUNTIME = 0xF0000000
RETURN = 0xE0000000
_FROM_OBJECT, _TO_OBJECT, _LOAD_ATTR, _FLOOR_DIVIDE, _MODULO = 3, 4, 9, 46, 47
_RUNTIME_NAMES = {
    _FROM_OBJECT: "native_from_obj",
    _TO_OBJECT: "native_to_obj",
    _LOAD_ATTR: "load_attr",
    _FLOOR_DIVIDE: "small_int_floor_divide",
    _MODULO: "small_int_modulo",
}
# More than the largest matrix takes: what runs longer is lost in a loop.
_MOST_INSTRUCTIONS = 50_000_000


class Execution(NamedTuple):
    """What a call gave: the result, the instructions that it executed, and how often it called
    each of MicroPython's own functions, whose insides are not counted."""

    result: int
    instructions: int
    calls: Counter[str]


def signed(value: int, bits: int = 32) -> int:
    """Returns the two's complement number in the lowest bits of a value."""
    value &= (1 << bits) - 1
    return value - (value >> bits - 1 << bits)


class Processor(ABC):
    """Executes the code of one function at a time, in a memory of its own."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.registers: list[int] = []
        # Objects that the module has, by the index of their name among the module's.
        self.module_globals: dict[int, int] = {}
        self._operations: dict[int, Operation] = {}
        self._loaded: dict[bytes, tuple[int, dict[int, Operation]]] = {}

    @abstractmethod
    def decoded(self, pc: int) -> Operation:
        """Returns the instruction at an address; raises Fault for an unknown one."""

    @abstractmethod
    def enter(self, function: int, arguments: int, count: int) -> None:
        """Fills the registers as MicroPython does that calls `function` with `count` arguments."""

    @abstractmethod
    def runtime_arguments(self) -> tuple[int, int]:
        """Returns the first two arguments in a call of one of MicroPython's functions."""

    @abstractmethod
    def leave_runtime(self, result: int) -> int:
        """Returns from such a function; returns the address at which the caller continues."""

    @abstractmethod
    def result(self) -> int:
        """Returns what the function returned; raises Fault if it broke a rule for functions."""

    def computed(self, to: int, value: Callable[[list[int]], int], after: int) -> Operation:
        """Returns the instruction that puts what `value` makes of all registers into register
        `to`."""
        registers = self.registers

        def execute() -> int:
            registers[to] = value(registers) & MASK
            return after

        return execute

    def load(
        self, to: int, base: int, offset: int, size: int, after: int, signs: bool = False
    ) -> Operation:
        """Returns the one that loads `size` bytes from beside where register `base` points."""
        registers, memory = self.registers, self.memory
        numbers = (memory.signed if signs else memory.unsigned)[size]
        first, end = memory.BASE, len(memory.bytes)

        def execute() -> int:
            at = (registers[base] + offset & MASK) - first
            if at < 0 or at >= end or at % size:
                memory.load(at + first, size)  # raises
            registers[to] = numbers[at // size] & MASK
            return after

        return execute

    def store(self, value: int, base: int, offset: int, size: int, after: int) -> Operation:
        """Returns the one that stores the lowest `size` bytes of register `value` there."""
        registers, memory = self.registers, self.memory
        numbers, mask = memory.unsigned[size], (1 << 8 * size) - 1
        first, end = memory.BASE, len(memory.bytes)

        def execute() -> int:
            at = (registers[base] + offset & MASK) - first
            if at < 0 or at >= end or at % size:
                memory.store(at + first, size, 0)  # raises
            numbers[at // size] = registers[value] & mask
            return after

        return execute

    def keep(self, functions: Iterable[ViperFunction]) -> None:
        """Loads functions for good: each of their instructions is decoded only once, not at each
        call."""
        for function in functions:
            self._loaded[function.code] = self.memory.placed(function.code), {}
        self.memory.keep()

    def call(self, function: ViperFunction, *arguments: int) -> Execution:
        """Runs a viper function with integers and addresses as its arguments."""
        loaded = self._loaded.get(function.code)
        entry, self._operations = loaded or (self.memory.placed(function.code), {})
        table = self.memory.placed(_TABLE)
        objects = self.memory.placed(_words([0] * function.table_slot + [table]))
        names = self.memory.placed(_NAMES)
        # mp_obj_fun_bc_t: type, context; mp_module_context_t: type, globals, names, objects.
        context = self.memory.placed(_words([0, 0, names, objects]))
        itself = self.memory.placed(_words([0, context]))
        self.enter(itself, self.memory.placed(_words(arguments)), len(arguments))
        count, calls = self._run(entry)
        return Execution(signed(self.result()), count, calls)

    def call_core(self, core: int, *words: int) -> Execution:
        """Run a kernel's core that is in memory (host/build/machine_code), with argument words."""
        self.enter(self.memory.placed(_words(words)), 0, 0)
        count, calls = self._run(core)
        return Execution(signed(self.result()), count, calls)

    def _run(self, pc: int) -> tuple[int, Counter[str]]:
        operations, count, calls = self._operations, 0, Counter[str]()
        while count < _MOST_INSTRUCTIONS:
            try:
                operation = operations[pc]
            except KeyError:
                if pc == RETURN:
                    return count, calls
                if pc >= _RUNTIME:
                    pc = self._runtime(pc - _RUNTIME >> 2, calls)
                    continue
                operation = operations[pc] = self.decoded(pc)
            pc = operation()
            count += 1
        raise Fault(f"no end after {count} instructions")

    def _runtime(self, number: int, calls: Counter[str]) -> int:
        if number not in _RUNTIME_NAMES:
            raise Fault(f"a call of MicroPython's function {number}, which kernels do not need")
        calls[_RUNTIME_NAMES[number]] += 1
        first, second = self.runtime_arguments()
        if number in (_FROM_OBJECT, _TO_OBJECT):
            return self.leave_runtime(first)
        if number == _LOAD_ATTR:
            return self.leave_runtime(self.module_globals[second])
        if second == 0:
            raise Fault("division by zero, which ends a chip's program")
        quotient, remainder = divmod(signed(first), signed(second))
        return self.leave_runtime((quotient if number == _FLOOR_DIVIDE else remainder) & MASK)


def _words(values: Iterable[int]) -> bytes:
    return b"".join((value & MASK).to_bytes(4, "little") for value in values)


_TABLE = _words(_RUNTIME + 4 * i for i in range(80))
_NAMES = b"".join(i.to_bytes(2, "little") for i in range(256))  # each goes by its index
