"""Emulated cores with all that `serve` calls, and what the protocol's Python makes of frames."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod

from bench.emulation.processor import Processor
from host.build.machine_code.frames import WORDS
from protocol.auth import Signer
from protocol.bitpack_plain import bits_needed, pack
from protocol.cobs_plain import encode
from protocol.frame import HEADER_SIZE, HOST, append_trailer, write_header
from protocol.message_types import COMPUTE, PARTIAL
from protocol.messages import COMPUTE_DATA, PARTIAL_BITS, PARTIAL_DATA, REQUEST_SIZE
from tests.bench.twins import crc_table

CHIP, DIM, CONTEXT, BOOT, SEQUENCE_ID = 3, 24, 32, 0xBEEF, 0x1234


class ServingChip(ABC):
    """A core and its block; `code` gives where a kernel's code lies that `write` wrote."""

    core: Processor

    def __init__(self, cores: dict[str, int], serve: int, **more: int) -> None:
        """cores: addresses of the kernels by word; more: other words."""
        self.serve = serve
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
            "feed_forward_values": values, "encoded": self.encoded, "version": 2,
            **cores, **more,
        }  # fmt: skip
        self.block = place(struct.pack(f"<{len(WORDS)}I", *(words.get(name, 0) for name in WORDS)))

    @abstractmethod
    def result(self) -> int:
        """What the core's function gave, as 32 bits."""

    def run(self, data: bytes) -> int:
        """What serve gives for these bytes from the line."""
        for i, byte in enumerate(data):
            self.core.memory.store(self.data + i, 1, byte)
        arguments = self.core.memory.placed(struct.pack("<2I", self.block, len(data)))
        self.core._operations.clear()
        self.core.enter(arguments, 0, 0)
        self.core._run(self.serve)
        return struct.unpack("<i", self.result().to_bytes(4, "little"))[0]

    def word(self, name: str) -> int:
        """A word of the block."""
        return self.core.memory.load(self.block + 4 * WORDS.index(name), 4)

    def sent(self, size: int) -> bytes:
        """What is on the line of an answer of so many bytes."""
        return self.core.memory.content(self.encoded, size)


def request(
    position: int = 0,
    layer: int = 1,
    phase: int = 0,
    number: int = 7,
    signer: Signer | None = None,
    **changes: int,
) -> bytes:
    """A COMPUTE's frame; changes: other bytes, by place, before its trailer."""
    length = REQUEST_SIZE + 2 * DIM
    made = bytearray(HEADER_SIZE + length + (12 if signer else 4))
    write_header(made, 3 if signer else 2, COMPUTE, HOST, CHIP, number, length)
    struct.pack_into("<HBBHB", made, HEADER_SIZE, SEQUENCE_ID, layer, phase, position, 1)
    struct.pack_into(f"<{DIM}h", made, COMPUTE_DATA, *range(-12, DIM - 12))
    version = made[0]
    for place, byte in changes.items():
        made[int(place[1:])] = byte
    changed, made[0] = made[0], version
    append_trailer(made, length, signer)
    made[0] = changed
    return bytes(made)


def on_line(content: bytes) -> bytes:
    """A frame in COBS."""
    line = bytearray(2 * len(content) + 4)
    return bytes(line[: encode(content, line, len(content), 0)])


def answer_to(asked: bytes, position: int, signer: Signer | None = None) -> bytes:
    """The PARTIAL that the protocol's Python makes, on the line; of what a fake program gives:
    x * 1000 + position."""
    out = [value * 1000 + position for value in range(-12, DIM - 12)]
    bits, made = bits_needed(out, DIM), bytearray(300)
    size = PARTIAL_DATA + pack(made, PARTIAL_DATA, out, DIM, bits)
    number = asked[4] | asked[5] << 8
    write_header(made, 3 if signer else 2, PARTIAL, CHIP, HOST, number, size - HEADER_SIZE)
    echoed = HEADER_SIZE + REQUEST_SIZE
    made[HEADER_SIZE:echoed] = asked[HEADER_SIZE:echoed]
    struct.pack_into("<H", made, echoed, BOOT)
    made[PARTIAL_BITS] = bits
    return on_line(bytes(made[: append_trailer(made, size - HEADER_SIZE, signer)]))
