"""Assembler for RV32IM: the instructions that all RISC-V chips of the ESP32 family have.

Encodings are those of "The RISC-V Instruction Set Manual, Volume I: Unprivileged ISA", chapters
"RV32I Base Integer Instruction Set" and "M Extension". Registers go by the names of the psABI.
Operands stand in the order of assembly language, but a load or store is (register, offset, base):

    asm = Rv32Assembler()
    asm.label("loop")
    asm.lw("t0", 4, "a0")
    asm.addi("a0", "a0", 4)
    asm.bltu("a0", "a1", "loop")
    code = asm.assemble()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from host.build.machine_code.assembler import Assembler, AssemblyError, check_range

_NAMES = (
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4",
    "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
    "t5", "t6",
)  # fmt: skip
REGISTERS = {name: number for number, name in enumerate(_NAMES)}
# What a function must give back. gp and tp, which belong to the system, it never touches; all
# others but sp and ra it may change at will.
SAVED = tuple(f"s{i}" for i in range(12))

# funct3 and funct7, or the opcode and funct3, by name.
_REGISTER = {
    "add": (0, 0), "sub": (0, 32), "sll": (1, 0), "slt": (2, 0), "sltu": (3, 0), "xor": (4, 0),
    "srl": (5, 0), "sra": (5, 32), "or": (6, 0), "and": (7, 0),
    "mul": (0, 1), "mulh": (1, 1), "mulhsu": (2, 1), "mulhu": (3, 1),
    "div": (4, 1), "divu": (5, 1), "rem": (6, 1), "remu": (7, 1),
}  # fmt: skip
_IMMEDIATE = {"addi": 0, "slti": 2, "sltiu": 3, "xori": 4, "ori": 6, "andi": 7}
_SHIFT = {"slli": (1, 0), "srli": (5, 0), "srai": (5, 32)}
_LOAD = {"lb": 0, "lh": 1, "lw": 2, "lbu": 4, "lhu": 5}
_STORE = {"sb": 0, "sh": 1, "sw": 2}
_BRANCH = {"beq": 0, "bne": 1, "blt": 4, "bge": 5, "bltu": 6, "bgeu": 7}
# Branches that are others with their operands turned round.
_TURNED = {"bgt": "blt", "ble": "bge", "bgtu": "bltu", "bleu": "bgeu"}
_ZERO_BRANCH = {"beqz": "beq", "bnez": "bne", "bltz": "blt", "bgez": "bge"}


class Rv32Assembler(Assembler):
    """Instructions are methods of their names; `and_` and `or_`, which Python has words for, end
    in an underscore. Beside those of the manual there are li, mv, neg, j, ret, and the branches
    that compare with zero or the other way round."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        plain = name.rstrip("_")
        for table, method in (
            (_REGISTER, self._register), (_IMMEDIATE, self._immediate), (_SHIFT, self._shift),
            (_LOAD, self._load), (_STORE, self._store), (_BRANCH, self._branch),
            (_TURNED, self._turned), (_ZERO_BRANCH, self._zero_branch),
        ):  # fmt: skip
            if plain in table:
                return lambda *operands: method(plain, *operands)
        raise AttributeError(f"no instruction {name}")

    def lui(self, rd: str, upper: int) -> None:
        """rd = upper << 12."""
        self._emit(check_range(upper, 0, 0xFFFFF, "lui's number") << 12 | _d(rd) | 0x37)

    def jal(self, rd: str, label: str) -> None:
        """Jumps, with the address of the next instruction in rd."""
        self.emit_reference(4, label, lambda at, to: _jump(to - at) | _d(rd) | 0x6F)

    def jalr(self, rd: str, offset: int, base: str) -> None:
        """Jumps to base + offset, with the address of the next instruction in rd."""
        self._emit(_i(offset) | _s1(base) | _d(rd) | 0x67)

    def li(self, rd: str, value: int) -> None:
        """rd = value, of 32 bits, in one or two instructions."""
        check_range(value, -(1 << 31), (1 << 32) - 1, "number")
        low = (value & 0xFFF ^ 0x800) - 0x800
        upper = (value - low >> 12) & 0xFFFFF
        if upper:
            self.lui(rd, upper)
        if low or not upper:
            self.addi(rd, rd if upper else "zero", low)

    def mv(self, rd: str, rs: str) -> None:
        """rd = rs."""
        self.addi(rd, rs, 0)

    def neg(self, rd: str, rs: str) -> None:
        """rd = -rs."""
        self.sub(rd, "zero", rs)

    def j(self, label: str) -> None:
        """Jumps."""
        self.jal("zero", label)

    def ret(self) -> None:
        """Returns to the caller."""
        self.jalr("zero", 0, "ra")

    def _emit(self, word: int) -> None:
        self.emit(word, 4)

    def _register(self, name: str, rd: str, rs1: str, rs2: str) -> None:
        funct3, funct7 = _REGISTER[name]
        self._emit(funct7 << 25 | _s2(rs2) | _s1(rs1) | funct3 << 12 | _d(rd) | 0x33)

    def _immediate(self, name: str, rd: str, rs1: str, number: int) -> None:
        self._emit(_i(number) | _s1(rs1) | _IMMEDIATE[name] << 12 | _d(rd) | 0x13)

    def _shift(self, name: str, rd: str, rs1: str, by: int) -> None:
        funct3, funct7 = _SHIFT[name]
        by = check_range(by, 0, 31, f"{name}'s count")
        self._emit(funct7 << 25 | by << 20 | _s1(rs1) | funct3 << 12 | _d(rd) | 0x13)

    def _load(self, name: str, rd: str, offset: int, base: str) -> None:
        self._emit(_i(offset) | _s1(base) | _LOAD[name] << 12 | _d(rd) | 0x03)

    def _store(self, name: str, rs2: str, offset: int, base: str) -> None:
        word = _i(offset) >> 20
        halves = word >> 5 << 25 | (word & 31) << 7
        self._emit(halves | _s2(rs2) | _s1(base) | _STORE[name] << 12 | 0x23)

    def _branch(self, name: str, rs1: str, rs2: str, label: str) -> None:
        word = _s2(rs2) | _s1(rs1) | _BRANCH[name] << 12 | 0x63
        self.emit_reference(4, label, lambda at, to: word | _distance(to - at))

    def _turned(self, name: str, rs1: str, rs2: str, label: str) -> None:
        self._branch(_TURNED[name], rs2, rs1, label)

    def _zero_branch(self, name: str, rs1: str, label: str) -> None:
        self._branch(_ZERO_BRANCH[name], rs1, "zero", label)


def _number(register: Any) -> int:
    try:
        return REGISTERS[register]
    except KeyError:
        raise AssemblyError(f"no register {register}") from None


def _d(register: str) -> int:
    return _number(register) << 7


def _s1(register: str) -> int:
    return _number(register) << 15


def _s2(register: str) -> int:
    return _number(register) << 20


def _i(number: int) -> int:
    return (check_range(number, -2048, 2047, "number") & 0xFFF) << 20


def _distance(offset: int) -> int:
    """Returns the fields of a branch's distance in bytes (format B)."""
    check_range(offset, -4096, 4095, "branch over bytes:")
    return (
        (offset >> 12 & 1) << 31 | (offset >> 5 & 63) << 25 | (offset >> 1 & 15) << 8
        | (offset >> 11 & 1) << 7
    )  # fmt: skip


def _jump(offset: int) -> int:
    """Returns the fields of a jump's distance in bytes (format J)."""
    check_range(offset, -(1 << 20), (1 << 20) - 1, "jump over bytes:")
    return (
        (offset >> 20 & 1) << 31 | (offset >> 1 & 1023) << 21 | (offset >> 11 & 1) << 20
        | (offset >> 12 & 255) << 12
    )  # fmt: skip
