"""Emulated cores with all that `exchange` calls: the members that exchanged.py has in Python."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bench.emulation.processor import Processor, signed
from host.build.machine_code.exchange_words import WORDS
from host.model.arithmetic import rms_normalize
from protocol.frame import (
    SRC,
)
from protocol.messages import (
    LOGITS_DATA,
)
from protocol.shard_layout import DROP
from tests.bench.exchanged import (
    ANSWER,
    ATTENTION,
    BITS,
    BOOT_ID,
    BY_BYTECODE,
    CHIP,
    COMPUTE,
    COMPUTED,
    CONTEXT,
    DIM,
    ENTER,
    EPOCH,
    EXPONENT,
    FIRST_LAYER,
    FIRST_ROW,
    IDLE,
    LAYERS,
    LIMIT,
    LONGEST,
    MEMBERS,
    ROOM,
    ROWS,
    drop_of,
    numbers_of,
)
from tests.bench.twins import crc_table


class Exchanging:
    """The same member on an emulated core. kernels: the addresses of cores by word; constants:
    where those of SHA-256 lie; states: where the key's do, 0 without one."""

    def __init__(
        self, core: Processor, code: int, kernels: Mapping[str, int], states: int, constants: int,
        result: Callable[[], int], has_part: tuple[bool, bool], in_passes: bool = False,
        answers: bool = False, has_rows: bool = True, chips: int = 10,
    ) -> None:  # fmt: skip
        """in_passes: whether two rows attend together; feed-forward has no such program. answers:
        whether steps come as STEPs and end with answers; has_rows: whether of the vocabulary
        there are rows here; chips: that are signed for."""
        self._core, self._code, self._result = core, code, result
        place = core.memory.placed
        self.places = {
            name: place(bytes(size))
            for name, size in {
                "came": 300, "frame": 300, "state": 28, "place": 12, "places": 12 * ROWS,
                "residual": 4 * ROWS * DIM, "x": 4 * DIM, "out": 4 * ROWS * DIM,
                "highest": 4 * 12, "seen": 8 * 12, "counter": 4,
                "total": 4 * ROWS * DIM, "own": 4 * ROWS * DIM, "total_1": 4 * ROWS * DIM,
                "own_1": 4 * ROWS * DIM, "held": 4 * ROWS * LAYERS, "request": 15, "rows": 8,
                "answer": LONGEST, "data": LONGEST, "line_frame": LONGEST, "line_state": 16,
                "encoded": 2 * LONGEST,
            }.items()
        }  # fmt: skip
        size = 16 + 4 * len(MEMBERS)
        for name in ("round", "round_1"):
            self.places[name] = place(struct.pack("<2i", len(MEMBERS), -1).ljust(size, b"\0"))
        member_of = bytearray(b"\xff" * 256)
        for member, chip in enumerate(MEMBERS):
            member_of[chip] = member
        core.memory.write(self.places["highest"], b"\xff" * 48)
        core.memory.write(self.places["counter"], b"\xff" * 4)
        core.memory.write(self.places["answer"] + SRC, bytes([CHIP]))  # as an Outbox does
        core.memory.write(self.places["place"], struct.pack("<3i", 0, IDLE, 0))
        words = {
            **self.places, **kernels, "member_of": place(bytes(member_of)),
            "phases": self._phases(has_part), "dim": DIM, "layers": LAYERS,
            "capacity": ROWS * DIM, "members": len(MEMBERS), "me": MEMBERS.index(CHIP),
            "bits": BITS, "chip": CHIP, "version": 3 if states else 2,
            "table": place(crc_table()), "states": states, "constants": constants,
            "passes": self._passes() if in_passes else 0, "exchange": code,
            "longest": LONGEST, "host": chips, "first_layer": FIRST_LAYER, "context": CONTEXT,
            "positions": self.places["held"], "boot_id": BOOT_ID, "sequence": 0xFFFFFFFF,
            "attention_values": place(bytes(8)),
        }  # fmt: skip
        if answers:
            words["sequence"] = EPOCH
        else:
            del words["answer"]
        if has_rows:
            words.update({
                "logit_rows": DIM, "logits": self.places["out"], "first_row": FIRST_ROW,
                "exponent": EXPONENT, "logits_end": LOGITS_DATA + 2 * DIM,
            })  # fmt: skip
        self.block = place(struct.pack(f"<{len(WORDS)}I", *(words.get(name, 0) for name in WORDS)))

    def _passes(self) -> int:
        """One group of two rows, whose programs before and behind what each has by itself give
        what the first row's does."""
        place, step = self._core.memory.placed, 4 * DIM
        inputs = place(bytes(2 * step))
        own = place(struct.pack("<2I", inputs, inputs + step))
        return place(struct.pack("<9I", 2, inputs, inputs, 0, inputs, step, own, 0, 0))

    def _phases(self, has_part: tuple[bool, bool]) -> int:
        place, words = self._core.memory.placed, []
        for phase in range(2 * LAYERS):
            factors, gain = numbers_of(phase)
            gains = [int(value) + (1 << 15) for value in gain.multiplier]
            words += [
                place(struct.pack(f"<{DIM}H", *factors.multiplier)),
                factors.shift + DROP * drop_of(phase),
                place(struct.pack(f"<{DIM}H", *gains)), gain.shift, gain.epsilon, LIMIT,
                self.places["x"] if has_part[phase & 1] else 0,
                self.places["x"] if phase & 1 else 0,
            ]  # fmt: skip
        _, gain = numbers_of(2 * LAYERS)
        gains = [int(value) + (1 << 15) for value in gain.multiplier]
        words += [0, 0, place(struct.pack(f"<{DIM}H", *gains)), gain.shift, gain.epsilon, LIMIT,
                  self.places["x"], 0]  # fmt: skip
        return place(struct.pack(f"<{len(words)}I", *words))

    def ints(self, name: str, count: int) -> list[int]:
        """So many int32 at a place."""
        content = self._core.memory.content(self.places[name], 4 * count)
        return list(struct.unpack(f"<{count}i", content))

    def write(self, name: str, *values: int) -> None:
        """Writes int32 to a place."""
        self._core.memory.write(self.places[name], struct.pack(f"<{len(values)}i", *values))

    def memory(self) -> bytes:
        """All that it may change but the frame that came."""
        content = self._core.memory.content
        sizes = {"state": 28, "place": 12, "residual": 4 * ROWS * DIM, "highest": 48, "seen": 96,
                 "counter": 4, "total": 4 * ROWS * DIM, "own": 4 * ROWS * DIM, "held": 16,
                 "total_1": 4 * ROWS * DIM, "own_1": 4 * ROWS * DIM, "round": 32, "round_1": 32,
                 "frame": 300, "request": 15, "rows": 8, "answer": LONGEST}  # fmt: skip
        return b"".join(content(self.places[name], size) for name, size in sizes.items()) + (
            content(self.block, 16)
        )

    def begin(self, residual: Any, positions: tuple[int, ...], number: int) -> int:
        """As Python.begin, after a step that has ended; what exchange gives."""
        state = self.ints("state", 4)
        self.write("state", *state, (number - 1) & 0xFFFF, EPOCH, 8 * (ROOM - 9))
        self.write("place", 0, ATTENTION, len(positions))
        self.write("residual", *(int(value) for value in np.reshape(residual, -1)))
        rows = self._core.memory.placed(struct.pack("<2I", 0, 0))  # of each layer its values
        places: list[int] = []
        for row, position in enumerate(positions):
            places += [position, self.places["held"] + 4 * LAYERS * row, rows]
        self.write("places", *places)
        return self.run(b"", ENTER)

    def run(self, frame: bytes, length: int | None = None) -> int:
        """What exchange gives for a frame."""
        memory = self._core.memory
        memory.write(self.places["came"], frame)
        size = len(frame) if length is None else length
        words = struct.pack("<2Ii", self.block, self.places["came"], size)
        self._core._operations.clear()
        self._core.enter(memory.placed(words), 0, 0)
        self._core._run(self._code)
        return signed(self._result())

    def sent(self, size: int) -> bytes:
        """The frame that is to be sent."""
        if size > ANSWER:
            return self._core.memory.content(self.places["answer"], size - ANSWER)
        return self._core.memory.content(self.places["frame"], size)

    def expect(self, number: int) -> None:
        """Has a STEP begin with the collective of this number."""
        self.write("state", *self.ints("state", 4), (number - 1) & 0xFFFF, EPOCH, 8 * (ROOM - 9))

    def word(self, name: str, value: int) -> None:
        """Writes a word of the block."""
        at = self.block + 4 * WORDS.index(name)
        self._core.memory.write(at, struct.pack("<I", value))

    def take_line(self, line_code: int, data: bytes) -> int:
        """What take_line, whose core lies at line_code, gives for so much data."""
        memory = self._core.memory
        memory.write(self.places["data"], data)
        self._core._operations.clear()
        self._core.enter(memory.placed(struct.pack("<2I", self.block, len(data))), 0, 0)
        self._core._run(line_code)
        return signed(self._result())

    def encoded(self, size: int) -> bytes:
        """What is to be written to the line."""
        return self._core.memory.content(self.places["encoded"], size)


