"""The cores of ESP32 and S3 beyond what viper needs: zero-overhead loops, MAC16, and others.

Meanings are those of Cadence's "Xtensa Instruction Set Architecture (ISA) Reference Manual",
chapter 6, where each instruction has a section of its name; the options that they belong to are in
chapter 4: Loop (4.3.2), MAC16 (4.3.7), Miscellaneous Operations (4.3.8), 32-bit Integer Multiply
and Divide (4.3.5, 4.3.6).
"""

from __future__ import annotations

from collections.abc import Callable

from bench.emulation.memory import Fault
from bench.emulation.processor import MASK, Operation, signed
from bench.emulation.xtensa import Xtensa
from host.build.machine_code.xtensa_encoding import find_instruction

_ACCLO, _ACCHI = 16, 17
Meaning = Callable[..., None]  # of a core and the numbers of the operands


class Lx6(Xtensa):
    """The core of an ESP32, an S3's without PIE. m: the registers of MAC16; acc: its accumulator
    of 40 bits, as a signed number."""

    meanings: dict[str, Meaning]  # at the end of this file

    def __init__(self) -> None:
        super().__init__()
        self.m = [0] * 4
        self.acc = 0
        self._begin = self._end = self._count = 0  # LBEG, LEND, LCOUNT
        self._ends: set[int] = set()  # of all loops; one too many does no harm

    def enter(self, function: int, arguments: int, count: int) -> None:
        super().enter(function, arguments, count)
        self._end = self._count = 0

    def decoded(self, pc: int) -> Operation:
        operation = super().decoded(pc)
        end = pc + self.size(pc)
        if end not in self._ends:
            return operation

        def execute() -> int:  # the last instruction of a loop's body
            after = operation()
            if after == self._end == end and self._count:
                self._count -= 1
                return self._begin
            return after

        return execute

    def size(self, pc: int) -> int:
        """Bytes of the instruction at an address."""
        return 2 if self.memory.load(pc, 1) & 8 else 3

    def extension(self, pc: int) -> Operation | None:
        size = self.size(pc)
        word = int.from_bytes(self.memory.content(pc, size), "little")
        instruction = find_instruction(word, size)
        if instruction is None:
            return None
        operands, name, after = instruction.decode(word), instruction.mnemonic, pc + size
        if name == "loopgtz":
            return self._loop(operands[0], pc + 4 + operands[1], after)
        if name in ("call0", "call8"):
            target = (pc & ~3) + 4 + 4 * operands[0]
            return (
                self._subroutine(target, after)
                if name == "call0"
                else (lambda: self.called(target, after))
            )
        meaning = self.meanings.get(name)
        if meaning is None:
            return None

        def execute() -> int:
            meaning(self, *operands)
            return after

        return execute

    def _subroutine(self, target: int, after: int) -> Operation:
        """Executes CALL0, which does not rotate the window."""

        def execute() -> int:
            self.put(0, after)
            return target

        return execute

    def _loop(self, s: int, end: int, begin: int) -> Operation:
        """Executes LOOPGTZ. Decoded instructions may now be the last of a loop body."""
        registers = self.registers
        if end not in self._ends:
            self._ends.add(end)
            self._operations.clear()

        def execute() -> int:
            count = signed(registers[s])
            if count <= 0:
                return end
            self._begin, self._end, self._count = begin, end, count - 1 & MASK
            return begin

        return execute

    def signed(self, register: int) -> int:
        """Returns the number in an address register."""
        return signed(self.registers[register])

    def put(self, register: int, value: int) -> None:
        """Sets an address register."""
        self.registers[register] = value & MASK

    def _load_m(self, w: int, s: int) -> None:
        """Executes LDINC: the address is incremented first."""
        self.put(s, self.registers[s] + 4)
        self.m[w] = self.memory.load(self.registers[s], 4)

    def _accumulate(self, name: str, x: int, y: int) -> None:
        """Executes MUL.* and MULA.*: a product of two signed halves of 16 bits, with a sum of 40
        bits."""
        kind, sources, halves = name.split(".")[:3]
        product = 1
        for source, half, number in zip(sources, halves, (x, y), strict=True):
            word = self.m[number] if source == "d" else self.registers[number]
            product *= signed(word >> 16 if half == "h" else word, 16)
        self.acc = signed((self.acc if kind == "mula" else 0) + product, 40)


def _multiply(name: str) -> Meaning:
    if not name.endswith(".ldinc"):
        return lambda core, x, y: core._accumulate(name, x, y)

    def meaning(core: Lx6, w: int, s: int, x: int, y: int) -> None:
        core._accumulate(name, x, y)  # of what was in the registers before the load
        core._load_m(w, s)

    return meaning


def _quotient(core: Lx6, r: int, s: int, t: int) -> None:
    if core.registers[t] == 0:
        raise Fault("division by zero, which is an exception")
    core.put(r, core.registers[s] // core.registers[t])


def _move_if(holds: Callable[[int], bool]) -> Meaning:
    def meaning(core: Lx6, r: int, s: int, t: int) -> None:
        if holds(core.signed(t)):
            core.put(r, core.registers[s])

    return meaning


def _read_special(core: Lx6, t: int, number: int) -> None:
    core.put(t, {_ACCLO: core.acc, _ACCHI: core.acc >> 32}[number])  # ACCHI with its sign


def _funnel(core: Lx6, r: int, s: int, t: int) -> None:
    core.put(r, (core.registers[s] << 32 | core.registers[t]) >> core.shift)


Lx6.meanings = {
    "min": lambda core, r, s, t: core.put(r, min(core.signed(s), core.signed(t))),
    "max": lambda core, r, s, t: core.put(r, max(core.signed(s), core.signed(t))),
    "minu": lambda core, r, s, t: core.put(r, min(core.registers[s], core.registers[t])),
    "moveqz": _move_if(lambda value: value == 0),
    "movnez": _move_if(lambda value: value != 0),
    "movltz": _move_if(lambda value: value < 0),
    "movgez": _move_if(lambda value: value >= 0),
    "mulsh": lambda core, r, s, t: core.put(r, core.signed(s) * core.signed(t) >> 32),
    "quou": _quotient,
    "nsau": lambda core, t, s: core.put(t, 32 - core.registers[s].bit_length()),
    "src": _funnel,
    "ssai": lambda core, amount: setattr(core, "shift", amount),
    "nop": lambda core: None,
    "rsr": _read_special,
    "ldinc": Lx6._load_m,
    **{
        name: _multiply(name)
        for name in (
            "mul.aa.ll", "mula.ad.ll", "mula.ad.lh", "mula.ad.hh", "mula.da.ll", "mula.da.hl",
            "mula.da.hh", "mula.dd.ll", "mula.dd.hh", "mula.da.hh.ldinc", "mula.da.hl.ldinc",
            "mula.dd.ll.ldinc", "mula.dd.hh.ldinc",
        )
    },
}  # fmt: skip
