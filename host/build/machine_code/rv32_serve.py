"""RV32IM: answers a frame without any bytecode between its bytes on the line and the answer's.

What firmware/compute/serve.py says of it; the frame's fields are those of protocol/frame.py and
protocol/messages.py.
"""

from __future__ import annotations

from host.build.machine_code.frames import BOOT_ID, COPIED, SERVED, SERVED_VERSION, WORDS
from host.build.machine_code.rv32 import SAVED, Rv32Assembler
from host.build.machine_code.rv32_core import load_words, saved
from protocol.frame import BROADCAST, DST, HEADER_SIZE, LENGTH, TRAILER_SIZE, TYPE, VERSION
from protocol.message_types import PARTIAL
from protocol.messages import (
    COMPUTE_DATA,
    LAYER,
    PARTIAL_BITS,
    PARTIAL_DATA,
    PHASE,
    PHASE_ATTENTION,
    PHASE_FEED_FORWARD,
    POSITION,
    REQUEST_SIZE,
    SEQUENCE_ID,
)

_ROOM = 32  # for a call's arguments

# Registers that last: the block, frame, answer, position, layer and phase; two for changing use;
# and the decoder's state as it was.
_BLOCK, _FRAME, _ANSWER, _POSITION, _A, _B, _LAYER, _PHASE = SAVED[:8]
_STATE = SAVED[8:]


def serve(asm: Rv32Assembler) -> None:
    """Words: block, bytes of data; bytes of the encoded answer, 0 where no frame has ended, -1
    for a frame that is not for this, the decoder's state as it was then."""
    with saved(asm, (*SAVED, "ra"), _ROOM):
        load_words(asm, {_BLOCK: 0, _A: 1})
        _get(asm, _FRAME, "frame")
        _get(asm, _ANSWER, "answer")
        _get(asm, "t0", "state")
        asm.sw("zero", 0, "t0")
        for place, register in enumerate(_STATE):
            asm.lw(register, 4 * place, "t0")
        _call(asm, "decode", "data", "frame", "state", _A, "capacity")
        asm.beqz("a0", "leave")
        asm.bltz("a0", "other")
        asm.mv(_A, "a0")
        _check(asm)
        _begin(asm)
        asm.sb("zero", VERSION, _ANSWER)
        _call(asm, "load_int16s", "frame", 0, COMPUTE_DATA, "x", "dim")
        _call(asm, "run_program", _A, _B, _POSITION, "out")
        _note_position(asm)
        _answer(asm)
        asm.j("leave")
        asm.label("other")
        _get(asm, "t0", "state")
        for place, register in enumerate(_STATE):
            asm.sw(register, 4 * place, "t0")
        asm.li("a0", -1)
        asm.label("leave")


def _get(asm: Rv32Assembler, register: str, word: str) -> None:
    asm.lw(register, 4 * WORDS.index(word), _BLOCK)


def _call(asm: Rv32Assembler, kernel: str, *arguments: str | int) -> None:
    """Calls a kernel's core with words of the block, registers and numbers."""
    for place, argument in enumerate(arguments):
        if isinstance(argument, int):
            asm.li("t0", argument)
            argument = "t0"
        elif argument in WORDS:
            _get(asm, "t0", argument)
            argument = "t0"
        asm.sw(argument, 4 * place, "sp")
    _get(asm, "t0", kernel)
    asm.mv("a0", "sp")
    asm.jalr("ra", 0, "t0")


def _check(asm: Rv32Assembler) -> None:
    """Goes to "other" unless the frame, of as many bytes as _A says, is a COMPUTE of version 2 for
    this chip, sound, of one position of the current sequence. Its fields go into registers."""
    for place, expected in SERVED:
        asm.lbu("t0", place, _FRAME)
        asm.li("t1", expected)
        asm.bne("t0", "t1", "other")
    asm.lbu("t0", DST, _FRAME)
    asm.li("t1", BROADCAST)
    asm.beq("t0", "t1", "for all")
    _get(asm, "t1", "chip")
    asm.bne("t0", "t1", "other")
    asm.label("for all")
    _call(asm, "check_frame", "frame", _A, "table")
    _get(asm, "t0", "dim")
    asm.slli("t0", "t0", 1)
    asm.addi("t0", "t0", REQUEST_SIZE)
    asm.bne("a0", "t0", "other")
    asm.lbu(_LAYER, LAYER, _FRAME)
    _get(asm, "t1", "layers")
    asm.bgeu(_LAYER, "t1", "other")
    _u16(asm, "t0", SEQUENCE_ID)
    _get(asm, "t1", "sequence")
    asm.bne("t0", "t1", "other")
    _u16(asm, _POSITION, POSITION)
    _get(asm, "t1", "context")
    asm.bgeu(_POSITION, "t1", "other")
    asm.lbu(_PHASE, PHASE, _FRAME)
    # One that was answered is answered from the buffer.
    asm.lbu("t0", VERSION, _ANSWER)
    asm.beqz("t0", "new")
    for place, in_answer in COPIED:
        asm.lbu("t0", place, _FRAME)
        asm.lbu("t1", in_answer, _ANSWER)
        asm.bne("t0", "t1", "new")
    asm.j("other")
    asm.label("new")


