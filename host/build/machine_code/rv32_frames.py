"""RV32IM kernels of frames: the cores of the twins in protocol/cobs_pointers.py and
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
from host.build.machine_code.rv32 import Rv32Assembler
from host.build.machine_code.rv32_core import load_words
from protocol.frame import BROADCAST, HEADER_SIZE, LENGTH, MAX_PAYLOAD, SRC, TRAILER_SIZE, VERSION

_FETCHED = ("t0", "t1", "t2", "t3")


def encode(asm: Rv32Assembler) -> None:
    """Words: src, dst, n, offset in dst; the bytes written. COBS, with the 0 that ends it."""
    load_words(asm, {"a1": 0, "a2": 1, "a3": 2, "t0": 3})
    asm.add("a4", "a2", "t0")  # where it began
    asm.mv("a5", "a4")  # where the block's code byte goes
    asm.addi("a2", "a4", 1)
    asm.add("a3", "a1", "a3")
    asm.label("block")
    asm.addi("a6", "a1", 254)  # where the block is full
    asm.bleu("a6", "a3", "bounded")
    asm.mv("a6", "a3")
    asm.label("bounded")
    _copy_to_zero(asm, "zero byte")
    asm.label("zero byte")
    asm.sub("t0", "a2", "a5")
    asm.sb("t0", 0, "a5")
    asm.mv("a5", "a2")
    asm.addi("a2", "a2", 1)
    asm.bgeu("a1", "a6", "full")
    asm.addi("a1", "a1", 1)  # the zero, for which the code byte stands
    asm.j("block")
    asm.label("full")
    asm.bne("a6", "a3", "block")
    asm.sb("zero", 0, "a5")
    asm.sub("a0", "a2", "a4")
    asm.ret()


def _copy_to_zero(asm: Rv32Assembler, zero: str) -> None:
    """Copies from a1 to a2 up to a6, and goes to `zero` where a byte is zero; changes a7."""
    four, singly, one, done = (asm.unique(name) for name in ("four", "singly", "one", "done"))
    asm.addi("a7", "a1", 4)
    asm.bgtu("a7", "a6", singly)
    asm.addi("a7", "a6", -4)
    asm.label(four)
    for i, fetched in enumerate(_FETCHED):
        asm.lbu(fetched, i, "a1")
    for fetched in _FETCHED:
        asm.beqz(fetched, singly)
    for i, fetched in enumerate(_FETCHED):
        asm.sb(fetched, i, "a2")
    asm.addi("a1", "a1", 4)
    asm.addi("a2", "a2", 4)
    asm.bleu("a1", "a7", four)
    asm.label(singly)
    asm.bgeu("a1", "a6", done)
    asm.label(one)
    asm.lbu("t0", 0, "a1")
    asm.beqz("t0", zero)
    asm.sb("t0", 0, "a2")
    asm.addi("a1", "a1", 1)
    asm.addi("a2", "a2", 1)
    asm.bltu("a1", "a6", one)
    asm.label(done)


# Of decode: where src and the frame begin, the state, what is left of the block, whether a zero is
# due, whether the frame is to be dropped, its capacity, and where src ends. a1, a2: src and dst.
_BEGIN, _FRAME, _STATE, _LEFT, _IS_DUE, _IS_BAD, _CAPACITY, _END = (
    "a0", "a4", "a5", "t4", "t5", "t6", "ra", "a3",
)  # fmt: skip


def decode(asm: Rv32Assembler) -> None:
    """Words: src, dst, state [4], n, capacity; a frame's length, 0 if it goes on, -1 if it
    was damaged. state: place in src, what is left of the block, whether a zero is due, place in
    dst or -1 for a frame that is to be dropped."""
    asm.addi("sp", "sp", -16)
    asm.sw("ra", 12, "sp")
    load_words(asm, {"a1": 0, "a2": 1, _STATE: 2, _END: 3, _CAPACITY: 4})
    asm.mv(_BEGIN, "a1")
    asm.mv(_FRAME, "a2")
    asm.add(_END, "a1", _END)
    asm.lw("t0", 0, _STATE)
    asm.add("a1", "a1", "t0")
    asm.lw(_LEFT, 4, _STATE)
    asm.lw(_IS_DUE, 8, _STATE)
    asm.lw("t1", 12, _STATE)
    asm.slt(_IS_BAD, "t1", "zero")
    asm.bnez(_IS_BAD, "next")
    asm.add("a2", _FRAME, "t1")
    asm.label("next")
    asm.bgeu("a1", _END, "wait")
    asm.add("a6", "a1", _LEFT)  # as far as the data have the current block
    asm.li(_LEFT, 0)
    asm.bleu("a6", _END, "here")
    asm.sub(_LEFT, "a6", _END)
    asm.mv("a6", _END)
    asm.label("here")
    _copy_to_zero(asm, "stopped")
    asm.label("stopped")
    asm.sub("t0", "a6", "a1")
    asm.add(_LEFT, _LEFT, "t0")
    asm.beq("a1", _END, "wait")
    asm.lbu("t0", 0, "a1")
    asm.addi("a1", "a1", 1)
    asm.beqz("t0", "ended")
    asm.bnez(_IS_BAD, "next")
    _begin_block(asm)
    _end_frame(asm)
    asm.label("wait")
    asm.sub("t0", "a1", _BEGIN)
    asm.sub("t1", "a2", _FRAME)
    asm.beqz(_IS_BAD, "sound")
    asm.li("t1", -1)
    asm.label("sound")
    for place, register in enumerate(("t0", _LEFT, _IS_DUE, "t1")):
        asm.sw(register, 4 * place, _STATE)
    asm.li("a0", 0)
    asm.label("leave")
    asm.lw("ra", 12, "sp")
    asm.addi("sp", "sp", 16)
    asm.ret()


def _begin_block(asm: Rv32Assembler) -> None:
    """Takes the code byte t0 of a block, before which the zero that was due is written."""
    asm.addi(_LEFT, "t0", -1)
    asm.sub("t1", "a2", _FRAME)
    asm.add("t1", "t1", _IS_DUE)
    asm.add("t1", "t1", _LEFT)
    asm.ble("t1", _CAPACITY, "has room")
    asm.li(_IS_BAD, 1)
    asm.li(_LEFT, 0)
    asm.j("begun")
    asm.label("has room")
    asm.beqz(_IS_DUE, "begun")
    asm.sb("zero", 0, "a2")
    asm.addi("a2", "a2", 1)
    asm.label("begun")
    asm.addi("t0", "t0", -255)  # a full block stands for no zero
    asm.sltu(_IS_DUE, "zero", "t0")
    asm.j("next")


def _end_frame(asm: Rv32Assembler) -> None:
    """At the zero that ends a frame: says what it is, or goes on where there was none."""
    asm.label("ended")
    asm.sub("t0", "a2", _FRAME)
    asm.sub("t1", "a1", _BEGIN)
    for place, register in enumerate(("t1", "zero", "zero", "zero")):
        asm.sw(register, 4 * place, _STATE)
    asm.or_("t1", _LEFT, _IS_BAD)
    asm.bnez("t1", "damaged")
    asm.bnez("t0", "whole")
    asm.beqz(_IS_DUE, "next")  # a zero after nothing is silence
    asm.label("damaged")
    asm.li("t0", -1)
    asm.label("whole")
    asm.mv("a0", "t0")
    asm.j("leave")


def check_frame(asm: Rv32Assembler) -> None:
    """Words: frame, n, table [256]; the payload's length, or a fault negated."""
    load_words(asm, {"a1": 0, "a2": 1, "a3": 2})
    asm.li("t0", HEADER_SIZE + 1)
    asm.blt("a2", "t0", f"fault {TOO_SHORT}")
    asm.lbu("t0", VERSION, "a1")
    asm.li("t1", TRAILER_SIZE[2])
    asm.addi("t2", "t0", -2)
    asm.beqz("t2", "version")
    asm.li("t1", TRAILER_SIZE[3])
    asm.addi("t3", "t0", -3)
    asm.bnez("t3", f"fault {WRONG_VERSION}")
    asm.label("version")
    asm.lbu("a4", LENGTH, "a1")
    asm.lbu("t3", LENGTH + 1, "a1")
    asm.slli("t3", "t3", 8)
    asm.or_("a4", "a4", "t3")
    asm.li("t3", MAX_PAYLOAD)
    asm.bgtu("a4", "t3", f"fault {TOO_LONG}")
    asm.add("t1", "t1", "a4")
    asm.addi("t1", "t1", HEADER_SIZE)
    asm.bne("t1", "a2", f"fault {WRONG_LENGTH}")
    asm.lbu("t0", SRC, "a1")
    asm.addi("t0", "t0", -BROADCAST)
    asm.beqz("t0", f"fault {WRONG_SOURCE}")
    asm.bnez("t2", "right")
    _crc(asm)
    asm.li("t0", RESIDUE)
    asm.bne("a5", "t0", f"fault {WRONG_CRC}")
    asm.label("right")
    asm.mv("a0", "a4")
    asm.ret()
    for fault in (TOO_SHORT, WRONG_VERSION, TOO_LONG, WRONG_LENGTH, WRONG_SOURCE, WRONG_CRC):
        asm.label(f"fault {fault}")
        asm.li("a0", -fault)
        asm.ret()


