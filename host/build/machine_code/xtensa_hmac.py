"""Xtensa: HMAC-SHA256, the core of the twin in protocol/hmac_pointers.py.

As rv32_hmac.py has it, but a rotation is one instruction and its distance another (SSAI, SRC): 31
instructions a round, 23 a word of the schedule. All 14 registers are a round's; what lasts longer
lies on the stack.
"""

from __future__ import annotations

from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_core import frame, loop

_WRITTEN_OUT = 8  # rounds
_DIGEST = 256  # where it begins in the table
_WORKING = tuple(f"a{i}" for i in range(8, 16))  # a to h
# In the frame, above the schedule [64]: what was given, the digest's place, and for a block where
# the words are that it begins with, bytes left of the message, its bits, its next byte.
_STATES, _TABLE, _FRAME, _N, _TASK, _END, _CHAIN, _LEFT, _BITS, _SOURCE = range(256, 296, 4)
_ROOM = 296
_OUTER_LEFT, _OUTER_BITS = 32, 768
_COMPRESS, _DIGEST_ALONE, _APPEND = 3, 2, 1


def authenticate(asm: XtensaAssembler) -> None:
    """Words: states, table, schedule, frame, n, task; 1, or 0 if bytes differ."""
    with frame(asm, {"a3": 0, "a4": 1, "a5": 3, "a6": 4, "a7": 5}, _ROOM):
        asm.addmi("a8", "a4", _DIGEST)
        asm.addi("a9", "a6", 64)
        asm.slli("a9", "a9", 3)
        for register, places in {
            "a3": (_STATES, _CHAIN), "a4": (_TABLE,), "a5": (_FRAME, _SOURCE),
            "a6": (_N, _LEFT), "a7": (_TASK,), "a8": (_END,), "a9": (_BITS,),
        }.items():  # fmt: skip
            for place in places:
                asm.s32i(register, "a1", place)
        asm.label("block")
        _fill(asm)
        _extend(asm)
        _rounds(asm)
        _add_chain(asm)
        asm.movi("a2", 1)
        asm.l32i("a3", "a1", _TASK)
        asm.addi("a3", "a3", -_COMPRESS)
        asm.beqz("a3", "done")
        asm.s32i("a4", "a1", _CHAIN)
        asm.l32i("a9", "a1", _LEFT)
        asm.addi("a9", "a9", 8)
        asm.bgez("a9", "block")
        _write_bytes(asm)
        asm.l32i("a3", "a1", _STATES)
        asm.beqz("a3", "outer")
        asm.s32i("a4", "a1", _SOURCE)
        asm.addi("a3", "a3", 32)
        asm.s32i("a3", "a1", _CHAIN)
        for place, value in ((_STATES, 0), (_LEFT, _OUTER_LEFT), (_BITS, _OUTER_BITS)):
            asm.movi("a3", value)
            asm.s32i("a3", "a1", place)
        asm.j("block")
        asm.label("outer")
        _finish(asm)
        asm.label("done")


def _fill(asm: XtensaAssembler) -> None:
    """The first 16 words of the schedule, as in rv32_hmac.py."""
    asm.l32i("a8", "a1", _SOURCE)
    asm.l32i("a9", "a1", _LEFT)
    asm.mov("a10", "a1")
    asm.movi("a11", 16)
    asm.label("word")
    asm.movi("a4", 4)
    asm.blt("a9", "a4", "singly")
    asm.l8ui("a3", "a8", 0)
    for i in range(1, 4):
        asm.l8ui("a4", "a8", i)
        asm.slli("a3", "a3", 8)
        asm.or_("a3", "a3", "a4")
    asm.addi("a8", "a8", 4)
    asm.addi("a9", "a9", -4)
    asm.label("filled")
    asm.s32i("a3", "a10", 0)
    asm.addi("a10", "a10", 4)
    asm.addi("a11", "a11", -1)
    asm.bnez("a11", "word")
    asm.s32i("a8", "a1", _SOURCE)
    asm.s32i("a9", "a1", _LEFT)
    asm.addi("a9", "a9", 8)
    asm.bgez("a9", "extend")
    asm.l32i("a3", "a1", _BITS)
    asm.s32i("a3", "a1", 60)
    asm.j("extend")
    asm.label("singly")
    asm.movi("a3", 0)
    asm.label("octet")
    asm.slli("a3", "a3", 8)
    asm.bltz("a9", "next octet")
    asm.movi("a5", 0x80)
    asm.beqz("a9", "taken")
    asm.l8ui("a5", "a8", 0)
    asm.addi("a8", "a8", 1)
    asm.label("taken")
    asm.or_("a3", "a3", "a5")
    asm.label("next octet")
    asm.addi("a9", "a9", -1)
    asm.addi("a4", "a4", -1)
    asm.bnez("a4", "octet")
    asm.j("filled")
    asm.label("extend")


def _rotated(asm: XtensaAssembler, out: str, word: str, by: tuple[int, ...], spare: str) -> None:
    """out = exclusive or of the word rotated right by each of these; changes spare and SAR."""
    for i, distance in enumerate(by):
        asm.ssai(distance)
        asm.src(spare if i else out, word, word)
        if i:
            asm.xor(out, out, spare)


