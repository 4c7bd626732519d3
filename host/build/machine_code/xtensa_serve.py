"""Xtensa: answers a frame without any bytecode between its bytes on the line and the answer's.

What firmware/compute/serve.py says of it; the frame's fields are those of protocol/frame.py and
protocol/messages.py.
"""

from __future__ import annotations

from host.build.machine_code.frames import BOOT_ID, COPIED, SERVED, WORDS
from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_core import calling_frame
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

# Registers that a call leaves: the block, frame, answer and position, and two for changing use.
# Others are a call's.
_BLOCK, _FRAME, _ANSWER, _POSITION, _A, _B = "a2", "a3", "a4", "a5", "a6", "a7"
_X, _Y, _Z = "a12", "a13", "a14"
# In the frame: a call's arguments, from 0 on; the decoder's state as it was; layer and phase.
_STATE_AT, _LAYER_AT, _PHASE_AT, _ROOM = 32, 48, 52, 56


def serve(asm: XtensaAssembler) -> None:
    """Words: block, bytes of data; bytes of the encoded answer, 0 where no frame has ended, -1
    for a frame that is not for this, the decoder's state as it was then."""
    with calling_frame(asm, {_A: 1, _BLOCK: 0}, _ROOM):
        _get(asm, _FRAME, "frame")
        _get(asm, _ANSWER, "answer")
        _get(asm, _X, "state")
        asm.movi(_Y, 0)
        asm.s32i(_Y, _X, 0)
        for at in range(0, 16, 4):
            asm.l32i(_Y, _X, at)
            asm.s32i(_Y, "a1", _STATE_AT + at)
        _call(asm, "decode", "data", "frame", "state", _A, "capacity")
        asm.mov(_A, "a10")
        asm.beqz(_A, "leave")
        asm.bltz(_A, "other")
        _check(asm)
        _verify(asm)
        _begin(asm)
        _mark(asm)
        asm.movi(_X, 0)
        asm.s8i(_X, _ANSWER, VERSION)
        _call(asm, "load_int16s", "frame", 0, COMPUTE_DATA, "x", "dim")
        _call(asm, "run_program", _A, _B, _POSITION, "out")
        _note_position(asm)
        _answer(asm)
        asm.mov(_A, "a10")
        asm.j("leave")
        asm.label("other")
        _get(asm, _X, "state")
        for at in range(0, 16, 4):
            asm.l32i(_Y, "a1", _STATE_AT + at)
            asm.s32i(_Y, _X, at)
        asm.movi(_A, -1)
        asm.label("leave")
        asm.mov("a2", _A)


def _get(asm: XtensaAssembler, register: str, word: str) -> None:
    asm.l32i(register, _BLOCK, 4 * WORDS.index(word))


def _call(asm: XtensaAssembler, kernel: str, *arguments: str | int) -> None:
    """Calls a kernel's core with words of the block, registers and numbers; its result is in
    a10."""
    for place, argument in enumerate(arguments):
        if isinstance(argument, int):
            asm.movi(_X, argument)
            argument = _X
        elif argument in WORDS:
            _get(asm, _X, argument)
            argument = _X
        asm.s32i(argument, "a1", 4 * place)
    _get(asm, "a8", kernel)
    asm.mov("a10", "a1")
    asm.callx8("a8")


def _unless(asm: XtensaAssembler, branch: str, *operands: str) -> None:
    """Goes to "other", which is too far for a branch, unless this one would be taken."""
    holds = asm.unique("holds")
    getattr(asm, branch)(*operands, holds)
    asm.j("other")
    asm.label(holds)


