"""RV32IM: answers a frame without any bytecode between its bytes on the line and the answer's.

What firmware/compute/serve.py says of it; the frame's fields are those of protocol/frame.py and
protocol/messages.py.
"""

from __future__ import annotations

from host.build.machine_code import rv32_serve_registers as reg
from host.build.machine_code.frames import BOOT_ID, COPIED, SERVED, WORDS
from host.build.machine_code.rv32 import SAVED, Rv32Assembler
from host.build.machine_code.rv32_core import load_words, saved
from host.build.machine_code.rv32_serve_registers import call, get
from host.build.machine_code.rv32_serve_signed import mark_counter, sign_answer, verify_frame
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


def serve(asm: Rv32Assembler) -> None:
    """Words: block, bytes of data; bytes of the encoded answer, 0 if no frame has ended, -1
    for a frame that is not for this, the decoder's state as it was then."""
    with saved(asm, (*SAVED, "ra"), reg.ROOM):
        load_words(asm, {reg.BLOCK: 0, reg.A: 1})
        get(asm, reg.FRAME, "frame")
        get(asm, reg.ANSWER, "answer")
        get(asm, "t0", "state")
        asm.sw("zero", 0, "t0")
        for place, register in enumerate(reg.STATE):
            asm.lw(register, 4 * place, "t0")
        call(asm, "decode", "data", "frame", "state", reg.A, "capacity")
        asm.beqz("a0", "leave")
        asm.bltz("a0", "other")
        asm.mv(reg.A, "a0")
        _check(asm)
        verify_frame(asm)
        _begin(asm)
        mark_counter(asm)
        asm.sb("zero", VERSION, reg.ANSWER)
        call(asm, "load_int16s", "frame", 0, COMPUTE_DATA, "x", "dim")
        call(asm, "run_program", reg.A, reg.B, reg.POSITION, "out")
        _note_position(asm)
        _answer(asm)
        asm.j("leave")
        asm.label("other")
        get(asm, "t0", "state")
        for place, register in enumerate(reg.STATE):
            asm.sw(register, 4 * place, "t0")
        asm.li("a0", -1)
        asm.label("leave")


def _check(asm: Rv32Assembler) -> None:
    """Goes to "other" unless the frame, of as many bytes as A says, is a COMPUTE of the chip's
    version for it, sound, of one position of the current sequence. Its fields go into registers.
    """
    asm.lbu("t0", VERSION, reg.FRAME)
    get(asm, "t1", "version")
    asm.bne("t0", "t1", "other")
    for place, expected in SERVED:
        asm.lbu("t0", place, reg.FRAME)
        asm.li("t1", expected)
        asm.bne("t0", "t1", "other")
    asm.lbu("t0", DST, reg.FRAME)
    asm.li("t1", BROADCAST)
    asm.beq("t0", "t1", "for all")
    get(asm, "t1", "chip")
    asm.bne("t0", "t1", "other")
    asm.label("for all")
    call(asm, "check_frame", "frame", reg.A, "table")
    get(asm, "t0", "dim")
    asm.slli("t0", "t0", 1)
    asm.addi("t0", "t0", REQUEST_SIZE)
    asm.bne("a0", "t0", "other")
    asm.lbu(reg.LAYER, LAYER, reg.FRAME)
    get(asm, "t1", "layers")
    asm.bgeu(reg.LAYER, "t1", "other")
    _u16(asm, "t0", SEQUENCE_ID)
    get(asm, "t1", "sequence")
    asm.bne("t0", "t1", "other")
    _u16(asm, reg.POSITION, POSITION)
    get(asm, "t1", "context")
    asm.bgeu(reg.POSITION, "t1", "other")
    asm.lbu(reg.PHASE, PHASE, reg.FRAME)
    # One that was answered is answered from the buffer.
    asm.lbu("t0", VERSION, reg.ANSWER)
    asm.beqz("t0", "new")
    for place, in_answer in COPIED:
        asm.lbu("t0", place, reg.FRAME)
        asm.lbu("t1", in_answer, reg.ANSWER)
        asm.bne("t0", "t1", "new")
    asm.j("other")
    asm.label("new")


def _u16(asm: Rv32Assembler, register: str, place: int) -> None:
    asm.lbu(register, place, reg.FRAME)
    asm.lbu("t1", place + 1, reg.FRAME)
    asm.slli("t1", "t1", 8)
    asm.or_(register, register, "t1")