def _extend(asm: XtensaAssembler) -> None:
    """The other 48 words of the schedule, each of four before it."""
    asm.mov("a10", "a1")
    asm.movi("a11", 48)
    with loop(asm, "a11", 2):
        asm.l32i("a3", "a10", 4)
        asm.l32i("a4", "a10", 56)
        _rotated(asm, "a5", "a3", (7, 18), "a6")
        asm.srli("a3", "a3", 3)
        asm.xor("a5", "a5", "a3")
        _rotated(asm, "a6", "a4", (17, 19), "a7")
        asm.srli("a4", "a4", 10)
        asm.xor("a6", "a6", "a4")
        asm.l32i("a3", "a10", 0)
        asm.l32i("a4", "a10", 36)
        asm.add("a5", "a5", "a6")
        asm.add("a3", "a3", "a4")
        asm.add("a5", "a5", "a3")
        asm.s32i("a5", "a10", 64)
        asm.addi("a10", "a10", 4)


def _rounds(asm: XtensaAssembler) -> None:
    """The working variables, from what the block begins with to what it gives."""
    asm.l32i("a3", "a1", _CHAIN)
    for i, register in enumerate(_WORKING):
        asm.l32i(register, "a3", 4 * i)
    asm.mov("a2", "a1")
    asm.l32i("a7", "a1", _TABLE)
    asm.xor("a5", _WORKING[1], _WORKING[2])
    asm.label("rounds")
    for i in range(_WRITTEN_OUT):
        a, b, _, d, e, f, g, h = (_WORKING[(k - i) % 8] for k in range(8))
        asm.l32i("a3", "a7", 4 * i)
        asm.l32i("a4", "a2", 4 * i)
        asm.add(h, h, "a3")
        asm.add(h, h, "a4")
        _rotated(asm, "a3", e, (6, 11, 25), "a4")
        asm.add(h, h, "a3")
        asm.xor("a3", f, g)
        asm.and_("a3", "a3", e)
        asm.xor("a3", "a3", g)
        asm.add(h, h, "a3")
        asm.add(d, d, h)
        _rotated(asm, "a3", a, (2, 13, 22), "a4")
        asm.add(h, h, "a3")
        # The majority of a, b and c, for which a ^ b is the next round's b ^ c.
        ab, bc = ("a5", "a6") if i % 2 else ("a6", "a5")
        asm.xor(ab, a, b)
        asm.and_("a3", ab, bc)
        asm.xor("a3", "a3", b)
        asm.add(h, h, "a3")
    asm.addi("a7", "a7", 4 * _WRITTEN_OUT)
    asm.addi("a2", "a2", 4 * _WRITTEN_OUT)
    asm.l32i("a3", "a1", _END)
    asm.bgeu("a7", "a3", "rounds done")
    asm.j("rounds")
    asm.label("rounds done")


def _add_chain(asm: XtensaAssembler) -> None:
    """The digest = what the block began with and what its rounds gave; a4 = its place."""
    asm.l32i("a3", "a1", _CHAIN)
    asm.l32i("a4", "a1", _END)
    for i, register in enumerate(_WORKING):
        asm.l32i("a5", "a3", 4 * i)
        asm.add("a5", "a5", register)
        asm.s32i("a5", "a4", 4 * i)


def _write_bytes(asm: XtensaAssembler) -> None:
    """Turns the digest's words, at a4, big-endian."""
    asm.mov("a5", "a4")
    asm.movi("a6", 8)
    with loop(asm, "a6", 2):
        asm.l32i("a3", "a5", 0)
        for i in range(4):
            asm.extui("a7", "a3", 24 - 8 * i, 8)
            asm.s8i("a7", "a5", i)
        asm.addi("a5", "a5", 4)


def _finish(asm: XtensaAssembler) -> None:
    """Does with the digest, at a4, what is asked; a2 = 1, or 0 if bytes differ."""
    asm.l32i("a3", "a1", _TASK)
    asm.addi("a5", "a3", -_DIGEST_ALONE)
    asm.beqz("a5", "done")
    asm.addi("a3", "a3", -_APPEND)
    asm.l32i("a5", "a1", _FRAME)
    asm.l32i("a6", "a1", _N)
    asm.add("a5", "a5", "a6")
    asm.movi("a2", 0)
    asm.movi("a8", 8)
    asm.label("compared")
    asm.l8ui("a6", "a4", 0)
    asm.bnez("a3", "kept")
    asm.s8i("a6", "a5", 0)
    asm.label("kept")
    asm.l8ui("a7", "a5", 0)
    asm.xor("a6", "a6", "a7")
    asm.or_("a2", "a2", "a6")
    asm.addi("a4", "a4", 1)
    asm.addi("a5", "a5", 1)
    asm.addi("a8", "a8", -1)
    asm.bnez("a8", "compared")
    asm.movi("a3", 1)
    asm.moveqz("a8", "a3", "a2")  # which is 0
    asm.mov("a2", "a8")
