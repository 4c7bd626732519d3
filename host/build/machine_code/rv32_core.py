"""What RV32 kernels are made of: how MicroPython calls one, saved registers, loops, clamping.

A kernel's machine code is a core and, around it, what MicroPython calls. The core is a function of
the psABI with one argument, a0: the address of its argument words, int32 each, in the order of the
viper twin's parameters; pointers are plain addresses. It returns an integer in a0. It begins
objects.CORE_OFFSET bytes behind the code's begin, where a program of kernels calls it directly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from host.build.machine_code import objects
from host.build.machine_code.mpy import ViperFunction
from host.build.machine_code.rv32 import Rv32Assembler

_LETTER = 0x5F  # in a typecode, whichever of a letter's two cases it is


def function_code(
    function: ViperFunction, core: Callable[[Rv32Assembler], None], reads: Sequence[str] = ()
) -> bytes:
    """Returns the machine code of a viper function with this core.

    reads: names of the module that hold buffers; their addresses follow as further words.
    """
    asm = Rv32Assembler()
    asm.j("wrapper")
    asm.label("core")
    core(asm)
    asm.label("wrapper")
    count = len(function.parameters) + len(reads)
    arguments = 4 * count
    size = -(-(arguments + 12) // 16) * 16
    asm.addi("sp", "sp", -size)
    asm.sw("ra", size - 4, "sp")
    for index, name in enumerate(reads, len(function.parameters)):
        _read_global(asm, function, name, size)
        asm.sw("t1", 4 * index, "sp")
    for index, kind in enumerate(function.parameters):
        asm.lw("t1", 4 * index, "a3")
        if kind != "int" and kind != "uint":
            asm.jal("t0", "wrapper: address")
        else:
            asm.srai("t1", "t1", 1)
        asm.sw("t1", 4 * index, "sp")
    asm.mv("a0", "sp")
    asm.jal("ra", "core")
    if function.has_result:
        asm.slli("a0", "a0", 1)
        asm.addi("a0", "a0", 1)
    else:
        asm.li("a0", 1)  # the integer 0
    asm.lw("ra", size - 4, "sp")
    asm.addi("sp", "sp", size)
    asm.ret()
    _write_address(asm)
    return asm.assemble()


def _write_address(asm: Rv32Assembler) -> None:
    """t1 = the address of the items of the object in t1; returns to t0; changes t2, t3."""
    asm.label("wrapper: address")
    asm.lw("t2", objects.ARRAY_TYPECODE, "t1")
    asm.lw("t1", objects.ARRAY_ITEMS, "t1")
    asm.andi("t3", "t2", 1 << objects.VIEW_BIT)
    asm.beqz("t3", "wrapper: items")
    asm.srli("t3", "t2", 8)
    asm.beqz("t3", "wrapper: items")
    asm.andi("t2", "t2", _LETTER)
    asm.addi("t2", "t2", -ord("H"))
    asm.bltz("t2", "wrapper: moved")
    asm.slli("t3", "t3", 1)
    asm.beqz("t2", "wrapper: moved")
    asm.slli("t3", "t3", 1)
    asm.label("wrapper: moved")
    asm.add("t1", "t1", "t3")
    asm.label("wrapper: items")
    asm.jalr("zero", 0, "t0")


def _read_global(asm: Rv32Assembler, function: ViperFunction, name: str, size: int) -> None:
    """t1 = the address of the items of a buffer that the module has under a name; a0 and a3 are
    kept on the stack meanwhile."""
    asm.sw("a3", size - 8, "sp")
    asm.sw("a0", size - 12, "sp")
    asm.lw("a0", objects.FUN_CONTEXT, "a0")
    asm.lw("t0", objects.CONTEXT_NAMES, "a0")
    asm.lhu("a1", 2 * function.names[name], "t0")
    asm.lw("t0", objects.CONTEXT_OBJECTS, "a0")
    asm.lw("t0", 4 * function.table_slot, "t0")
    asm.lw("t0", 4 * objects.LOAD_ATTR, "t0")
    asm.jalr("ra", 0, "t0")
    asm.mv("t1", "a0")
    asm.jal("t0", "wrapper: address")
    asm.lw("a0", size - 12, "sp")
    asm.lw("a3", size - 8, "sp")


def load_words(asm: Rv32Assembler, places: Mapping[str, int]) -> None:
    """Loads argument words into registers, by their index; a0, which has their address, last."""
    for register, index in sorted(places.items(), key=lambda item: item[0] == "a0"):
        asm.lw(register, 4 * index, "a0")


@contextmanager
def saved(asm: Rv32Assembler, registers: Sequence[str], room: int = 0) -> Iterator[None]:
    """Keeps registers on the stack around what is written within, above `room` bytes of its own
    at sp; then returns."""
    size = -(-(4 * len(registers) + room) // 16) * 16
    asm.addi("sp", "sp", -size)
    for index, register in enumerate(registers):
        asm.sw(register, room + 4 * index, "sp")
    yield
    for index, register in enumerate(registers):
        asm.lw(register, room + 4 * index, "sp")
    asm.addi("sp", "sp", size)
    asm.ret()


def each(
    asm: Rv32Assembler,
    pointers: Mapping[str, int],
    end: str,
    spare: str,
    element: Callable[[int], None],
    several: int = 4,
) -> None:
    """A loop over elements, `several` a turn, then one by one.

    pointers: bytes that each moves by an element; the first of them ends at `end`. spare: a
    register that the loop keeps. element(i) writes the i-th element of a turn.
    """
    first, size = next(iter(pointers.items()))
    turn, rest, single, done = (asm.unique(name) for name in ("turn", "rest", "single", "done"))
    # An empty buffer may lie at address 0, from which nothing can be taken away.
    asm.addi(spare, first, several * size)
    asm.bgtu(spare, end, rest)
    asm.addi(spare, end, -several * size)
    asm.label(turn)
    for i in range(several):
        element(i)
    for pointer, step in pointers.items():
        asm.addi(pointer, pointer, several * step)
    asm.bleu(first, spare, turn)
    asm.label(rest)
    asm.bgeu(first, end, done)
    asm.label(single)
    element(0)
    for pointer, step in pointers.items():
        asm.addi(pointer, pointer, step)
    asm.bltu(first, end, single)
    asm.label(done)


def end_of(asm: Rv32Assembler, count: str, begin: str) -> None:
    """count = where so many int32 that begin at `begin` end."""
    asm.slli(count, count, 2)
    asm.add(count, count, begin)


def clamp(asm: Rv32Assembler, value: str, limit: str, span: str, spare: str) -> None:
    """value = value within -limit to limit; span: twice the limit; changes spare."""
    within = asm.unique("within")
    asm.add(spare, value, limit)
    asm.bleu(spare, span, within)
    asm.srai(spare, value, 31)
    asm.xor(value, limit, spare)
    asm.sub(value, value, spare)
    asm.label(within)


def add_constant(asm: Rv32Assembler, register: str, number: int, spare: str) -> None:
    """register += number; changes spare where one instruction does not do."""
    if -2048 <= number <= 2047:
        asm.addi(register, register, number)
    else:
        asm.li(spare, number)
        asm.add(register, register, spare)


def half_of(asm: Rv32Assembler, half: str, shift: str) -> None:
    """half = what a shift right by `shift` adds before, to round half-up: 0 for a shift of 0."""
    asm.li(half, 1)
    asm.sll(half, half, shift)
    asm.srli(half, half, 1)