def put_crc32(asm: Rv32Assembler) -> None:
    """Words: frame, n, table [256]; the CRC-32 goes behind the n bytes."""
    load_words(asm, {"a1": 0, "a2": 1, "a3": 2})
    _crc(asm)
    asm.xori("a5", "a5", -1)
    for i in range(4):
        asm.sb("a5", i, "a1")
        asm.srli("a5", "a5", 8)
    asm.ret()


def _crc(asm: Rv32Assembler) -> None:
    """a5 = the register of CRC-32 over a2 bytes at a1, which ends behind them."""
    asm.li("a5", -1)
    asm.add("a2", "a1", "a2")
    asm.andi("t0", "a1", 3)
    asm.bnez("t0", "bytes")
    asm.addi("a6", "a1", 4)
    asm.bgtu("a6", "a2", "bytes")
    asm.addi("a6", "a2", -4)
    asm.label("word")
    asm.lw("t0", 0, "a1")
    asm.xor("a5", "a5", "t0")
    for _ in range(4):
        _look_up(asm)
    asm.addi("a1", "a1", 4)
    asm.bleu("a1", "a6", "word")
    asm.label("bytes")
    asm.bgeu("a1", "a2", "checked")
    asm.label("byte")
    asm.lbu("t0", 0, "a1")
    asm.xor("a5", "a5", "t0")
    _look_up(asm)
    asm.addi("a1", "a1", 1)
    asm.bltu("a1", "a2", "byte")
    asm.label("checked")


def _look_up(asm: Rv32Assembler) -> None:
    """Eight bits leave the register."""
    asm.andi("t0", "a5", 255)
    asm.slli("t0", "t0", 2)
    asm.add("t0", "t0", "a3")
    asm.lw("t0", 0, "t0")
    asm.srli("a5", "a5", 8)
    asm.xor("a5", "a5", "t0")
