"""16-bit RISC-V instructions against the 32-bit ones that the manual says they stand for."""

import pytest

from bench.emulation.compressed import expanded

# Pairs that GNU as 2.40 gives for the instruction with and without compression.
PAIRS = {
    "c.addi4spn x8,x2,16": (0x0800, 0x01010413),
    "c.lw x8,12(x9)": (0x44C0, 0x00C4A403),
    "c.sw x8,12(x9)": (0xC4C0, 0x0084A623),
    "c.addi x18,-1": (0x197D, 0xFFF90913),
    "c.li x11,-3": (0x55F5, 0xFFD00593),
    "c.lui x12,0x2": (0x6609, 0x00002637),
    "c.addi16sp x2,-80": (0x715D, 0xFB010113),
    "c.srai x8,5": (0x8415, 0x40545413),
    "c.andi x9,7": (0x889D, 0x0074F493),
    "c.sub x8,x9": (0x8C05, 0x40940433),
    "c.xor x8,x9": (0x8C25, 0x00944433),
    "c.or x8,x9": (0x8C45, 0x00946433),
    "c.and x8,x9": (0x8C65, 0x00947433),
    "c.slli x10,4": (0x0512, 0x00451513),
    "c.lwsp x14,56(x2)": (0x5762, 0x03812703),
    "c.swsp x10,56(x2)": (0xDC2A, 0x02A12C23),
    "c.mv x18,x11": (0x892E, 0x00B00933),
    "c.add x11,x12": (0x95B2, 0x00C585B3),
    "c.jr x1": (0x8082, 0x00008067),
    "c.jalr x8": (0x9402, 0x000400E7),
    "c.j .-2": (0xBFFD, 0xFFFFF06F),
    "c.jal .+6": (0x2019, 0x006000EF),
    "c.beqz x8,.+8": (0xC401, 0x00040463),
    "c.bnez x8,.-4": (0xFC75, 0xFE041EE3),
}


@pytest.mark.parametrize("instruction", PAIRS)
def test_expansions(instruction: str) -> None:
    half, full = PAIRS[instruction]
    got = expanded(half)
    assert got is not None and f"{got:#010x}" == f"{full:#010x}"


@pytest.mark.parametrize("half", [0x0000, 0x9002, 0x2000, 0x9C41])
def test_what_is_reserved_or_of_other_extensions_is_refused(half: int) -> None:
    assert expanded(half) is None
