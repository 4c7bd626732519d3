"""A frame's answer by Xtensa's `serve`, beside what the protocol's own Python makes of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.emulation.lx6 import Lx6
from host.build.machine_code import (
    xtensa_bits,
    xtensa_elements,
    xtensa_frames,
    xtensa_serve,
)
from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_core import frame, loop
from tests.bench.served import CHIP, CONTEXT, DIM, ServingChip, answer_to, on_line, request


def fake_program(asm: XtensaAssembler) -> None:
    """In place of run_program: out [DIM] = x * 1000 + position; the program is where x lies."""
    with frame(asm, {"a3": 0, "a4": 2, "a5": 3}):
        asm.movi("a6", DIM)
        asm.movi("a7", 1000)
        with loop(asm, "a6"):
            asm.l32i("a8", "a3", 0)
            asm.mull("a8", "a8", "a7")
            asm.add("a8", "a8", "a4")
            asm.s32i("a8", "a5", 0)
            asm.addi("a3", "a3", 4)
            asm.addi("a5", "a5", 4)


class Chip(ServingChip):
    """An ESP32's."""

    def __init__(self) -> None:
        self.core = Lx6()
        cores: dict[str, Callable[[XtensaAssembler], None]] = {
            "decode": xtensa_frames.decode, "check_frame": xtensa_frames.check_frame,
            "load_int16s": xtensa_elements.load_int16s, "bits_needed": xtensa_bits.bits_needed,
            "pack": xtensa_bits.pack, "put_crc32": xtensa_frames.put_crc32,
            "encode": xtensa_frames.encode, "run_program": fake_program,
        }  # fmt: skip
        places = {name: self._code(write) for name, write in cores.items()}
        super().__init__(places, self._code(xtensa_serve.serve))

    def _code(self, write: Callable[[XtensaAssembler], None]) -> int:
        asm = XtensaAssembler()
        write(asm)
        return self.core.memory.placed(asm.assemble())

    def result(self) -> int:
        return self.core.registers[2]


@pytest.fixture(scope="module")
def chip() -> Chip:
    return Chip()


def test_requests_are_answered_in_whole_and_in_pieces(chip: Chip) -> None:
    for position, pieces in ((0, 1), (1, 3), (2, 20)):
        asked = request(position, number=position)
        line = on_line(asked)
        size = -(-len(line) // pieces)
        given = [chip.run(line[at : at + size]) for at in range(0, len(line), size)]
        expected = answer_to(asked, position)
        assert given == [0] * (len(given) - 1) + [len(expected)]
        assert chip.sent(len(expected)) == expected
        assert chip.core.memory.load(chip.positions + 4, 4) == position + 1
    assert (chip.word("received"), chip.word("sent")) == (3, 3)
    assert chip.word("bytes_received") == 3 * len(request())


@pytest.mark.parametrize(
    "asked",
    [
        request(layer=2), request(position=CONTEXT), request(phase=1), request(phase=2),
        request(position=9), request(c3=CHIP + 1), request(c0=1), request(c1=0x23),
        request(c8=0), request(c14=2), request()[:-1] + b"\0",
    ],
    ids=range(11),
)  # fmt: skip
def test_all_else_is_left_to_the_node(chip: Chip, asked: bytes) -> None:
    """No such layer, position or program, one that the cache does not reach, and frames of
    another chip, version, type, sequence or count, or damaged: the decoder is as before."""
    before = bytes(4) + chip.core.memory.content(chip.state, 16)[4:]  # at the data's begin
    counts = [chip.word(name) for name in ("received", "sent")]
    assert chip.run(on_line(asked)) == -1
    assert chip.core.memory.content(chip.state, 16) == before
    assert [chip.word(name) for name in ("received", "sent")] == counts


def test_what_was_answered_is_not_computed_again(chip: Chip) -> None:
    asked = request(0, number=99)
    assert chip.run(on_line(asked)) > 0
    assert chip.run(on_line(asked)) == -1
