"""RV32IM bit packing: the cores of the twins in protocol/bitpack_pointers.py and
protocol/bitunpack_pointers.py.

Fields go through 32-bit words at aligned addresses. What is packed is written to the byte; what
is unpacked is read to the word that the last bit lies in.
"""

from __future__ import annotations

from collections.abc import Callable

from host.build.machine_code.rv32 import Rv32Assembler
from host.build.machine_code.rv32_core import each, end_of, load_words


def bits_needed(asm: Rv32Assembler) -> None:
    """Words: values, count; the bits of the longest value, its sign included."""
    load_words(asm, {"a1": 0, "a2": 1})
    end_of(asm, "a2", "a1")
    asm.li("t2", 0)

    def element(i: int) -> None:
        asm.lw("t0", 4 * i, "a1")
        asm.srai("t1", "t0", 31)
        asm.xor("t0", "t0", "t1")
        asm.or_("t2", "t2", "t0")

    each(asm, {"a1": 4}, "a2", "t6", element)
    asm.li("a0", 1)
    asm.beqz("t2", "counted")
    asm.label("count")
    asm.srli("t2", "t2", 1)
    asm.addi("a0", "a0", 1)
    asm.bnez("t2", "count")
    asm.label("counted")
    asm.ret()


def pack(asm: Rv32Assembler) -> None:
    """Words: out, offset in bytes, values, count, bits; the bytes written."""
    load_words(asm, {"a1": 0, "t0": 1, "a2": 2, "a3": 3, "a4": 4})
    asm.add("a1", "a1", "t0")
    end_of(asm, "a3", "a2")
    asm.mv("a7", "a1")
    asm.andi("a5", "a1", 3)
    asm.slli("a5", "a5", 3)  # bits that the first word holds already
    asm.andi("a1", "a1", -4)
    asm.li("t5", -1)
    asm.li("t3", 32)
    asm.li("a6", 0)
    asm.beqz("a5", "at a word")
    asm.lw("a6", 0, "a1")
    asm.sub("t0", "t3", "a5")
    asm.srl("t0", "t5", "t0")
    asm.and_("a6", "a6", "t0")
    asm.label("at a word")
    asm.sub("t0", "t3", "a4")
    asm.srl("t4", "t5", "t0")  # a field's mask
    asm.or_("t0", "t0", "a5")
    asm.beqz("t0", "words")
    _each_field(asm, lambda i: _pack_field(asm, i))
    asm.label("finish")
    asm.beqz("a5", "finished")
    asm.label("byte")
    asm.sb("a6", 0, "a1")
    asm.srli("a6", "a6", 8)
    asm.addi("a1", "a1", 1)
    asm.addi("a5", "a5", -8)
    asm.bgt("a5", "zero", "byte")
    asm.label("finished")
    asm.sub("a0", "a1", "a7")
    asm.ret()
    asm.label("words")  # fields of 32 bits at a word: no bit is left over

    def word(i: int) -> None:
        asm.lw("t0", 4 * i, "a2")
        asm.sw("t0", 4 * i, "a1")

    each(asm, {"a2": 4, "a1": 4}, "a3", "t6", word)
    asm.j("finished")


def _each_field(asm: Rv32Assembler, field: Callable[[int], None]) -> None:
    """The loop over values at a2, which end at a3."""
    each(asm, {"a2": 4}, "a3", "t6", field, 2)


def _pack_field(asm: Rv32Assembler, i: int) -> None:
    """Adds a value to the word a6, of which a5 bits are taken, and stores what is full."""
    fits = asm.unique("fits")
    asm.lw("t0", 4 * i, "a2")
    asm.and_("t0", "t0", "t4")
    asm.sll("t1", "t0", "a5")
    asm.or_("a6", "a6", "t1")
    asm.add("a5", "a5", "a4")
    asm.bltu("a5", "t3", fits)
    asm.sw("a6", 0, "a1")
    asm.addi("a5", "a5", -32)
    asm.addi("a1", "a1", 4)
    asm.sub("t1", "a4", "a5")
    asm.srl("a6", "t0", "t1")
    asm.label(fits)


def unpack(asm: Rv32Assembler) -> None:
    """Words: packed, offset in bytes, values, count, bits; the bytes read."""
    load_words(asm, {"a1": 0, "t0": 1, "a2": 2, "a3": 3, "a4": 4})
    asm.mul("t1", "a3", "a4")
    asm.addi("t1", "t1", 7)
    asm.srli("a7", "t1", 3)
    _begin_fields(asm)

    def field(i: int) -> None:
        _unpack_field(asm)
        asm.sw("t0", 4 * i, "a2")

    _each_field(asm, field)
    asm.mv("a0", "a7")
    asm.ret()


def add_unpacked(asm: Rv32Assembler) -> None:
    """Words: packed, offset in bytes, values, first of them, count, bits."""
    load_words(asm, {"a1": 0, "t0": 1, "a2": 2, "t1": 3, "a3": 4, "a4": 5})
    asm.slli("t1", "t1", 2)
    asm.add("a2", "a2", "t1")
    _begin_fields(asm)

    def field(i: int) -> None:
        _unpack_field(asm)
        asm.lw("t1", 4 * i, "a2")
        asm.add("t0", "t0", "t1")
        asm.sw("t0", 4 * i, "a2")

    _each_field(asm, field)
    asm.ret()


def _begin_fields(asm: Rv32Assembler) -> None:
    """a1 = the word before whose end the fields begin, none of it read yet; a5 = the bits of the
    last word read that are taken, a3 = the end of values; t0 has the offset."""
    asm.add("a1", "a1", "t0")
    end_of(asm, "a3", "a2")
    asm.andi("a5", "a1", 3)
    asm.slli("a5", "a5", 3)
    asm.addi("a5", "a5", 32)
    asm.andi("a1", "a1", -4)
    asm.li("t3", 32)
    asm.sub("t4", "t3", "a4")


def _unpack_field(asm: Rv32Assembler) -> None:
    """t0 = the next field, its sign extended; a6 = the word that it ends in."""
    some, whole = asm.unique("some"), asm.unique("whole")
    asm.bltu("a5", "t3", some)
    asm.lw("a6", 0, "a1")
    asm.addi("a1", "a1", 4)
    asm.addi("a5", "a5", -32)
    asm.label(some)
    asm.srl("t0", "a6", "a5")
    asm.add("a5", "a5", "a4")
    asm.bleu("a5", "t3", whole)
    asm.lw("a6", 0, "a1")
    asm.addi("a5", "a5", -32)
    asm.addi("a1", "a1", 4)
    asm.sub("t1", "a4", "a5")
    asm.sll("t1", "a6", "t1")
    asm.or_("t0", "t0", "t1")
    asm.label(whole)
    asm.sll("t0", "t0", "t4")
    asm.sra("t0", "t0", "t4")
