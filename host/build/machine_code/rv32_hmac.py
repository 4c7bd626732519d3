"""RV32IM: HMAC-SHA256, the core of the twin in protocol/hmac_pointers.py.

A block takes some 4,500 instructions: 43 a round, 28 a word of the schedule, 15 a word of the
frame. Two rounds are written out, and then the working variables change registers; with eight,
none would have to, for 10 in 100 less and 850 bytes more of a RAM that has none to spare.
"""

from __future__ import annotations

from host.build.machine_code.rv32 import Rv32Assembler
from host.build.machine_code.rv32_core import load_words, saved

_ROUNDS, _WRITTEN_OUT = 64, 2
_SCHEDULE = 4 * _ROUNDS  # bytes at sp
_DIGEST = 4 * _ROUNDS  # where it begins in the table
_WORKING = tuple(f"s{i}" for i in range(8))  # a to h
_STATES, _TABLE, _FRAME, _N, _TASK = "a1", "a2", "a3", "a4", "a5"
# Where the words are that a block begins with; bytes left of the message, below 0 behind its end;
# its bits; its next byte.
_CHAIN, _LEFT, _BITS, _SOURCE = "a6", "a7", "t5", "t6"
_AT, _K, _END = "t3", "t4", "s8"  # in schedule and constants, and where these end
_OUTER_LEFT, _OUTER_BITS = 32, 768
_COMPRESS, _DIGEST_ALONE, _APPEND = 3, 2, 1


def authenticate(asm: Rv32Assembler) -> None:
    """Words: states, table, schedule, frame, n, task; 1, or 0 if bytes differ."""
    with saved(asm, (*_WORKING, _END), _SCHEDULE):
        load_words(asm, {_STATES: 0, _TABLE: 1, _FRAME: 3, _N: 4, _TASK: 5})
        asm.mv(_CHAIN, _STATES)
        asm.mv(_SOURCE, _FRAME)
        asm.mv(_LEFT, _N)
        asm.addi(_BITS, _N, 64)
        asm.slli(_BITS, _BITS, 3)
        asm.label("block")
        _fill(asm)
        _extend(asm)
        _rounds(asm)
        _add_chain(asm)
        asm.li("a0", 1)
        asm.addi("t0", _TASK, -_COMPRESS)
        asm.beqz("t0", "done")
        asm.addi(_CHAIN, _TABLE, _DIGEST)
        asm.addi("t0", _LEFT, 8)
        asm.bgez("t0", "block")
        _write_bytes(asm)
        asm.beqz(_STATES, "outer")
        asm.mv(_SOURCE, _CHAIN)
        asm.addi(_CHAIN, _STATES, 32)
        asm.li(_STATES, 0)
        asm.li(_LEFT, _OUTER_LEFT)
        asm.li(_BITS, _OUTER_BITS)
        asm.j("block")
        asm.label("outer")
        _finish(asm)
        asm.label("done")


def _fill(asm: Rv32Assembler) -> None:
    """The first 16 words of the schedule: bytes of the message, 0x80 behind its end, zeros, and
    in the last block, which has room for them, the message's bits."""
    asm.mv(_AT, "sp")
    asm.addi("t2", "sp", 64)
    asm.label("word")
    asm.li("t1", 4)
    asm.blt(_LEFT, "t1", "singly")
    asm.lbu("t0", 0, _SOURCE)
    for i in range(1, 4):
        asm.lbu("t1", i, _SOURCE)
        asm.slli("t0", "t0", 8)
        asm.or_("t0", "t0", "t1")
    asm.addi(_SOURCE, _SOURCE, 4)
    asm.addi(_LEFT, _LEFT, -4)
    asm.label("filled")
    asm.sw("t0", 0, _AT)
    asm.addi(_AT, _AT, 4)
    asm.bltu(_AT, "t2", "word")
    asm.addi("t0", _LEFT, 8)
    asm.bgez("t0", "extend")
    asm.sw(_BITS, 60, "sp")
    asm.j("extend")
    asm.label("singly")
    asm.li("t0", 0)
    asm.label("octet")
    asm.slli("t0", "t0", 8)
    asm.bltz(_LEFT, "next octet")
    asm.beqz(_LEFT, "end of message")
    asm.lbu("a0", 0, _SOURCE)
    asm.addi(_SOURCE, _SOURCE, 1)
    asm.or_("t0", "t0", "a0")
    asm.j("next octet")
    asm.label("end of message")
    asm.ori("t0", "t0", 0x80)
    asm.label("next octet")
    asm.addi(_LEFT, _LEFT, -1)
    asm.addi("t1", "t1", -1)
    asm.bnez("t1", "octet")
    asm.j("filled")
    asm.label("extend")


