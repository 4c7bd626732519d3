"""What Xtensa kernels are made of: how MicroPython calls one, frames, loops, clamping.

A kernel's machine code is a core and, around it, what MicroPython calls. The core is a function of
the windowed ABI (CALL8) with one argument, a2: the address of its argument words, int32 each, in
the order of the viper twin's parameters; pointers are plain addresses. It returns an integer in
a2. It begins objects.CORE_OFFSET bytes behind the code's begin, so that a program of kernels can
call it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from host.build.machine_code import objects
from host.build.machine_code.mpy import ViperFunction
from host.build.machine_code.xtensa import XtensaAssembler

# What the windowed ABI keeps at the top of a frame: for a function that calls none, and for one
# that calls with a window of 8 ("The Windowed Register ABI" in the ISA manual, chapter 8).
_LEAF_SAVES, _CALLER_SAVES = 16, 32
_LOOP_REACH = 250  # bytes of the body of a zero-overhead loop


def function_code(
    function: ViperFunction, core: Callable[[XtensaAssembler], None], reads: Sequence[str] = ()
) -> bytes:
    """Returns the machine code of a viper function with this core.

    reads: names of the module that hold buffers; their addresses follow as further words.
    """
    asm = XtensaAssembler()
    asm.j("wrapper")
    asm.align(objects.CORE_OFFSET)
    asm.label("core")
    core(asm)
    asm.label("wrapper")
    count = len(function.parameters) + len(reads)
    asm.entry("a1", _rounded(4 * count) + _CALLER_SAVES)
    asm.mov("a7", "a0")  # call0 takes a0
    for index, name in enumerate(reads, len(function.parameters)):
        _read_global(asm, function, name)
        asm.s32i("a6", "a1", 4 * index)
    for index, kind in enumerate(function.parameters):
        asm.l32i("a6", "a5", 4 * index)
        if kind != "int" and kind != "uint":
            asm.call0("wrapper: address")
        else:
            asm.srai("a6", "a6", 1)
        asm.s32i("a6", "a1", 4 * index)
    asm.mov("a0", "a7")
    asm.mov("a10", "a1")
    asm.call8("core")
    if function.has_result:
        asm.slli("a2", "a10", 1)
        asm.addi("a2", "a2", 1)
    else:
        asm.movi("a2", 1)  # the integer 0
    asm.retw()
    _write_address(asm)
    return asm.assemble()


def _write_address(asm: XtensaAssembler) -> None:
    """a6 = the address of the items of the object in a6; changes a8, a9."""
    asm.align(4)
    asm.label("wrapper: address")
    asm.l32i("a8", "a6", objects.ARRAY_TYPECODE)
    asm.l32i("a6", "a6", objects.ARRAY_ITEMS)
    asm.extui("a9", "a8", objects.VIEW_BIT, 1)
    asm.beqz("a9", "wrapper: items")
    asm.srli("a9", "a8", 8)  # the item at which the view begins
    asm.extui("a8", "a8", 0, 5)  # of a typecode: a letter, whichever of its two cases it is
    asm.addi("a8", "a8", -(ord("H") & 31))
    asm.bltz("a8", "wrapper: moved")  # one byte each
    asm.slli("a9", "a9", 1)
    asm.beqz("a8", "wrapper: moved")
    asm.slli("a9", "a9", 1)
    asm.label("wrapper: moved")
    asm.add("a6", "a6", "a9")
    asm.label("wrapper: items")
    asm.ret_n()


def _read_global(asm: XtensaAssembler, function: ViperFunction, name: str) -> None:
    """a6 = the address of the items of a buffer that the module has under a name."""
    asm.l32i("a10", "a2", objects.FUN_CONTEXT)
    asm.l32i("a8", "a10", objects.CONTEXT_NAMES)
    asm.l16ui("a11", "a8", 2 * function.names[name])
    asm.l32i("a8", "a10", objects.CONTEXT_OBJECTS)
    asm.l32i("a8", "a8", 4 * function.table_slot)
    asm.l32i("a8", "a8", 4 * objects.LOAD_ATTR)
    asm.callx8("a8")
    asm.mov("a6", "a10")
    asm.call0("wrapper: address")


def _rounded(size: int) -> int:
    return -(-size // 16) * 16


@contextmanager
def frame(asm: XtensaAssembler, words: Mapping[str, int], room: int = 0) -> Iterator[None]:
    """Begins and ends a core that calls nothing, with `room` bytes at a1 of its own; loads
    argument words into registers, by their index, a2 last, which has their address."""
    asm.entry("a1", max(_rounded(room) + _LEAF_SAVES, 32))
    load_words(asm, words)
    yield
    asm.retw()


@contextmanager
def calling_frame(
    asm: XtensaAssembler, words: Mapping[str, int], room: int = 0
) -> Iterator[None]:
    """The same of a core that calls others with a window of 8."""
    asm.entry("a1", _rounded(room) + _CALLER_SAVES)
    load_words(asm, words)
    yield
    asm.retw()


def load_words(asm: XtensaAssembler, words: Mapping[str, int]) -> None:
    """Loads argument words into registers, by their index; a2, which has their address, last."""
    for register, index in sorted(words.items(), key=lambda item: item[0] == "a2"):
        asm.l32i(register, "a2", 4 * index)


@contextmanager
def loop(asm: XtensaAssembler, count: str, first: int = 3) -> Iterator[None]:
    """A zero-overhead loop, none at all for a count of 0 or less; `first`: bytes of its first
    instruction."""
    end = asm.unique("end")
    asm.align_loop(first)
    asm.loopgtz(count, end)
    yield
    asm.label(end)


def repeat(asm: XtensaAssembler, count: str, body: Callable[[XtensaAssembler], None]) -> None:
    """Does `body` so many times, none at all for a count of 0: in a zero-overhead loop where it
    is short enough, else `count` goes down to 0."""
    tried = XtensaAssembler()
    body(tried)
    if tried.here <= _LOOP_REACH:
        with loop(asm, count):
            body(asm)
        return
    done = asm.unique("done")
    asm.beqz(count, done)
    again = asm.label(asm.unique("again"))
    body(asm)
    asm.addi(count, count, -1)
    asm.bnez(count, again)
    asm.label(done)


def each(
    asm: XtensaAssembler,
    pointers: Mapping[str, int],
    count: str,
    spare: str,
    element: Callable[[int], None],
    several: int = 4,
) -> None:
    """A loop over `count` elements, `several` a turn, a power of two, then one by one.

    pointers: bytes that each moves by an element. spare: a register to count with; `count` is
    changed. element(i) writes the i-th element of a turn.
    """
    if several > 1:
        bits = several.bit_length() - 1
        asm.srli(spare, count, bits)
        with loop(asm, spare):
            for i in range(several):
                element(i)
            for pointer, step in pointers.items():
                asm.addi(pointer, pointer, several * step)
        asm.extui(count, count, 0, bits)
    with loop(asm, count):
        element(0)
        for pointer, step in pointers.items():
            asm.addi(pointer, pointer, step)


def clamp(asm: XtensaAssembler, value: str, limit: str, low: str) -> None:
    """value = value within low to limit."""
    asm.min(value, value, limit)
    asm.max(value, value, low)


def half_of(asm: XtensaAssembler, half: str, shift: str) -> None:
    """half = what a shift right by `shift` adds before, to round half-up: 0 for a shift of 0;
    changes SAR."""
    asm.ssl(shift)
    asm.movi(half, 1)
    asm.sll(half, half)
    asm.srli(half, half, 1)


def move(asm: XtensaAssembler, pointer: str, distance: int, spare: str) -> None:
    """pointer += distance; changes spare where one or two instructions do not do."""
    low = (distance & 255 ^ 128) - 128
    high = distance - low
    if not -32768 <= high <= 32512:
        asm.set(spare, distance)
        asm.add(pointer, pointer, spare)
        return
    if high:
        asm.addmi(pointer, pointer, high)
    if low:
        asm.addi(pointer, pointer, low)