def _check(asm: XtensaAssembler) -> None:
    """Goes to "other" unless the frame, of as many bytes as _A says, is a COMPUTE of the chip's
    version for it, sound, of one position of the current sequence."""
    asm.l8ui(_X, _FRAME, VERSION)
    _get(asm, _Y, "version")
    _unless(asm, "beq", _X, _Y)
    for place, expected in SERVED:
        asm.l8ui(_X, _FRAME, place)
        asm.movi(_Y, expected)
        _unless(asm, "beq", _X, _Y)
    asm.l8ui(_X, _FRAME, DST)
    asm.movi(_Y, BROADCAST)
    asm.beq(_X, _Y, "for all")
    _get(asm, _Y, "chip")
    _unless(asm, "beq", _X, _Y)
    asm.label("for all")
    _call(asm, "check_frame", "frame", _A, "table")
    _get(asm, _X, "dim")
    asm.slli(_X, _X, 1)
    asm.addi(_X, _X, REQUEST_SIZE)
    _unless(asm, "beq", "a10", _X)
    asm.l8ui(_X, _FRAME, LAYER)
    asm.s32i(_X, "a1", _LAYER_AT)
    _get(asm, _Y, "layers")
    _unless(asm, "bltu", _X, _Y)
    _u16(asm, _X, SEQUENCE_ID)
    _get(asm, _Y, "sequence")
    _unless(asm, "beq", _X, _Y)
    _u16(asm, _POSITION, POSITION)
    _get(asm, _Y, "context")
    _unless(asm, "bltu", _POSITION, _Y)
    asm.l8ui(_X, _FRAME, PHASE)
    asm.s32i(_X, "a1", _PHASE_AT)
    # One that was answered is answered from the buffer.
    asm.l8ui(_X, _ANSWER, VERSION)
    asm.beqz(_X, "new")
    for place, in_answer in COPIED:
        asm.l8ui(_X, _FRAME, place)
        asm.l8ui(_Y, _ANSWER, in_answer)
        asm.sub(_X, _X, _Y)
        asm.bnez(_X, "new")
    asm.j("other")
    asm.label("new")


def _verify(asm: XtensaAssembler) -> None:
    """Goes to "other" unless a frame of version 3, of _A bytes, is the host's, authentic and newer
    than all before it, and the answer's counter is not beyond the last. Changes nothing yet."""
    _get(asm, _X, "version")
    asm.addi(_X, _X, -2)
    asm.beqz(_X, "verified")
    asm.l8ui(_X, _FRAME, SRC)
    asm.movi(_Y, HOST)
    _unless(asm, "beq", _X, _Y)
    _counters(asm)
    _unless(asm, "blt", "a9", _Z)
    asm.set(_X, LAST_COUNTER)
    _unless(asm, "bge", _X, _Z)
    asm.sub(_Y, _Z, "a9")
    asm.addi(_Y, _Y, -64)
    _unless(asm, "bltz", _Y)
    asm.l32i(_Y, "a8", 4)
    _unless(asm, "blt", _Y, _X)
    asm.addi(_B, _A, -MAC_SIZE)
    _call(asm, "authenticate", "states", "constants", 0, "frame", _B, 0)
    _unless(asm, "bnez", "a10")
    asm.label("verified")


def _counters(asm: XtensaAssembler) -> None:
    """_Z = the frame's counter; a9 = the host's highest, which lies at a8."""
    _get(asm, "a8", "dim")
    asm.slli("a8", "a8", 1)
    asm.add("a8", "a8", _FRAME)
    asm.l8ui(_Z, "a8", COMPUTE_DATA + 3)
    for place in (2, 1, 0):
        asm.l8ui(_X, "a8", COMPUTE_DATA + place)
        asm.slli(_Z, _Z, 8)
        asm.or_(_Z, _Z, _X)
    _get(asm, "a8", "counters")
    asm.l32i("a9", "a8", 0)


def _mark(asm: XtensaAssembler) -> None:
    """Has the counter of a verified frame of version 3 be the host's highest, as _is_new of
    protocol/auth.py does: 64 bits say which were seen."""
    _get(asm, _X, "version")
    asm.addi(_X, _X, -2)
    asm.beqz(_X, "marked")
    _counters(asm)
    asm.s32i(_Z, "a8", 0)
    _get(asm, "a8", "seen")
    asm.label("not seen")
    asm.addi("a9", "a9", 1)
    asm.extui(_X, "a9", 3, 3)
    asm.add(_X, _X, "a8")
    asm.extui(_Y, "a9", 0, 3)
    asm.ssl(_Y)
    asm.movi(_Y, 1)
    asm.sll(_Y, _Y)
    asm.l8ui("a10", _X, 0)
    asm.or_("a10", "a10", _Y)
    asm.beq("a9", _Z, "seen")
    asm.xor("a10", "a10", _Y)
    asm.s8i("a10", _X, 0)
    asm.j("not seen")
    asm.label("seen")
    asm.s8i("a10", _X, 0)
    asm.label("marked")


def _u16(asm: XtensaAssembler, register: str, place: int) -> None:
    asm.l8ui(register, _FRAME, place)
    asm.l8ui(_Y, _FRAME, place + 1)
    asm.slli(_Y, _Y, 8)
    asm.or_(register, register, _Y)


