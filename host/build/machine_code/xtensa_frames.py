"""Xtensa kernels of frames: the cores of the twins in protocol/cobs_pointers.py and
protocol/frame_check.py."""

from __future__ import annotations

from host.build.machine_code.frames import (
    RESIDUE,
    TOO_LONG,
    TOO_SHORT,
    WRONG_CRC,
    WRONG_LENGTH,
    WRONG_SOURCE,
    WRONG_VERSION,
)
from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_core import frame, loop
from protocol.frame import BROADCAST, HEADER_SIZE, LENGTH, MAX_PAYLOAD, SRC, TRAILER_SIZE, VERSION

_FETCHED = ("a12", "a13", "a14", "a15")


def encode(asm: XtensaAssembler) -> None:
    """Words: src, dst, n, offset in dst; the bytes written. COBS, with the 0 that ends it."""
    with frame(asm, {"a3": 0, "a4": 1, "a5": 2, "a6": 3}):
        asm.add("a2", "a4", "a6")  # where it began
        asm.mov("a6", "a2")  # where the block's code byte goes
        asm.addi("a4", "a2", 1)
        asm.add("a5", "a3", "a5")
        asm.movi("a7", 254)
        asm.movi("a9", 0)
        asm.label("block")
        asm.add("a8", "a3", "a7")
        asm.minu("a8", "a8", "a5")  # where the block is full, or the data end
        _copy_to_zero(asm, "zero byte")
        asm.label("zero byte")
        asm.sub("a12", "a4", "a6")
        asm.s8i("a12", "a6", 0)
        asm.mov("a6", "a4")
        asm.addi("a4", "a4", 1)
        asm.bgeu("a3", "a8", "full")
        asm.addi("a3", "a3", 1)  # the zero, for which the code byte stands
        asm.j("block")
        asm.label("full")
        asm.beq("a8", "a5", "ended")
        asm.j("block")
        asm.label("ended")
        asm.s8i("a9", "a6", 0)
        asm.sub("a2", "a4", "a2")


def _copy_to_zero(asm: XtensaAssembler, zero: str) -> None:
    """Copies from a3 to a4 up to a8; goes to `zero` where a byte is zero; changes a12 to a15."""
    singly = asm.unique("singly")
    asm.sub("a12", "a8", "a3")
    asm.srli("a12", "a12", 2)
    with loop(asm, "a12"):
        for i, fetched in enumerate(_FETCHED):
            asm.l8ui(fetched, "a3", i)
        for fetched in _FETCHED:
            asm.beqz(fetched, singly)
        for i, fetched in enumerate(_FETCHED):
            asm.s8i(fetched, "a4", i)
        asm.addi("a3", "a3", 4)
        asm.addi("a4", "a4", 4)
    asm.label(singly)
    asm.sub("a12", "a8", "a3")
    with loop(asm, "a12"):
        asm.l8ui("a13", "a3", 0)
        asm.beqz("a13", zero)
        asm.s8i("a13", "a4", 0)
        asm.addi("a3", "a3", 1)
        asm.addi("a4", "a4", 1)


# While a frame is decoded: the places in src and dst, the end of src, whether a zero is due,
# whether the frame is damaged, the end of what the data have of the block, the begins of src and
# dst, what is left of the block, the capacity, and the state's address.
_SRC, _DST, _END, _IS_DUE, _BAD, _STOP = "a3", "a4", "a5", "a6", "a7", "a8"
_BEGIN, _FRAME, _LEFT, _CAPACITY, _STATE = "a9", "a10", "a11", "a0", "a2"