def _u16(asm: Rv32Assembler, register: str, place: int) -> None:
    asm.lbu(register, place, _FRAME)
    asm.lbu("t1", place + 1, _FRAME)
    asm.slli("t1", "t1", 8)
    asm.or_(register, register, "t1")


def _begin(asm: Rv32Assembler) -> None:
    """_A, _B = the phase's program and the layer's values for it; "other" where there are none or
    the cache does not reach so far. Counts the frame, of _A bytes."""
    asm.mv("t4", _A)
    asm.slli("t2", _LAYER, 2)
    asm.li("t0", PHASE_ATTENTION)
    asm.bne(_PHASE, "t0", "no attention")
    _get(asm, "t1", "positions")
    asm.add("t1", "t1", "t2")
    asm.lw("t1", 0, "t1")
    asm.bgt(_POSITION, "t1", "other")
    _get(asm, _A, "attention")
    _get(asm, _B, "attention_values")
    asm.j("program")
    asm.label("no attention")
    asm.li("t0", PHASE_FEED_FORWARD)
    asm.bne(_PHASE, "t0", "other")
    _get(asm, _A, "feed_forward")
    _get(asm, _B, "feed_forward_values")
    asm.label("program")
    asm.beqz(_A, "other")
    asm.add(_B, _B, "t2")
    asm.lw(_B, 0, _B)
    _add(asm, "received", "bytes_received", "t4")


def _add(asm: Rv32Assembler, frames: str, octets: str, count: str) -> None:
    """Counts a frame of so many bytes."""
    for word, more in ((frames, ""), (octets, count)):
        _get(asm, "t0", word)
        asm.add("t0", "t0", more) if more else asm.addi("t0", "t0", 1)
        asm.sw("t0", 4 * WORDS.index(word), _BLOCK)


def _note_position(asm: Rv32Assembler) -> None:
    """How many positions the layer's cache holds."""
    asm.li("t0", PHASE_ATTENTION)
    asm.bne(_PHASE, "t0", "noted")
    asm.slli("t2", _LAYER, 2)
    _get(asm, "t1", "positions")
    asm.add("t1", "t1", "t2")
    asm.lw("t0", 0, "t1")
    asm.bgt("t0", _POSITION, "noted")
    asm.addi("t0", _POSITION, 1)
    asm.sw("t0", 0, "t1")
    asm.label("noted")


def _answer(asm: Rv32Assembler) -> None:
    """The PARTIAL in the answer's buffer, and encoded; a0 = its bytes on the line."""
    _call(asm, "bits_needed", "out", "dim")
    asm.sb("a0", PARTIAL_BITS, _ANSWER)
    asm.mv(_A, "a0")
    _call(asm, "pack", "answer", PARTIAL_DATA, "out", "dim", _A)
    asm.addi(_A, "a0", PARTIAL_DATA)  # of header and payload
    asm.addi("t0", _A, -HEADER_SIZE)
    asm.sb("t0", LENGTH, _ANSWER)
    asm.srli("t0", "t0", 8)
    asm.sb("t0", LENGTH + 1, _ANSWER)
    asm.li("t0", PARTIAL)
    asm.sb("t0", TYPE, _ANSWER)
    for place, in_answer in COPIED:
        asm.lbu("t0", place, _FRAME)
        asm.sb("t0", in_answer, _ANSWER)
    _get(asm, "t0", "boot_id")
    asm.sb("t0", BOOT_ID, _ANSWER)
    asm.srli("t0", "t0", 8)
    asm.sb("t0", BOOT_ID + 1, _ANSWER)
    asm.li("t0", SERVED_VERSION)
    asm.sb("t0", VERSION, _ANSWER)
    _call(asm, "put_crc32", "answer", _A, "table")
    asm.addi(_A, _A, TRAILER_SIZE[SERVED_VERSION])
    _call(asm, "encode", "answer", "encoded", _A, 0)
    _add(asm, "sent", "bytes_sent", _A)