class InBlocks(Exchanging):
    """A member that reads matrices in blocks: what stands for its bytecode computes its sums, in
    place of programs, and ends its steps. computed: how many times it did."""

    computed = 0

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.word("answer", BY_BYTECODE)

    def _phases(self, has_part: tuple[bool, bool]) -> int:
        place, words = super()._phases(has_part), 8 * 2 * LAYERS
        content = list(struct.unpack(f"<{words}I", self._core.memory.content(place, 4 * words)))
        for phase in range(2 * LAYERS):
            content[8 * phase + 6 : 8 * phase + 8] = BY_BYTECODE * has_part[phase & 1], 0
        self._core.memory.write(place, struct.pack(f"<{words}I", *content))
        return place

    def run(self, frame: bytes, length: int | None = None) -> int:
        """What exchange gives for a frame, with the sums that it wants of bytecode."""
        result = super().run(frame, length)
        while result == COMPUTE:
            layer, phase, rows = self.ints("place", 3)
            residual = np.reshape(self.ints("residual", rows * DIM), (rows, DIM))
            places = np.reshape(self.ints("places", 3 * rows), (rows, 3))
            _, gain = numbers_of(2 * layer + phase)
            out = rms_normalize(residual, gain, LIMIT) * 1000 + places[:, :1]
            self.write("out", *out.reshape(-1).tolist())
            self.computed += 1
            result = super().run(b"", COMPUTED)
        return result