def decode(asm: XtensaAssembler) -> None:
    """Words: src, dst, state [4], n, capacity; a frame's length, 0 if it goes on, -1 if it
    was damaged. state: place in src, what is left of the block, whether a zero is due, place in
    dst or -1 for a frame that is damaged."""
    with frame(asm, {_SRC: 0, _DST: 1, _END: 3}, 16):
        asm.s32i("a0", "a1", 0)
        asm.l32i(_CAPACITY, "a2", 16)
        asm.l32i(_STATE, "a2", 8)
        asm.mov(_BEGIN, _SRC)
        asm.mov(_FRAME, _DST)
        asm.add(_END, _SRC, _END)
        asm.l32i("a12", _STATE, 0)
        asm.add(_SRC, _SRC, "a12")
        asm.l32i(_LEFT, _STATE, 4)
        asm.l32i(_IS_DUE, _STATE, 8)
        asm.l32i("a12", _STATE, 12)
        asm.extui(_BAD, "a12", 31, 1)
        asm.bnez(_BAD, "next")
        asm.add(_DST, _FRAME, "a12")
        asm.label("next")
        asm.bltu(_SRC, _END, "goes on")
        asm.j("wait")
        asm.label("goes on")
        asm.add(_STOP, _SRC, _LEFT)
        asm.movi(_LEFT, 0)
        asm.bgeu(_END, _STOP, "here")
        asm.sub(_LEFT, _STOP, _END)
        asm.mov(_STOP, _END)
        asm.label("here")
        _copy_to_zero(asm, "stopped")
        asm.label("stopped")
        asm.sub("a12", _STOP, _SRC)
        asm.add(_LEFT, _LEFT, "a12")
        asm.bne(_SRC, _END, "code")
        asm.j("wait")
        _begin_block(asm)
        _end_frame(asm)
        asm.label("wait")
        asm.sub("a12", _SRC, _BEGIN)
        asm.sub("a13", _DST, _FRAME)
        asm.movi("a14", -1)
        asm.movnez("a13", "a14", _BAD)
        for register, place in (("a12", 0), (_LEFT, 4), (_IS_DUE, 8), ("a13", 12)):
            asm.s32i(register, _STATE, place)
        asm.movi("a12", 0)
        asm.label("leave")
        asm.mov("a2", "a12")
        asm.l32i("a0", "a1", 0)


def _begin_block(asm: XtensaAssembler) -> None:
    """A code byte: how long the next block is, or 0 if the frame ends."""
    asm.label("code")
    asm.l8ui("a12", _SRC, 0)
    asm.addi(_SRC, _SRC, 1)
    asm.beqz("a12", "ended")
    asm.bnez(_BAD, "next")
    asm.addi(_LEFT, "a12", -1)
    asm.sub("a13", _DST, _FRAME)
    asm.add("a13", "a13", _IS_DUE)
    asm.add("a13", "a13", _LEFT)
    asm.bge(_CAPACITY, "a13", "has room")
    asm.movi(_BAD, 1)
    asm.movi(_LEFT, 0)
    asm.j("block begun")
    asm.label("has room")
    asm.beqz(_IS_DUE, "block begun")
    asm.movi("a13", 0)
    asm.s8i("a13", _DST, 0)
    asm.addi(_DST, _DST, 1)
    asm.label("block begun")
    asm.movi(_IS_DUE, 1)
    asm.movi("a13", 255)  # a full block stands for no zero
    asm.sub("a12", "a12", "a13")
    asm.moveqz(_IS_DUE, "a12", "a12")
    asm.j("next")


def _end_frame(asm: XtensaAssembler) -> None:
    """The end of a frame; of none, if nothing came before it."""
    asm.label("ended")
    asm.sub("a12", _DST, _FRAME)
    asm.sub("a13", _SRC, _BEGIN)
    asm.movi("a14", 0)
    asm.s32i("a13", _STATE, 0)
    for place in (4, 8, 12):
        asm.s32i("a14", _STATE, place)
    asm.or_("a13", _LEFT, _BAD)
    asm.bnez("a13", "damaged")
    asm.bnez("a12", "leave")
    asm.bnez(_IS_DUE, "damaged")
    asm.movi(_IS_DUE, 0)
    asm.movi(_LEFT, 0)
    asm.mov(_DST, _FRAME)
    asm.j("next")
    asm.label("damaged")
    asm.movi("a12", -1)
    asm.j("leave")


