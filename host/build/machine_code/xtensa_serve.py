"""Xtensa: answers a frame without any bytecode between its bytes on the line and the answer's.

What firmware/compute/serve.py says of it; the frame's fields are those of protocol/frame.py and
protocol/messages.py.
"""

from __future__ import annotations

from host.build.machine_code import xtensa_serve_registers as reg
from host.build.machine_code.frames import BOOT_ID, COPIED, SERVED, WORDS
from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_core import calling_frame
from host.build.machine_code.xtensa_serve_registers import call, get, unless
from host.build.machine_code.xtensa_serve_signed import mark_counter, sign_answer, verify_frame
from protocol.frame import BROADCAST, DST, HEADER_SIZE, LENGTH, TRAILER_SIZE, TYPE, VERSION
from protocol.message_types import LOGITS, PARTIAL
from protocol.messages import (
    COMPUTE_DATA,
    LAYER,
    LOGITS_FIRST_ROW,
    LOGITS_SHIFT,
    PARTIAL_BITS,
    PARTIAL_DATA,
    PHASE,
    PHASE_ATTENTION,
    PHASE_FEED_FORWARD,
    PHASE_VOCABULARY,
    POSITION,
    REQUEST_SIZE,
    SEQUENCE_ID,
)


def serve(asm: XtensaAssembler) -> None:
    """Words: block, bytes of data; bytes of the encoded answer, 0 if no frame has ended, -1
    for a frame that is not for this, the decoder's state as it was then."""
    with calling_frame(asm, {reg.A: 1, reg.BLOCK: 0}, reg.ROOM):
        get(asm, reg.FRAME, "frame")
        get(asm, reg.ANSWER, "answer")
        get(asm, reg.X, "state")
        asm.movi(reg.Y, 0)
        asm.s32i(reg.Y, reg.X, 0)
        for at in range(0, 16, 4):
            asm.l32i(reg.Y, reg.X, at)
            asm.s32i(reg.Y, "a1", reg.STATE_AT + at)
        call(asm, "decode", "data", "frame", "state", reg.A, "capacity")
        asm.mov(reg.A, "a10")
        asm.beqz(reg.A, "leave")
        asm.bltz(reg.A, "other")
        _check(asm)
        verify_frame(asm)
        _begin(asm)
        mark_counter(asm)
        asm.movi(reg.X, 0)
        asm.s8i(reg.X, reg.ANSWER, VERSION)
        call(asm, "load_int16s", "frame", 0, COMPUTE_DATA, "x", "dim")
        call(asm, "run_program", reg.A, reg.B, reg.POSITION, "out")
        _note_position(asm)
        _answer(asm)
        asm.mov(reg.A, "a10")
        asm.j("leave")
        asm.label("other")
        get(asm, reg.X, "state")
        for at in range(0, 16, 4):
            asm.l32i(reg.Y, "a1", reg.STATE_AT + at)
            asm.s32i(reg.Y, reg.X, at)
        asm.movi(reg.A, -1)
        asm.label("leave")
        asm.mov("a2", reg.A)


def _check(asm: XtensaAssembler) -> None:
    """Goes to "other" unless the frame, of as many bytes as A says, is a COMPUTE of the chip's
    version for it, sound, of one position of the current sequence."""
    asm.l8ui(reg.X, reg.FRAME, VERSION)
    get(asm, reg.Y, "version")
    unless(asm, "beq", reg.X, reg.Y)
    for place, expected in SERVED:
        asm.l8ui(reg.X, reg.FRAME, place)
        asm.movi(reg.Y, expected)
        unless(asm, "beq", reg.X, reg.Y)
    asm.l8ui(reg.X, reg.FRAME, DST)
    asm.movi(reg.Y, BROADCAST)
    asm.beq(reg.X, reg.Y, "for all")
    get(asm, reg.Y, "chip")
    unless(asm, "beq", reg.X, reg.Y)
    asm.label("for all")
    call(asm, "check_frame", "frame", reg.A, "table")
    get(asm, reg.X, "dim")
    asm.slli(reg.X, reg.X, 1)
    asm.addi(reg.X, reg.X, REQUEST_SIZE)
    unless(asm, "beq", "a10", reg.X)
    asm.l8ui(reg.X, reg.FRAME, LAYER)
    asm.s32i(reg.X, "a1", reg.LAYER_AT)
    get(asm, reg.Y, "layers")
    unless(asm, "bltu", reg.X, reg.Y)
    _u16(asm, reg.X, SEQUENCE_ID)
    get(asm, reg.Y, "sequence")
    unless(asm, "beq", reg.X, reg.Y)
    _u16(asm, reg.POSITION, POSITION)
    get(asm, reg.Y, "context")
    unless(asm, "bltu", reg.POSITION, reg.Y)
    asm.l8ui(reg.X, reg.FRAME, PHASE)
    asm.s32i(reg.X, "a1", reg.PHASE_AT)
    # One that was answered is answered from the buffer.
    asm.l8ui(reg.X, reg.ANSWER, VERSION)
    asm.beqz(reg.X, "new")
    for place, in_answer in COPIED:
        asm.l8ui(reg.X, reg.FRAME, place)
        asm.l8ui(reg.Y, reg.ANSWER, in_answer)
        asm.sub(reg.X, reg.X, reg.Y)
        asm.bnez(reg.X, "new")
    asm.j("other")
    asm.label("new")


def _u16(asm: XtensaAssembler, register: str, place: int) -> None:
    asm.l8ui(register, reg.FRAME, place)
    asm.l8ui(reg.Y, reg.FRAME, place + 1)
    asm.slli(reg.Y, reg.Y, 8)
    asm.or_(register, register, reg.Y)