def _begin(asm: Rv32Assembler) -> None:
    """A, B = the phase's program and the layer's values for it; "other" where there are none or
    the cache does not reach so far. Counts the frame, of A bytes."""
    asm.mv("t4", reg.A)
    asm.slli("t2", reg.LAYER, 2)
    asm.li("t0", PHASE_ATTENTION)
    asm.bne(reg.PHASE, "t0", "no attention")
    get(asm, "t1", "positions")
    asm.add("t1", "t1", "t2")
    asm.lw("t1", 0, "t1")
    asm.bgt(reg.POSITION, "t1", "other")
    get(asm, reg.A, "attention")
    get(asm, reg.B, "attention_values")
    asm.j("program")
    asm.label("no attention")
    asm.li("t0", PHASE_FEED_FORWARD)
    asm.bne(reg.PHASE, "t0", "no layer")
    get(asm, reg.A, "feed_forward")
    get(asm, reg.B, "feed_forward_values")
    asm.label("program")
    asm.beqz(reg.A, "other")
    asm.add(reg.B, reg.B, "t2")
    asm.lw(reg.B, 0, reg.B)
    asm.j("found")
    asm.label("no layer")
    asm.li("t0", PHASE_VOCABULARY)
    asm.bne(reg.PHASE, "t0", "other")
    get(asm, reg.A, "vocabulary")
    asm.beqz(reg.A, "other")
    get(asm, reg.B, "vocabulary_values")
    asm.label("found")
    _add(asm, "received", "bytes_received", "t4")


def _add(asm: Rv32Assembler, frames: str, octets: str, count: str) -> None:
    """Counts a frame of so many bytes."""
    for word, more in ((frames, ""), (octets, count)):
        get(asm, "t0", word)
        asm.add("t0", "t0", more) if more else asm.addi("t0", "t0", 1)
        asm.sw("t0", 4 * WORDS.index(word), reg.BLOCK)


def _note_position(asm: Rv32Assembler) -> None:
    """How many positions the layer's cache holds."""
    asm.li("t0", PHASE_ATTENTION)
    asm.bne(reg.PHASE, "t0", "noted")
    asm.slli("t2", reg.LAYER, 2)
    get(asm, "t1", "positions")
    asm.add("t1", "t1", "t2")
    asm.lw("t0", 0, "t1")
    asm.bgt("t0", reg.POSITION, "noted")
    asm.addi("t0", reg.POSITION, 1)
    asm.sw("t0", 0, "t1")
    asm.label("noted")


def _answer(asm: Rv32Assembler) -> None:
    """The PARTIAL, or the LOGITS whose numbers the program has written, in the answer's buffer,
    and encoded; a0 = its bytes on the line."""
    asm.li("t0", PHASE_VOCABULARY)
    asm.beq(reg.PHASE, "t0", "logits")
    call(asm, "bits_needed", "out", "dim")
    asm.sb("a0", PARTIAL_BITS, reg.ANSWER)
    asm.mv(reg.A, "a0")
    call(asm, "pack", "answer", PARTIAL_DATA, "out", "dim", reg.A)
    asm.addi(reg.A, "a0", PARTIAL_DATA)  # of header and payload
    asm.li("t1", PARTIAL)
    asm.j("written")
    asm.label("logits")
    get(asm, "t0", "first_row")
    asm.sb("t0", LOGITS_FIRST_ROW, reg.ANSWER)
    asm.srli("t0", "t0", 8)
    asm.sb("t0", LOGITS_FIRST_ROW + 1, reg.ANSWER)
    get(asm, "t0", "exponent")
    asm.sb("t0", LOGITS_SHIFT, reg.ANSWER)
    get(asm, reg.A, "logits_end")
    asm.li("t1", LOGITS)
    asm.label("written")
    asm.sb("t1", TYPE, reg.ANSWER)
    asm.addi("t0", reg.A, -HEADER_SIZE)
    asm.sb("t0", LENGTH, reg.ANSWER)
    asm.srli("t0", "t0", 8)
    asm.sb("t0", LENGTH + 1, reg.ANSWER)
    for place, in_answer in COPIED:
        asm.lbu("t0", place, reg.FRAME)
        asm.sb("t0", in_answer, reg.ANSWER)
    get(asm, "t0", "boot_id")
    asm.sb("t0", BOOT_ID, reg.ANSWER)
    asm.srli("t0", "t0", 8)
    asm.sb("t0", BOOT_ID + 1, reg.ANSWER)
    get(asm, reg.B, "version")
    asm.sb(reg.B, VERSION, reg.ANSWER)
    asm.addi("t0", reg.B, -2)
    asm.bnez("t0", "sign")
    call(asm, "put_crc32", "answer", reg.A, "table")
    asm.addi(reg.A, reg.A, TRAILER_SIZE[2])
    asm.j("ended")
    asm.label("sign")
    sign_answer(asm)
    asm.label("ended")
    call(asm, "encode", "answer", "encoded", reg.A, 0)
    _add(asm, "sent", "bytes_sent", reg.A)
