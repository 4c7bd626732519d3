"""The Xtensa assembler against disassemblers that others wrote."""

import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import capstone
import pytest

from host.build.machine_code.assembler import AssemblyError
from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_encoding import (
    TARGETS,
    Instruction,
    Operand,
    find_instruction,
    instructions,
)

# Debian's binutils-xtensa-lx106, for a core that has the base instructions alone.
OBJDUMP = shutil.which("xtensa-lx106-elf-objdump")
NOT_OF_LX106 = ("loop", "ee.", "mul.", "mula.", "ldinc", "min", "max", "mulsh", "quou", "entry",
                "retw", "call", "rsr", "wsr", "rur", "mull")  # fmt: skip
NAMES = {"acclo": "16", "acchi": "17", "accx_0": "0"}
NAMES |= {f"qacc_{half}_{i}": str(2 + 5 * (half == "l") + i) for half in "hl" for i in range(5)}


def samples() -> Iterator[tuple[Instruction, tuple[Operand, ...], int]]:
    """Every instruction with operands of all kinds, extremes among them, and its word."""
    numbers = random.Random(1)
    for instruction in instructions().values():
        for turn in range(24):
            raws = [
                (0, (1 << kind.bits) - 1)[turn] if turn < 2 else numbers.getrandbits(kind.bits)
                for kind in instruction.kinds
            ]
            if instruction.mnemonic == "slli":
                raws[-1] = raws[-1] or 1  # 0 is another instruction's
            operands: list[Operand] = [
                f"{kind.prefix}{kind.meant(raw)}" if kind.prefix else kind.meant(raw)
                for kind, raw in zip(instruction.kinds, raws, strict=True)
            ]
            if "sr" in instruction.operands:
                operands[-1] = numbers.choice((16, 17))
            if "ur" in instruction.operands:
                operands[-1] = numbers.choice((0, *range(2, 12)))
            yield instruction, tuple(operands), instruction.encode(*operands)


def plain(text: str) -> list[int | str]:
    """Operands of a line of assembly, numbers as such; distances of branches are from the
    instruction itself."""
    found: list[int | str] = []
    for part in filter(None, re.split(r"[,\s]+", text)):
        part = NAMES.get(part, part).lstrip("+")
        if part != ".":
            is_number = part.lstrip("-")[0].isdigit()
            found.append(int(part, 0) & 0xFFFFFFFF if is_number else part)
    return found


def expected(
    instruction: Instruction, operands: tuple[Operand, ...], at: int = 0
) -> list[int | str]:
    """What `plain` makes of an instruction's text; at: its address, where the text has that of a
    branch's target."""
    values = list(operands)
    if instruction.operands[-1:] == ("to",):
        values[-1] = int(values[-1]) + 4 + at
    if instruction.operands[-1:] == ("word",):
        values[-1] = 4 * int(values[-1]) + 4 + (at & ~3)
    return [each & 0xFFFFFFFF if isinstance(each, int) else each for each in values]


def test_capstone_reads_every_instruction_as_it_was_written() -> None:
    disassembler = capstone.Cs(capstone.CS_ARCH_XTENSA, capstone.CS_MODE_XTENSA_ESP32S3)
    for instruction, operands, word in samples():
        lines = list(disassembler.disasm_lite(word.to_bytes(instruction.size, "little"), 0))
        assert len(lines) == 1, (instruction.mnemonic, operands)
        _, size, mnemonic, text = lines[0]
        if instruction.mnemonic == "movi.n" and operands[1] == 47:
            continue  # capstone 6.0.0a11 takes it for break.n; binutils does not
        if mnemonic.startswith(("rsr.", "wsr.", "rur.")):
            mnemonic, _, name = mnemonic.partition(".")
            text += f", {name}"
        assert (size, mnemonic) == (instruction.size, instruction.mnemonic)
        assert plain(text) == expected(instruction, operands), (mnemonic, text)


@pytest.mark.skipif(OBJDUMP is None, reason="binutils-xtensa-lx106 is not installed")
def test_binutils_reads_the_base_instructions_as_they_were_written(tmp_path: Path) -> None:
    assert OBJDUMP is not None
    known = [each for each in samples() if not each[0].mnemonic.startswith(NOT_OF_LX106)]
    code = tmp_path / "code"
    code.write_bytes(b"".join(word.to_bytes(each.size, "little") for each, _, word in known))
    output = subprocess.run(
        [OBJDUMP, "-D", "-b", "binary", "-m", "xtensa", code],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    lines = [line.split("\t") for line in output.splitlines() if line.count("\t") >= 2]
    assert len(lines) == len(known)
    for (instruction, operands, _), (at, _, mnemonic, *text) in zip(known, lines, strict=True):
        values = expected(instruction, operands, int(at.strip(" :"), 16))
        if instruction.operands and instruction.operands[-1] in TARGETS:
            text = [text[0].partition(" <")[0]]
            text = [re.sub(r"(?<=\s)([0-9a-f]+)$|^([0-9a-f]+)$", r"0x\1\2", text[0])]
        assert mnemonic.strip() == instruction.mnemonic
        assert plain(" ".join(text)) == values, (mnemonic, text)


def test_words_are_found_again() -> None:
    for instruction, operands, word in samples():
        assert find_instruction(word, instruction.size) is instruction
        assert instruction.encode(*operands) == word
        numbers = [int(str(each).lstrip("aqm")) for each in operands]
        assert list(instruction.decode(word)) == numbers


@pytest.mark.parametrize(
    ("name", "operands"),
    [
        ("l32i", ("a2", "a3", 2)),  # not a multiple of 4
        ("l32i", ("a2", "a3", 1024)),
        ("addi", ("a2", "a3", 128)),
        ("addi", ("a2", "a3", "a4")),
        ("add", ("a2", "a16", "a3")),
        ("add", ("a2", 3, "a3")),
        ("add", ("a2", "q3", "a3")),
        ("add", ("a2", "a3")),
        ("slli", ("a2", "a3", 0)),
        ("ee_vld_128_ip", ("q8", "a3", 0)),
        ("ee_vld_128_ip", ("q1", "a3", 8)),
        ("mula_dd_ll", ("m2", "m0")),
    ],
)
def test_wrong_operands_are_refused(name: str, operands: tuple[Operand, ...]) -> None:
    with pytest.raises(AssemblyError, match="cannot have|takes 3 operands"):
        getattr(XtensaAssembler(), name)(*operands)


def test_unknown_instructions_are_refused() -> None:
    with pytest.raises(AttributeError, match="no instruction add2"):
        XtensaAssembler().add2("a2", "a3", "a4")


def test_loops_beyond_their_reach_are_refused() -> None:
    asm = XtensaAssembler()
    asm.loopgtz("a2", "end")
    for _ in range(86):
        asm.nop()
    asm.label("end")
    with pytest.raises(AssemblyError, match="loopgtz cannot have 257 as to"):
        asm.assemble()


@pytest.mark.parametrize("before", range(5))
@pytest.mark.parametrize("first", [3, 4])
def test_loops_begin_within_a_word(before: int, first: int) -> None:
    asm = XtensaAssembler()
    for at in range(before):
        asm.mov("a2", "a3") if at else asm.nop()
    begin = asm.here
    asm.align_loop(first)
    assert asm.here - begin <= 6
    assert (asm.here + 3) % 4 + first <= 4
