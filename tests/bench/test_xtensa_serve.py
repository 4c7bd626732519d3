"""A frame's answer by Xtensa's `serve`, beside what the protocol's own Python makes of it."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from bench.emulation.lx6 import Lx6
from host.build.machine_code import (
    xtensa_bits,
    xtensa_elements,
    xtensa_frames,
    xtensa_serve,
)
from host.build.machine_code.frames import WORDS
from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_core import frame, loop
from protocol.bitpack_plain import bits_needed, pack
from protocol.cobs_plain import encode
from protocol.frame import HEADER_SIZE, write_header
from protocol.frame_check import put_crc32
from protocol.message_types import COMPUTE, PARTIAL
from protocol.messages import COMPUTE_DATA, PARTIAL_BITS, PARTIAL_DATA, REQUEST_SIZE
from tests.bench.twins import crc_table

CHIP, DIM, CONTEXT, BOOT, SEQUENCE_ID = 3, 24, 32, 0xBEEF, 0x1234


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


class Chip:
    """A core with all that `serve` calls, and its block."""

    def __init__(self) -> None:
        self.core = Lx6()
        place = self.core.memory.placed
        self.data, self.encoded, self.state = (place(bytes(size)) for size in (300, 300, 16))
        self.positions, self.x = place(bytes(8)), place(bytes(4 * DIM))
        values = place(struct.pack("<2I", 0, 0))
        words = {
            "data": self.data, "frame": place(bytes(300)), "state": self.state, "capacity": 300,
            "table": place(crc_table()), "chip": CHIP,
            "answer": place(bytes([0, 0, CHIP, *bytes(297)])),
            "boot_id": BOOT, "sequence": SEQUENCE_ID, "layers": 2, "context": CONTEXT,
            "positions": self.positions, "dim": DIM, "x": self.x, "out": place(bytes(4 * DIM)),
            "attention": self.x, "attention_values": values, "feed_forward": 0,
            "feed_forward_values": values, "encoded": self.encoded,
        }  # fmt: skip
        cores: dict[str, Callable[[XtensaAssembler], None]] = {
            "decode": xtensa_frames.decode, "check_frame": xtensa_frames.check_frame,
            "load_int16s": xtensa_elements.load_int16s, "bits_needed": xtensa_bits.bits_needed,
            "pack": xtensa_bits.pack, "put_crc32": xtensa_frames.put_crc32,
            "encode": xtensa_frames.encode, "run_program": fake_program,
        }  # fmt: skip
        words |= {name: self._code(write) for name, write in cores.items()}
        self.block = place(struct.pack(f"<{len(WORDS)}I", *(words.get(name, 0) for name in WORDS)))
        self.serve = self._code(xtensa_serve.serve)

    def _code(self, write: Callable[[XtensaAssembler], None]) -> int:
        asm = XtensaAssembler()
        write(asm)
        return self.core.memory.placed(asm.assemble())

    def run(self, data: bytes) -> int:
        """What serve gives for these bytes from the line."""
        for i, byte in enumerate(data):
            self.core.memory.store(self.data + i, 1, byte)
        arguments = self.core.memory.placed(struct.pack("<2I", self.block, len(data)))
        self.core._operations.clear()
        self.core.enter(arguments, 0, 0)
        self.core._run(self.serve)
        return struct.unpack("<i", self.core.registers[2].to_bytes(4, "little"))[0]

    def word(self, name: str) -> int:
        return self.core.memory.load(self.block + 4 * WORDS.index(name), 4)


def request(position: int = 0, layer: int = 1, phase: int = 0, number: int = 7, **changes: int):
    """A COMPUTE's frame; changes: other bytes, by place, before its CRC-32."""
    made = bytearray(HEADER_SIZE + REQUEST_SIZE + 2 * DIM + 4)
    write_header(made, 2, COMPUTE, 254, CHIP, number, REQUEST_SIZE + 2 * DIM)
    struct.pack_into("<HBBHB", made, HEADER_SIZE, SEQUENCE_ID, layer, phase, position, 1)
    struct.pack_into(f"<{DIM}h", made, COMPUTE_DATA, *range(-12, DIM - 12))
    for place, byte in changes.items():
        made[int(place[1:])] = byte
    put_crc32(made, len(made) - 4)
    return bytes(made)


def on_line(content: bytes) -> bytes:
    line = bytearray(2 * len(content) + 4)
    return bytes(line[: encode(content, line, len(content), 0)])


def answer_to(asked: bytes, position: int) -> bytes:
    """The PARTIAL that the protocol's Python makes, on the line."""
    out = [value * 1000 + position for value in range(-12, DIM - 12)]
    bits, made = bits_needed(out, DIM), bytearray(300)
    size = PARTIAL_DATA + pack(made, PARTIAL_DATA, out, DIM, bits)
    write_header(made, 2, PARTIAL, CHIP, 254, asked[4] | asked[5] << 8, size - HEADER_SIZE)
    echoed = HEADER_SIZE + REQUEST_SIZE
    made[HEADER_SIZE:echoed] = asked[HEADER_SIZE:echoed]
    struct.pack_into("<H", made, echoed, BOOT)
    made[PARTIAL_BITS] = bits
    put_crc32(made, size)
    return on_line(bytes(made[: size + 4]))


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
        assert chip.core.memory.content(chip.encoded, len(expected)) == expected
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
