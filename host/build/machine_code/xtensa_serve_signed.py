"""Xtensa: what `serve` does about frames of version 3: MACs and counters (protocol/auth.py)."""

from __future__ import annotations

from host.build.machine_code import xtensa_serve_registers as reg
from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_serve_registers import call, get, unless
from protocol.auth import LAST_COUNTER, MAC_SIZE
from protocol.frame import HOST, SRC
from protocol.messages import COMPUTE_DATA


def verify_frame(asm: XtensaAssembler) -> None:
    """Goes to "other" unless a frame of version 3, of A bytes, is the host's, authentic and newer
    than all before it, and the answer's counter is not beyond the last. Changes nothing yet."""
    get(asm, reg.X, "version")
    asm.addi(reg.X, reg.X, -2)
    asm.beqz(reg.X, "verified")
    asm.l8ui(reg.X, reg.FRAME, SRC)
    asm.movi(reg.Y, HOST)
    unless(asm, "beq", reg.X, reg.Y)
    _counters(asm)
    unless(asm, "blt", "a9", reg.Z)
    asm.set(reg.X, LAST_COUNTER)
    unless(asm, "bge", reg.X, reg.Z)
    asm.sub(reg.Y, reg.Z, "a9")
    asm.addi(reg.Y, reg.Y, -64)
    unless(asm, "bltz", reg.Y)
    asm.l32i(reg.Y, "a8", 4)
    unless(asm, "blt", reg.Y, reg.X)
    asm.addi(reg.B, reg.A, -MAC_SIZE)
    call(asm, "authenticate", "states", "constants", 0, "frame", reg.B, 0)
    unless(asm, "bnez", "a10")
    asm.label("verified")


def mark_counter(asm: XtensaAssembler) -> None:
    """Has the counter of a verified frame of version 3 be the host's highest, as _is_new of
    protocol/auth.py does: 64 bits say which were seen."""
    get(asm, reg.X, "version")
    asm.addi(reg.X, reg.X, -2)
    asm.beqz(reg.X, "marked")
    _counters(asm)
    asm.s32i(reg.Z, "a8", 0)
    get(asm, "a8", "seen")
    asm.label("not seen")
    asm.addi("a9", "a9", 1)
    asm.extui(reg.X, "a9", 3, 3)
    asm.add(reg.X, reg.X, "a8")
    asm.extui(reg.Y, "a9", 0, 3)
    asm.ssl(reg.Y)
    asm.movi(reg.Y, 1)
    asm.sll(reg.Y, reg.Y)
    asm.l8ui("a10", reg.X, 0)
    asm.or_("a10", "a10", reg.Y)
    asm.beq("a9", reg.Z, "seen")
    asm.xor("a10", "a10", reg.Y)
    asm.s8i("a10", reg.X, 0)
    asm.j("not seen")
    asm.label("seen")
    asm.s8i("a10", reg.X, 0)
    asm.label("marked")


def sign_answer(asm: XtensaAssembler) -> None:
    """Ends the answer, of A bytes, with the chip's next counter and the MAC."""
    get(asm, "a8", "counters")
    asm.l32i(reg.X, "a8", 4)
    asm.addi(reg.X, reg.X, 1)
    asm.s32i(reg.X, "a8", 4)
    asm.add("a8", reg.ANSWER, reg.A)
    for place in range(4):
        asm.s8i(reg.X, "a8", place)
        asm.srli(reg.X, reg.X, 8)
    asm.addi(reg.A, reg.A, 4)
    call(asm, "authenticate", "states", "constants", 0, "answer", reg.A, 1)
    asm.addi(reg.A, reg.A, MAC_SIZE)


def _counters(asm: XtensaAssembler) -> None:
    """_Z = the frame's counter; a9 = the host's highest, which lies at a8."""
    get(asm, "a8", "dim")
    asm.slli("a8", "a8", 1)
    asm.add("a8", "a8", reg.FRAME)
    asm.l8ui(reg.Z, "a8", COMPUTE_DATA + 3)
    for place in (2, 1, 0):
        asm.l8ui(reg.X, "a8", COMPUTE_DATA + place)
        asm.slli(reg.Z, reg.Z, 8)
        asm.or_(reg.Z, reg.Z, reg.X)
    get(asm, "a8", "counters")
    asm.l32i("a9", "a8", 0)