def check_frame(asm: XtensaAssembler) -> None:
    """Words: frame, n, table [256]; the payload's length, or a fault negated."""
    with frame(asm, {"a3": 0, "a4": 1, "a5": 2}):
        asm.movi("a2", -TOO_SHORT)
        asm.movi("a8", HEADER_SIZE + 1)
        asm.blt("a4", "a8", "fault")
        asm.movi("a2", -WRONG_VERSION)
        asm.l8ui("a8", "a3", VERSION)
        asm.movi("a9", TRAILER_SIZE[2])
        asm.addi("a10", "a8", -2)
        asm.beqz("a10", "version")
        asm.movi("a9", TRAILER_SIZE[3])
        asm.addi("a11", "a8", -3)
        asm.bnez("a11", "fault")
        asm.label("version")
        asm.movi("a2", -TOO_LONG)
        asm.l8ui("a6", "a3", LENGTH)
        asm.l8ui("a11", "a3", LENGTH + 1)
        asm.slli("a11", "a11", 8)
        asm.or_("a6", "a6", "a11")
        asm.set("a11", MAX_PAYLOAD)
        asm.bltu("a11", "a6", "fault")
        asm.movi("a2", -WRONG_LENGTH)
        asm.add("a9", "a9", "a6")
        asm.addi("a9", "a9", HEADER_SIZE)
        asm.bne("a9", "a4", "fault")
        asm.movi("a2", -WRONG_SOURCE)
        asm.l8ui("a8", "a3", SRC)
        asm.movi("a9", BROADCAST)
        asm.beq("a8", "a9", "fault")
        asm.beqz("a10", "checksum")
        asm.label("right")
        asm.mov("a2", "a6")
        asm.label("fault")
        asm.retw()
        asm.label("checksum")
        _crc(asm)
        asm.movi("a2", -WRONG_CRC)
        asm.set("a8", RESIDUE)
        asm.sub("a7", "a7", "a8")
        asm.moveqz("a2", "a6", "a7")


def put_crc32(asm: XtensaAssembler) -> None:
    """Words: frame, n, table [256]; the CRC-32 goes behind the n bytes."""
    with frame(asm, {"a3": 0, "a4": 1, "a5": 2}):
        _crc(asm)
        asm.movi("a8", -1)
        asm.xor("a7", "a7", "a8")
        for i in range(4):
            asm.s8i("a7", "a3", i)
            asm.srli("a7", "a7", 8)


def _crc(asm: XtensaAssembler) -> None:
    """a7 = the register of CRC-32 over a4 bytes at a3, which ends behind them; the table is at
    a5; changes a4 and a8 to a11."""
    asm.movi("a7", -1)
    asm.extui("a8", "a3", 0, 2)
    asm.bnez("a8", "bytes")
    asm.srli("a9", "a4", 2)
    asm.extui("a4", "a4", 0, 2)
    with loop(asm, "a9"):
        asm.l32i("a8", "a3", 0)
        asm.addi("a3", "a3", 4)
        asm.xor("a7", "a7", "a8")
        for _ in range(4):
            _look_up(asm)
    asm.label("bytes")
    with loop(asm, "a4"):
        asm.l8ui("a8", "a3", 0)
        asm.addi("a3", "a3", 1)
        asm.xor("a7", "a7", "a8")
        _look_up(asm)


def _look_up(asm: XtensaAssembler) -> None:
    """Eight bits leave the register."""
    asm.extui("a8", "a7", 0, 8)
    asm.addx4("a8", "a8", "a5")
    asm.l32i("a8", "a8", 0)
    asm.srli("a7", "a7", 8)
    asm.xor("a7", "a7", "a8")
