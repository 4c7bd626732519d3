"""RV32IM: answers a frame without any bytecode between its bytes on the line and the answer's.

What firmware/compute/serve.py says of it; the frame's fields are those of protocol/frame.py and
protocol/messages.py.
"""

from __future__ import annotations

from host.build.machine_code.frames import BOOT_ID, COPIED, SERVED, WORDS
from host.build.machine_code.rv32 import SAVED, Rv32Assembler
from host.build.machine_code.rv32_core import load_words, saved
from protocol.auth import LAST_COUNTER, MAC_SIZE
from protocol.frame import (
    BROADCAST,
    DST,
    HEADER_SIZE,
    HOST,
    LENGTH,
    SRC,
    TRAILER_SIZE,
    TYPE,
    VERSION,
)
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
        _verify(asm)
        _begin(asm)
        _mark(asm)
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
    """Goes to "other" unless the frame, of as many bytes as _A says, is a COMPUTE of the chip's
    version for it, sound, of one position of the current sequence. Its fields go into registers.
    """
    asm.lbu("t0", VERSION, _FRAME)
    _get(asm, "t1", "version")
    asm.bne("t0", "t1", "other")
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


def _verify(asm: Rv32Assembler) -> None:
    """Goes to "other" unless a frame of version 3, of _A bytes, is the host's, authentic and newer
    than all before it, and the answer's counter is not beyond the last. Changes nothing yet."""
    _get(asm, "t0", "version")
    asm.addi("t0", "t0", -2)
    asm.beqz("t0", "verified")
    asm.lbu("t0", SRC, _FRAME)
    asm.li("t1", HOST)
    asm.bne("t0", "t1", "other")
    _counters(asm)
    asm.ble("t3", "t2", "other")
    asm.li("t0", LAST_COUNTER)
    asm.bgt("t3", "t0", "other")
    asm.sub("t2", "t3", "t2")
    asm.addi("t2", "t2", -64)
    asm.bgez("t2", "other")
    asm.lw("t2", 4, "t1")
    asm.bge("t2", "t0", "other")
    asm.addi(_B, _A, -MAC_SIZE)
    _call(asm, "authenticate", "states", "constants", 0, "frame", _B, 0)
    asm.beqz("a0", "other")
    asm.label("verified")


def _counters(asm: Rv32Assembler) -> None:
    """t3 = the frame's counter; t2 = the host's highest, which lies at t1."""
    _get(asm, "t1", "dim")
    asm.slli("t1", "t1", 1)
    asm.add("t1", "t1", _FRAME)
    asm.lbu("t3", COMPUTE_DATA + 3, "t1")
    for place in (2, 1, 0):
        asm.lbu("t0", COMPUTE_DATA + place, "t1")
        asm.slli("t3", "t3", 8)
        asm.or_("t3", "t3", "t0")
    _get(asm, "t1", "counters")
    asm.lw("t2", 0, "t1")


def _mark(asm: Rv32Assembler) -> None:
    """Has the counter of a verified frame of version 3 be the host's highest, as _is_new of
    protocol/auth.py does: 64 bits say which were seen."""
    _get(asm, "t0", "version")
    asm.addi("t0", "t0", -2)
    asm.beqz("t0", "marked")
    _counters(asm)
    asm.sw("t3", 0, "t1")
    _get(asm, "t4", "seen")
    asm.label("not seen")
    asm.addi("t2", "t2", 1)
    asm.srli("t0", "t2", 3)
    asm.andi("t0", "t0", 7)
    asm.add("t0", "t0", "t4")
    asm.andi("t5", "t2", 7)
    asm.li("t6", 1)
    asm.sll("t6", "t6", "t5")
    asm.lbu("t5", 0, "t0")
    asm.or_("t5", "t5", "t6")
    asm.beq("t2", "t3", "seen")
    asm.xor("t5", "t5", "t6")
    asm.sb("t5", 0, "t0")
    asm.j("not seen")
    asm.label("seen")
    asm.sb("t5", 0, "t0")
    asm.label("marked")


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
    _get(asm, _B, "version")
    asm.sb(_B, VERSION, _ANSWER)
    asm.addi("t0", _B, -2)
    asm.bnez("t0", "sign")
    _call(asm, "put_crc32", "answer", _A, "table")
    asm.addi(_A, _A, TRAILER_SIZE[2])
    asm.j("ended")
    asm.label("sign")
    _sign(asm)
    asm.label("ended")
    _call(asm, "encode", "answer", "encoded", _A, 0)
    _add(asm, "sent", "bytes_sent", _A)


def _sign(asm: Rv32Assembler) -> None:
    """Ends the answer, of _A bytes, with the chip's next counter and the MAC."""
    _get(asm, "t1", "counters")
    asm.lw("t0", 4, "t1")
    asm.addi("t0", "t0", 1)
    asm.sw("t0", 4, "t1")
    asm.add("t1", _ANSWER, _A)
    for place in range(4):
        asm.sb("t0", place, "t1")
        asm.srli("t0", "t0", 8)
    asm.addi(_A, _A, 4)
    _call(asm, "authenticate", "states", "constants", 0, "answer", _A, 1)
    asm.addi(_A, _A, MAC_SIZE)