def _begin(asm: XtensaAssembler) -> None:
    """A, B = the phase's program and the layer's values for it; "other" where there are none or
    the cache does not reach so far. Counts the frame, of A bytes."""
    asm.mov(reg.Z, reg.A)
    asm.l32i("a8", "a1", reg.LAYER_AT)
    asm.l32i(reg.X, "a1", reg.PHASE_AT)
    asm.movi(reg.Y, PHASE_ATTENTION)
    asm.bne(reg.X, reg.Y, "no attention")
    get(asm, reg.Y, "positions")
    asm.addx4(reg.Y, "a8", reg.Y)
    asm.l32i(reg.Y, reg.Y, 0)
    unless(asm, "bge", reg.Y, reg.POSITION)
    get(asm, reg.A, "attention")
    get(asm, reg.B, "attention_values")
    asm.j("program")
    asm.label("no attention")
    asm.movi(reg.Y, PHASE_FEED_FORWARD)
    asm.bne(reg.X, reg.Y, "no layer")
    get(asm, reg.A, "feed_forward")
    get(asm, reg.B, "feed_forward_values")
    asm.label("program")
    unless(asm, "bnez", reg.A)
    asm.addx4(reg.B, "a8", reg.B)
    asm.l32i(reg.B, reg.B, 0)
    asm.j("found")
    asm.label("no layer")
    asm.movi(reg.Y, PHASE_VOCABULARY)
    unless(asm, "beq", reg.X, reg.Y)
    get(asm, reg.A, "vocabulary")
    unless(asm, "bnez", reg.A)
    get(asm, reg.B, "vocabulary_values")
    asm.label("found")
    _add(asm, "received", "bytes_received", reg.Z)


def _add(asm: XtensaAssembler, frames: str, octets: str, count: str) -> None:
    """Counts a frame of so many bytes."""
    for word, more in ((frames, ""), (octets, count)):
        get(asm, reg.X, word)
        asm.add(reg.X, reg.X, more) if more else asm.addi(reg.X, reg.X, 1)
        asm.s32i(reg.X, reg.BLOCK, 4 * WORDS.index(word))


def _note_position(asm: XtensaAssembler) -> None:
    """How many positions the layer's cache holds."""
    asm.l32i(reg.X, "a1", reg.PHASE_AT)
    asm.movi(reg.Y, PHASE_ATTENTION)
    asm.bne(reg.X, reg.Y, "noted")
    asm.l32i(reg.X, "a1", reg.LAYER_AT)
    get(asm, reg.Y, "positions")
    asm.addx4(reg.Y, reg.X, reg.Y)
    asm.l32i(reg.X, reg.Y, 0)
    asm.addi(reg.POSITION, reg.POSITION, 1)
    asm.max(reg.X, reg.X, reg.POSITION)
    asm.s32i(reg.X, reg.Y, 0)
    asm.label("noted")


def _answer(asm: XtensaAssembler) -> None:
    """The PARTIAL, or the LOGITS whose numbers the program has written, in the answer's buffer,
    and encoded; a10 = its bytes on the line."""
    asm.l32i(reg.X, "a1", reg.PHASE_AT)
    asm.movi(reg.Y, PHASE_VOCABULARY)
    asm.beq(reg.X, reg.Y, "logits")
    call(asm, "bits_needed", "out", "dim")
    asm.s8i("a10", reg.ANSWER, PARTIAL_BITS)
    asm.mov(reg.A, "a10")
    call(asm, "pack", "answer", PARTIAL_DATA, "out", "dim", reg.A)
    asm.addi(reg.A, "a10", PARTIAL_DATA)  # of header and payload
    asm.movi(reg.Y, PARTIAL)
    asm.j("written")
    asm.label("logits")
    get(asm, reg.X, "first_row")
    asm.s8i(reg.X, reg.ANSWER, LOGITS_FIRST_ROW)
    asm.srli(reg.X, reg.X, 8)
    asm.s8i(reg.X, reg.ANSWER, LOGITS_FIRST_ROW + 1)
    get(asm, reg.X, "exponent")
    asm.s8i(reg.X, reg.ANSWER, LOGITS_SHIFT)
    get(asm, reg.A, "logits_end")
    asm.movi(reg.Y, LOGITS)
    asm.label("written")
    asm.s8i(reg.Y, reg.ANSWER, TYPE)
    asm.addi(reg.X, reg.A, -HEADER_SIZE)
    asm.s8i(reg.X, reg.ANSWER, LENGTH)
    asm.srli(reg.X, reg.X, 8)
    asm.s8i(reg.X, reg.ANSWER, LENGTH + 1)
    for place, in_answer in COPIED:
        asm.l8ui(reg.X, reg.FRAME, place)
        asm.s8i(reg.X, reg.ANSWER, in_answer)
    get(asm, reg.X, "boot_id")
    asm.s8i(reg.X, reg.ANSWER, BOOT_ID)
    asm.srli(reg.X, reg.X, 8)
    asm.s8i(reg.X, reg.ANSWER, BOOT_ID + 1)
    get(asm, reg.X, "version")
    asm.s8i(reg.X, reg.ANSWER, VERSION)
    asm.addi(reg.X, reg.X, -2)
    asm.bnez(reg.X, "sign")
    call(asm, "put_crc32", "answer", reg.A, "table")
    asm.addi(reg.A, reg.A, TRAILER_SIZE[2])
    asm.j("ended")
    asm.label("sign")
    sign_answer(asm)
    asm.label("ended")
    call(asm, "encode", "answer", "encoded", reg.A, 0)
    _add(asm, "sent", "bytes_sent", reg.A)
