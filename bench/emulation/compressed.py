"""RISC-V's 16-bit instructions (RVC), each as the 32-bit instruction that it stands for.

Formats are those of chapter "C" of "The RISC-V Instruction Set Manual, Volume I".
"""

from __future__ import annotations

_LOAD_WORD, _STORE_WORD, _IMMEDIATE, _REGISTER = 0x2003, 0x2023, 0x13, 0x33
_LUI, _JAL, _JALR, _BRANCH = 0x37, 0x6F, 0x67, 0x63
_EBREAK = 0x9002


def expanded(half: int) -> int | None:
    """Returns the full instruction for 16 bits, None for what is reserved or of another
    extension."""
    full = (_quadrant_0, _quadrant_1, _quadrant_2)[half & 3](half, half >> 13)
    return full if full is None or full & 3 == 3 else None


def _quadrant_0(half: int, kind: int) -> int | None:
    rd, rs1 = 8 + (half >> 2 & 7), 8 + (half >> 7 & 7)
    if kind == 0:  # c.addi4spn
        offset = _bits(half, (11, 2, 4), (7, 4, 6), (6, 1, 2), (5, 1, 3))
        return _i_type(_IMMEDIATE, rd, 2, offset) if offset else None
    offset = _bits(half, (10, 3, 3), (6, 1, 2), (5, 1, 6))
    if kind == 2:
        return _i_type(_LOAD_WORD, rd, rs1, offset)
    return _s_type(rd, rs1, offset) if kind == 6 else None


def _quadrant_1(half: int, kind: int) -> int | None:
    rd, immediate = half >> 7 & 31, _sign(_bits(half, (12, 1, 5), (2, 5, 0)), 6)
    if kind == 0:
        return _i_type(_IMMEDIATE, rd, rd, immediate)
    if kind in (1, 5):  # c.jal, c.j
        return _jump(1 if kind == 1 else 0, half)
    if kind == 2:
        return _i_type(_IMMEDIATE, rd, 0, immediate)
    if kind == 3 and rd == 2:  # c.addi16sp
        offset = _bits(half, (12, 1, 9), (6, 1, 4), (5, 1, 6), (3, 2, 7), (2, 1, 5))
        return _i_type(_IMMEDIATE, 2, 2, _sign(offset, 10))
    if kind == 3:
        return _LUI | rd << 7 | (immediate & 0xFFFFF) << 12
    if kind == 4:
        return _arithmetic(half, immediate)
    offset = _bits(half, (12, 1, 8), (10, 2, 3), (5, 2, 6), (3, 2, 1), (2, 1, 5))
    return _branch(kind & 1, 8 + (half >> 7 & 7), _sign(offset, 9))


def _arithmetic(half: int, immediate: int) -> int | None:
    rd, sort = 8 + (half >> 7 & 7), half >> 10 & 3
    if sort == 2:  # c.andi
        return _i_type(_IMMEDIATE | 7 << 12, rd, rd, immediate)
    if sort < 2:  # c.srli, c.srai
        amount = immediate & 31 | sort << 10
        return _i_type(_IMMEDIATE | 5 << 12, rd, rd, amount)
    if half >> 12 & 1:
        return None
    function = (0x40000000, 4 << 12, 6 << 12, 7 << 12)[half >> 5 & 3]  # sub, xor, or, and
    return _REGISTER | function | rd << 7 | rd << 15 | 8 + (half >> 2 & 7) << 20


def _quadrant_2(half: int, kind: int) -> int | None:
    rd, rs2 = half >> 7 & 31, half >> 2 & 31
    if kind == 0:
        return _i_type(_IMMEDIATE | 1 << 12, rd, rd, rs2)
    if kind == 2:
        offset = _bits(half, (12, 1, 5), (4, 3, 2), (2, 2, 6))
        return _i_type(_LOAD_WORD, rd, 2, offset)
    if kind == 6:
        return _s_type(rs2, 2, _bits(half, (9, 4, 2), (7, 2, 6)))
    if kind != 4 or half == _EBREAK:
        return None
    link = half >> 12 & 1
    if rs2 == 0:  # c.jr, c.jalr
        return _i_type(_JALR, link, rd, 0)
    return _REGISTER | rd << 7 | (rd if link else 0) << 15 | rs2 << 20  # c.add, c.mv


def _bits(half: int, *fields: tuple[int, int, int]) -> int:
    """Returns a number put together from fields (lowest bit in the instruction, bits, place)."""
    return sum((half >> low & (1 << count) - 1) << place for low, count, place in fields)


def _sign(value: int, bits: int) -> int:
    return value - (value >> bits - 1 << bits)


def _i_type(base: int, rd: int, rs1: int, immediate: int) -> int:
    return base | rd << 7 | rs1 << 15 | (immediate & 0xFFF) << 20


def _s_type(rs2: int, rs1: int, offset: int) -> int:
    return _STORE_WORD | (offset & 31) << 7 | rs1 << 15 | rs2 << 20 | offset >> 5 << 25


def _branch(not_equal: int, rs1: int, offset: int) -> int:
    return (
        _BRANCH | not_equal << 12 | rs1 << 15 | (offset >> 11 & 1) << 7 | (offset >> 1 & 15) << 8
        | (offset >> 5 & 63) << 25 | (offset >> 12 & 1) << 31
    )  # fmt: skip


def _jump(rd: int, half: int) -> int:
    offset = _sign(
        _bits(half, (12, 1, 11), (11, 1, 4), (9, 2, 8), (8, 1, 10), (7, 1, 6), (6, 1, 7),
              (3, 3, 1), (2, 1, 5)), 12
    )  # fmt: skip
    return (
        _JAL | rd << 7 | (offset >> 12 & 255) << 12 | (offset >> 11 & 1) << 20
        | (offset >> 1 & 1023) << 21 | (offset >> 20 & 1) << 31
    )  # fmt: skip