def _extend(asm: Rv32Assembler) -> None:
    """The other 48 words of the schedule, each of four before it."""
    asm.mv(_AT, "sp")
    asm.addi(_END, "sp", _SCHEDULE - 64)
    asm.label("extended")
    asm.lw("t0", 4, _AT)
    asm.lw("t2", 56, _AT)
    _mix(asm, "a0", "t0", (7, 18), "t1")
    asm.srli("t0", "t0", 3)
    asm.xor("a0", "a0", "t0")
    _mix(asm, "t0", "t2", (17, 19), "t1")
    asm.srli("t2", "t2", 10)
    asm.xor("t0", "t0", "t2")
    asm.lw("t1", 0, _AT)
    asm.lw("t2", 36, _AT)
    asm.add("a0", "a0", "t0")
    asm.add("t1", "t1", "t2")
    asm.add("a0", "a0", "t1")
    asm.sw("a0", 64, _AT)
    asm.addi(_AT, _AT, 4)
    asm.bltu(_AT, _END, "extended")


def _mix(
    asm: Rv32Assembler, out: str, word: str, rotations: tuple[int, ...], spare: str
) -> None:
    """out = exclusive or of the word rotated right by each of these; changes spare."""
    asm.srli(out, word, rotations[0])
    shifts = [(asm.slli, 32 - rotations[0])]
    for rotation in rotations[1:]:
        shifts += [(asm.srli, rotation), (asm.slli, 32 - rotation)]
    for shift, by in shifts:
        shift(spare, word, by)
        asm.xor(out, out, spare)


def _rounds(asm: Rv32Assembler) -> None:
    """The working variables, from what the block begins with to what it gives."""
    for i, register in enumerate(_WORKING):
        asm.lw(register, 4 * i, _CHAIN)
    asm.mv(_AT, "sp")
    asm.mv(_K, _TABLE)
    asm.addi(_END, _TABLE, _DIGEST)
    asm.xor("t2", _WORKING[1], _WORKING[2])
    asm.label("rounds")
    for i in range(_WRITTEN_OUT):
        a, b, _, d, e, f, g, h = (_WORKING[(k - i) % 8] for k in range(8))
        asm.lw("t0", 4 * i, _K)
        asm.lw("t1", 4 * i, _AT)
        asm.add(h, h, "t0")
        asm.add(h, h, "t1")
        _mix(asm, "t0", e, (6, 11, 25), "t1")
        asm.add(h, h, "t0")
        asm.xor("t0", f, g)
        asm.and_("t0", "t0", e)
        asm.xor("t0", "t0", g)
        asm.add(h, h, "t0")
        asm.add(d, d, h)
        _mix(asm, "t0", a, (2, 13, 22), "t1")
        asm.add(h, h, "t0")
        # The majority of a, b and c, for which a ^ b is the next round's b ^ c.
        ab, bc = ("t2", "a0") if i % 2 else ("a0", "t2")
        asm.xor(ab, a, b)
        asm.and_("t0", ab, bc)
        asm.xor("t0", "t0", b)
        asm.add(h, h, "t0")
    for first in (0, 1):  # each is to be two registers on
        cycle = _WORKING[first::2]
        asm.mv("t0", cycle[-1])
        for to, source in zip(cycle[:0:-1], cycle[-2::-1], strict=True):
            asm.mv(to, source)
        asm.mv(cycle[0], "t0")
    asm.addi(_K, _K, 4 * _WRITTEN_OUT)
    asm.addi(_AT, _AT, 4 * _WRITTEN_OUT)
    asm.bltu(_K, _END, "rounds")


def _add_chain(asm: Rv32Assembler) -> None:
    """The digest = what the block began with and what its rounds gave, added up."""
    for i, register in enumerate(_WORKING):
        asm.lw("t0", 4 * i, _CHAIN)
        asm.add("t0", "t0", register)
        asm.sw("t0", _DIGEST + 4 * i, _TABLE)


def _write_bytes(asm: Rv32Assembler) -> None:
    """Turns the digest's words, at _CHAIN, big-endian."""
    asm.mv("t2", _CHAIN)
    asm.addi("t3", _CHAIN, 32)
    asm.label("turn")
    asm.lw("t0", 0, "t2")
    for i in range(4):
        asm.srli("t1", "t0", 24 - 8 * i)
        asm.sb("t1", i, "t2")
    asm.addi("t2", "t2", 4)
    asm.bltu("t2", "t3", "turn")


def _finish(asm: Rv32Assembler) -> None:
    """Does with the digest, at _CHAIN, what is asked; a0 = 1, or 0 if bytes differ."""
    asm.addi("t0", _TASK, -_DIGEST_ALONE)
    asm.beqz("t0", "done")
    asm.add("t2", _FRAME, _N)
    asm.addi("t3", "t2", 8)
    asm.addi("t4", _TASK, -_APPEND)
    asm.li("a0", 0)
    asm.label("compared")
    asm.lbu("t0", 0, _CHAIN)
    asm.bnez("t4", "kept")
    asm.sb("t0", 0, "t2")
    asm.label("kept")
    asm.lbu("t1", 0, "t2")
    asm.xor("t0", "t0", "t1")
    asm.or_("a0", "a0", "t0")
    asm.addi(_CHAIN, _CHAIN, 1)
    asm.addi("t2", "t2", 1)
    asm.bltu("t2", "t3", "compared")
    asm.sltiu("a0", "a0", 1)
