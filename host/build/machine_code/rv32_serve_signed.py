"""RV32IM: what `serve` does about frames of version 3: MACs and counters (protocol/auth.py)."""

from __future__ import annotations

from host.build.machine_code import rv32_serve_registers as reg
from host.build.machine_code.rv32 import Rv32Assembler
from host.build.machine_code.rv32_serve_registers import call, get
from protocol.auth import LAST_COUNTER, MAC_SIZE
from protocol.frame import HOST, SRC
from protocol.messages import COMPUTE_DATA


def verify_frame(asm: Rv32Assembler) -> None:
    """Goes to "other" unless a frame of version 3, of A bytes, is the host's, authentic and newer
    than all before it, and the answer's counter is not beyond the last. Changes nothing yet."""
    get(asm, "t0", "version")
    asm.addi("t0", "t0", -2)
    asm.beqz("t0", "verified")
    asm.lbu("t0", SRC, reg.FRAME)
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
    asm.addi(reg.B, reg.A, -MAC_SIZE)
    call(asm, "authenticate", "states", "constants", 0, "frame", reg.B, 0)
    asm.beqz("a0", "other")
    asm.label("verified")


def mark_counter(asm: Rv32Assembler) -> None:
    """Has the counter of a verified frame of version 3 be the host's highest, as _is_new of
    protocol/auth.py does: 64 bits say which were seen."""
    get(asm, "t0", "version")
    asm.addi("t0", "t0", -2)
    asm.beqz("t0", "marked")
    _counters(asm)
    asm.sw("t3", 0, "t1")
    get(asm, "t4", "seen")
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


def sign_answer(asm: Rv32Assembler) -> None:
    """Ends the answer, of A bytes, with the chip's next counter and the MAC."""
    get(asm, "t1", "counters")
    asm.lw("t0", 4, "t1")
    asm.addi("t0", "t0", 1)
    asm.sw("t0", 4, "t1")
    asm.add("t1", reg.ANSWER, reg.A)
    for place in range(4):
        asm.sb("t0", place, "t1")
        asm.srli("t0", "t0", 8)
    asm.addi(reg.A, reg.A, 4)
    call(asm, "authenticate", "states", "constants", 0, "answer", reg.A, 1)
    asm.addi(reg.A, reg.A, MAC_SIZE)


def _counters(asm: Rv32Assembler) -> None:
    """t3 = the frame's counter; t2 = the host's highest, which lies at t1."""
    get(asm, "t1", "dim")
    asm.slli("t1", "t1", 1)
    asm.add("t1", "t1", reg.FRAME)
    asm.lbu("t3", COMPUTE_DATA + 3, "t1")
    for place in (2, 1, 0):
        asm.lbu("t0", COMPUTE_DATA + place, "t1")
        asm.slli("t3", "t3", 8)
        asm.or_("t3", "t3", "t0")
    get(asm, "t1", "counters")
    asm.lw("t2", 0, "t1")