def _begin(asm: XtensaAssembler) -> None:
    """_A, _B = the phase's program and the layer's values for it; "other" where there are none or
    the cache does not reach so far. Counts the frame, of _A bytes."""
    asm.mov(_Z, _A)
    asm.l32i("a8", "a1", _LAYER_AT)
    asm.l32i(_X, "a1", _PHASE_AT)
    asm.movi(_Y, PHASE_ATTENTION)
    asm.bne(_X, _Y, "no attention")
    _get(asm, _Y, "positions")
    asm.addx4(_Y, "a8", _Y)
    asm.l32i(_Y, _Y, 0)
    _unless(asm, "bge", _Y, _POSITION)
    _get(asm, _A, "attention")
    _get(asm, _B, "attention_values")
    asm.j("program")
    asm.label("no attention")
    asm.movi(_Y, PHASE_FEED_FORWARD)
    _unless(asm, "beq", _X, _Y)
    _get(asm, _A, "feed_forward")
    _get(asm, _B, "feed_forward_values")
    asm.label("program")
    _unless(asm, "bnez", _A)
    asm.addx4(_B, "a8", _B)
    asm.l32i(_B, _B, 0)
    _add(asm, "received", "bytes_received", _Z)


def _add(asm: XtensaAssembler, frames: str, octets: str, count: str) -> None:
    """Counts a frame of so many bytes."""
    for word, more in ((frames, ""), (octets, count)):
        _get(asm, _X, word)
        asm.add(_X, _X, more) if more else asm.addi(_X, _X, 1)
        asm.s32i(_X, _BLOCK, 4 * WORDS.index(word))


def _note_position(asm: XtensaAssembler) -> None:
    """How many positions the layer's cache holds."""
    asm.l32i(_X, "a1", _PHASE_AT)
    asm.movi(_Y, PHASE_ATTENTION)
    asm.bne(_X, _Y, "noted")
    asm.l32i(_X, "a1", _LAYER_AT)
    _get(asm, _Y, "positions")
    asm.addx4(_Y, _X, _Y)
    asm.l32i(_X, _Y, 0)
    asm.addi(_POSITION, _POSITION, 1)
    asm.max(_X, _X, _POSITION)
    asm.s32i(_X, _Y, 0)
    asm.label("noted")


def _answer(asm: XtensaAssembler) -> None:
    """The PARTIAL in the answer's buffer, and encoded; a10 = its bytes on the line."""
    _call(asm, "bits_needed", "out", "dim")
    asm.s8i("a10", _ANSWER, PARTIAL_BITS)
    asm.mov(_A, "a10")
    _call(asm, "pack", "answer", PARTIAL_DATA, "out", "dim", _A)
    asm.addi(_A, "a10", PARTIAL_DATA)  # of header and payload
    asm.addi(_X, _A, -HEADER_SIZE)
    asm.s8i(_X, _ANSWER, LENGTH)
    asm.srli(_X, _X, 8)
    asm.s8i(_X, _ANSWER, LENGTH + 1)
    asm.movi(_X, PARTIAL)
    asm.s8i(_X, _ANSWER, TYPE)
    for place, in_answer in COPIED:
        asm.l8ui(_X, _FRAME, place)
        asm.s8i(_X, _ANSWER, in_answer)
    _get(asm, _X, "boot_id")
    asm.s8i(_X, _ANSWER, BOOT_ID)
    asm.srli(_X, _X, 8)
    asm.s8i(_X, _ANSWER, BOOT_ID + 1)
    _get(asm, _X, "version")
    asm.s8i(_X, _ANSWER, VERSION)
    asm.addi(_X, _X, -2)
    asm.bnez(_X, "sign")
    _call(asm, "put_crc32", "answer", _A, "table")
    asm.addi(_A, _A, TRAILER_SIZE[2])
    asm.j("ended")
    asm.label("sign")
    _sign(asm)
    asm.label("ended")
    _call(asm, "encode", "answer", "encoded", _A, 0)
    _add(asm, "sent", "bytes_sent", _A)


def _sign(asm: XtensaAssembler) -> None:
    """Ends the answer, of _A bytes, with the chip's next counter and the MAC."""
    _get(asm, "a8", "counters")
    asm.l32i(_X, "a8", 4)
    asm.addi(_X, _X, 1)
    asm.s32i(_X, "a8", 4)
    asm.add("a8", _ANSWER, _A)
    for place in range(4):
        asm.s8i(_X, "a8", place)
        asm.srli(_X, _X, 8)
    asm.addi(_A, _A, 4)
    _call(asm, "authenticate", "states", "constants", 0, "answer", _A, 1)
    asm.addi(_A, _A, MAC_SIZE)
