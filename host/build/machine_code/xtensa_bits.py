"""Xtensa bit packing: the cores of the twins in protocol/bitpack_pointers.py and
protocol/bitunpack_pointers.py.

Fields go through 32-bit words at aligned addresses. What is packed is written to the byte; what
is unpacked is read to the word that the last bit lies in.
"""

from __future__ import annotations

from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_core import each, frame


def bits_needed(asm: XtensaAssembler) -> None:
    """Words: values, count; the bits of the longest value, its sign included."""
    with frame(asm, {"a3": 0, "a4": 1}):
        asm.movi("a5", 0)

        def element(i: int) -> None:
            asm.l32i("a6", "a3", 4 * i)
            asm.srai("a7", "a6", 31)
            asm.xor("a6", "a6", "a7")
            asm.or_("a5", "a5", "a6")

        each(asm, {"a3": 4}, "a4", "a8", element)
        asm.nsau("a5", "a5")
        asm.movi("a2", 33)
        asm.sub("a2", "a2", "a5")


def pack(asm: XtensaAssembler) -> None:
    """Words: out, offset in bytes, values, count, bits; the bytes written."""
    with frame(asm, {"a3": 0, "a4": 1, "a5": 2, "a6": 3, "a7": 4}):
        asm.add("a3", "a3", "a4")
        asm.mov("a2", "a3")
        asm.movi("a8", 32)
        asm.extui("a4", "a3", 0, 2)
        asm.sub("a3", "a3", "a4")
        asm.slli("a4", "a4", 3)  # bits that the first word holds already
        asm.movi("a9", -1)
        asm.sub("a10", "a8", "a7")
        asm.ssr("a10")
        asm.srl("a10", "a9")  # a field's mask
        asm.movi("a9", 0)  # the word to which fields are added
        asm.beqz("a4", "at a word")
        asm.l32i("a9", "a3", 0)
        asm.ssl("a4")
        asm.movi("a11", -1)
        asm.sll("a11", "a11")
        asm.and_("a11", "a11", "a9")
        asm.xor("a9", "a9", "a11")
        asm.label("at a word")

        def field(i: int) -> None:
            fits = asm.unique("fits")
            asm.l32i("a12", "a5", 4 * i)
            asm.ssl("a4")
            asm.and_("a12", "a12", "a10")
            asm.sll("a13", "a12")
            asm.add("a4", "a4", "a7")
            asm.or_("a9", "a9", "a13")
            asm.bltu("a4", "a8", fits)
            asm.s32i("a9", "a3", 0)
            asm.addi("a3", "a3", 4)
            asm.addi("a4", "a4", -32)
            _take_rest(asm)
            asm.label(fits)

        each(asm, {"a5": 4}, "a6", "a15", field, 2)
        asm.beqz("a4", "finished")
        asm.movi("a14", 0)
        asm.label("byte")
        asm.s8i("a9", "a3", 0)
        asm.srli("a9", "a9", 8)
        asm.addi("a3", "a3", 1)
        asm.addi("a4", "a4", -8)
        asm.blt("a14", "a4", "byte")
        asm.label("finished")
        asm.sub("a2", "a3", "a2")


def _take_rest(asm: XtensaAssembler) -> None:
    """a9 = what of the field a12 did not fit the word before: its upper a4 bits, maybe none."""
    asm.sub("a13", "a7", "a4")
    asm.ssr("a13")
    asm.srl("a9", "a12")
    asm.moveqz("a9", "a4", "a4")


def unpack(asm: XtensaAssembler) -> None:
    """Words: packed, offset in bytes, values, count, bits; the bytes read."""
    with frame(asm, {"a3": 0, "a4": 1, "a5": 2, "a6": 3, "a7": 4}):
        asm.mull("a2", "a6", "a7")
        asm.addi("a2", "a2", 7)
        asm.srli("a2", "a2", 3)
        _begin_fields(asm)

        def field(i: int) -> None:
            _unpack_field(asm)
            asm.s32i("a13", "a5", 4 * i)

        each(asm, {"a5": 4}, "a6", "a15", field, 2)


def add_unpacked(asm: XtensaAssembler) -> None:
    """Words: packed, offset in bytes, values, first of them, count, bits."""
    with frame(asm, {"a3": 0, "a4": 1, "a5": 2, "a8": 3, "a6": 4, "a7": 5}):
        asm.addx4("a5", "a8", "a5")
        _begin_fields(asm)

        def field(i: int) -> None:
            _unpack_field(asm)
            asm.l32i("a14", "a5", 4 * i)
            asm.add("a13", "a13", "a14")
            asm.s32i("a13", "a5", 4 * i)

        each(asm, {"a5": 4}, "a6", "a15", field, 2)


def _begin_fields(asm: XtensaAssembler) -> None:
    """a3 = the word in which the fields begin, not read yet; a4 = the bits of the last word read
    that are taken, a10 = a field's mask, a11 = its sign."""
    asm.add("a3", "a3", "a4")
    asm.extui("a4", "a3", 0, 2)
    asm.sub("a3", "a3", "a4")
    asm.slli("a4", "a4", 3)
    asm.addi("a4", "a4", 32)
    asm.movi("a8", 32)
    asm.movi("a10", -1)
    asm.sub("a11", "a8", "a7")
    asm.ssr("a11")
    asm.srl("a10", "a10")
    asm.srli("a11", "a10", 1)
    asm.xor("a11", "a10", "a11")


def _unpack_field(asm: XtensaAssembler) -> None:
    """a13 = the next field, its sign extended; a9 = the word that it ends in."""
    some, whole, joined = asm.unique("some"), asm.unique("whole"), asm.unique("joined")
    asm.bltu("a4", "a8", some)
    asm.l32i("a9", "a3", 0)
    asm.addi("a3", "a3", 4)
    asm.addi("a4", "a4", -32)
    asm.label(some)
    asm.ssr("a4")
    asm.add("a4", "a4", "a7")
    asm.bgeu("a8", "a4", whole)
    asm.mov("a12", "a9")
    asm.l32i("a9", "a3", 0)
    asm.addi("a3", "a3", 4)
    asm.addi("a4", "a4", -32)
    asm.src("a13", "a9", "a12")
    asm.j(joined)
    asm.label(whole)
    asm.srl("a13", "a9")
    asm.label(joined)
    asm.and_("a13", "a13", "a10")
    asm.xor("a13", "a13", "a11")
    asm.sub("a13", "a13", "a11")
