"""Emulated cores with all that `stage` calls, beside the firmware's own role of a stage.

Both have the members, layers and numbers of tests/bench/exchanged.py; the role's Step computes as
its `Python` does.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from firmware.outbox import Outbox
from firmware.roles import handover
from firmware.roles.handover import NONE, STATE_WORDS, Handover
from firmware.roles.pipeline import BusyTime, Pipeline
from host.build.machine_code.exchange_words import STAGE_WORDS, WORDS
from host.wire.payloads import encode_step
from protocol.auth import Signer
from protocol.bitunpack import unpack
from protocol.collective import Collective
from protocol.fields import u16
from protocol.frame import BROADCAST, HEADER_SIZE, HOST, TYPE, seal, write_header
from protocol.message_types import ACK, CONTRIBUTION, STEP
from protocol.messages import (
    ACK_SIZE,
    LAYER,
    POSITION,
    SEQUENCE_ID,
    STEP_BITS,
    STEP_DATA,
    STEP_NUMBER,
    STEP_WANTS,
    WANTS_MASK,
    WANTS_NOTHING,
)
from tests.bench.exchange_core import Exchanging
from tests.bench.exchanged import (
    ANSWER,
    ATTENTION,
    BITS,
    BOOT_ID,
    CHIP,
    DIM,
    FIRST_LAYER,
    IDLE,
    LAYERS,
    LONGEST,
    OTHER,
    ROOM,
    ROWS,
    Python,
)

SEQUENCES = (0x0042, 0x8123)  # of two slots
FOR_ALL, FOR_HOST = 1 << 17, 1 << 18


class _Link:
    """Keeps what a chip sends, and to whom."""

    mtu = HEADER_SIZE + ROOM + 12
    dropped = 0

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []

    def send(self, frame: Any, length: int) -> None:
        self.sent.append(("host", bytes(frame[:length])))

    def broadcast(self, frame: Any, length: int) -> None:
        self.sent.append(("all", bytes(frame[:length])))

    def keep_sender(self) -> None:
        raise AssertionError("a stage keeps the station that its session came from")


class _Step:
    """The Step of a stage, of which `python` computes; has_rows: whether of the vocabulary there
    are rows here; caches: how many positions each layer holds, by the sequence."""

    def __init__(
        self, outbox: Outbox, members: Sequence[int], has_part: tuple[bool, bool], has_rows: bool
    ) -> None:
        self._outbox, self._has_rows = outbox, has_rows
        self.python = Python(None, has_part)
        room = outbox.max_payload
        self.collective = Collective(CHIP, members, ROWS * DIM, BITS, room, self._send, 1000)
        self.python.collective = self.collective
        self.request = bytearray(STEP_NUMBER)
        self.first_layer = FIRST_LAYER
        self.model = SimpleNamespace(layers=[None] * LAYERS)
        self.caches = {each: [0] * LAYERS for each in SEQUENCES}

    def _send(self, frame: bytearray, kind: int, dst: int, number: int, length: int) -> None:
        write_header(frame, self._outbox.version, kind, CHIP, dst, number, length)
        self._outbox.broadcast(frame, length)

    @property
    def residual(self) -> Any:
        """As that of a Step."""
        return SimpleNamespace(
            values=array("i", self.python.residual.reshape(-1).tolist()), dim=DIM
        )

    def is_idle(self) -> bool:
        return self.python.phase == IDLE

    def begin(self, request: bytearray, length: int, epoch: int, number: int) -> bool:
        """As that of a Step, for one position."""
        values = array("i", [0] * DIM)
        unpack(request, STEP_DATA, values, DIM, request[STEP_BITS])
        self.request[:] = request[: len(self.request)]
        python = self.python
        python.held = [self.caches[u16(request, SEQUENCE_ID)]]
        self.collective.start(epoch, number)
        python.residual[0] = values
        python.positions, python.layer, python.phase = (u16(request, POSITION),), 0, ATTENTION
        python._contribute()
        return True

    def advance(self) -> bool:
        """As that of a Step."""
        python = self.python
        while python.phase != IDLE and self.collective.done:
            if python.layer == LAYERS - 1 and python.phase != ATTENTION:
                python.end()
                return True
            python.go_on()
        return False

    def has_answer(self) -> bool:
        return self._has_rows and self.request[STEP_WANTS] & WANTS_MASK != WANTS_NOTHING

    def write_answer(self, answer: bytearray, boot_id: int) -> int:
        answer[TYPE], length = self.python.write_answer(bytes(self.request), answer)
        return length


class Role(Pipeline):
    """The firmware's role, with a Step that needs no shard."""

    def __init__(
        self, signer: Signer | None, receivers: Sequence[int], members: Sequence[int],
        has_part: tuple[bool, bool], has_rows: bool,
    ) -> None:  # fmt: skip
        self.link, self.signer = _Link(), signer
        session = SimpleNamespace(sign=signer.sign) if signer else None
        self.outbox = outbox = Outbox(CHIP, self.link, BOOT_ID, session, 1, LONGEST)
        outbox.limit(HEADER_SIZE + ROOM + (12 if signer else 4))
        self.step: Any = _Step(outbox, members, has_part, has_rows)
        self._group: Any = SimpleNamespace(collective=self.step.collective, tick=lambda step: None)
        self.handover = Handover(outbox, bytes(receivers))
        self.busy = BusyTime()
        self.is_first = members[0] == CHIP
        self._pending = bytearray(LONGEST)
        self._state = self.handover.state
        self.handlers = {STEP: self._on_step, ACK: self._on_acknowledgement,
                         CONTRIBUTION: self._on_contribution}  # fmt: skip

    def take(self, frame: bytes) -> list[tuple[str, bytes]]:
        """Takes in a verified frame; what the chip sends, and to whom."""
        self.handlers[frame[TYPE]](bytearray(frame), frame[6] | frame[7] << 8)
        sent, self.link.sent = self.link.sent, []
        return sent


class Staging(Exchanging):
    """The same stage on an emulated core. stage: the address of `stage`, which calls `exchange` at
    the address `code`; on_line: whether all goes to one line."""

    def __init__(
        self, *args: Any, stage: int, receivers: Sequence[int], members: Sequence[int],
        on_line: bool = False, **more: Any,
    ) -> None:  # fmt: skip
        super().__init__(*args, answers=True, **more)
        core = self._core
        place = core.memory.placed
        exchange, self._code = self._code, stage
        self.places["stage"] = place(bytes(4 * STATE_WORDS))
        values = place(struct.pack("<2I", 0, 0))
        rows = self.places["held"]
        table = [word for i, each in enumerate(SEQUENCES)
                 for word in (each, rows + 4 * LAYERS * i, values)]  # fmt: skip
        member_of = bytearray(b"\xff" * 256)
        for member, chip in enumerate(members):
            member_of[chip] = member
        to_host = receivers[0] == HOST
        words = {
            "combine": exchange, "stage": self.places["stage"], "kept": self.places["answer"],
            "receivers": place(bytes(receivers)), "receiver_count": len(receivers),
            "everybody": (1 << len(receivers)) - 1,
            "to": receivers[0] if len(receivers) == 1 else BROADCAST,
            "to_host": int(to_host and more.get("has_rows", True)),
            "output_layer": FIRST_LAYER + LAYERS if members[0] == CHIP and not to_host else 0,
            "for_host": 0 if on_line else FOR_HOST, "for_all": 0 if on_line else FOR_ALL,
            "slots": len(SEQUENCES), "sequences": place(struct.pack("<6I", *table)),
            "exchange": stage, "answer": 0, "members": len(members),
            "me": list(members).index(CHIP), "member_of": place(bytes(member_of)),
        }  # fmt: skip
        block = core.memory.content(self.block, 4 * len(WORDS))
        self.block = place(block.ljust(4 * len(STAGE_WORDS), b"\0"))
        for name, word in words.items():
            at = self.block + 4 * STAGE_WORDS.index(name)
            core.memory.write(at, struct.pack("<I", word))
        for name in ("round", "round_1"):
            state = struct.pack("<2i", len(members), -1).ljust(16 + 4 * len(members), b"\0")
            core.memory.write(self.places[name], state)
        bits = 8 * (ROOM - 9)
        self.write("state", 0, 0, 0, 0, (1 << 16) - 1, NONE, bits)
        self.stage_words(TAKEN=NONE, MADE_MS=NONE)

    def expect_stage(self, number: int) -> None:
        """Has a STEP of this number be the next."""
        state = self.ints("state", 7)
        self.write("state", *state[:4], (number * 2 * LAYERS - 1) & 0xFFFF, 0, state[6])

    def stage_words(self, **values: int) -> None:
        """Writes words of the stage, by their names in handover.py."""
        words = self.ints("stage", STATE_WORDS)
        for name, value in values.items():
            words[getattr(handover, name)] = value
        self.write("stage", *words)

    def memory(self) -> bytes:
        return super().memory() + self._core.memory.content(
            self.places["stage"], 4 * STATE_WORDS
        )

    def take(self, frame: bytes) -> tuple[list[tuple[str, bytes]], int]:
        """As Role.take; and what is left to bytecode in the end, as a code, 0 for nothing."""
        sent: list[tuple[str, bytes]] = []
        result = self.run(frame)
        while result > 0:
            size, to = result, "all"
            if size >= FOR_HOST:
                size, to = size - FOR_HOST, "host"
            elif size >= FOR_ALL:
                size -= FOR_ALL
            elif size >= ANSWER:
                to = "host"
            sent.append((to, self.sent(size)))
            result = self.run(b"", 0)
        if result == OTHER:
            assert not sent
        return sent, result

    def follow(self, role: Role, hears: Signer | None) -> None:
        """Takes over what a role knows that is this chip's own; hears: of what came."""
        self.write("stage", *role.handover.state)
        step, python = role.step, role.step.python
        self.write("place", python.layer, python.phase, 1)
        self.write("residual", *python.residual[0].tolist())
        self.write("held", *(count for each in SEQUENCES for count in step.caches[each]))
        state = self.ints("state", 7)
        self.write("state", *state[:4], *list(step.collective.state)[4:6], state[6])
        self._core.memory.write(self.places["request"], bytes(step.request))
        if hears:
            self.write("highest", *hears._highest)
            self._core.memory.write(self.places["seen"], bytes(hears._seen))
            self.write("counter", role.signer._highest[-1])


def stage_step(
    number: int, position: int, residual: Sequence[int], wants: int, source: int = HOST,
    signer: Signer | None = None, sequence_id: int = SEQUENCES[0],
) -> bytes:  # fmt: skip
    """The STEP frame of one position."""
    payload = encode_step(sequence_id, wants, position, 1, number, list(residual))
    frame = bytearray(HEADER_SIZE) + payload + bytes(12)
    frame[LAYER] = FIRST_LAYER
    size = seal(frame, 3 if signer else 2, STEP, source, CHIP, number, len(payload), signer)
    return bytes(frame[:size])


def acknowledgement(source: int, number: int, signer: Signer | None = None) -> bytes:
    """The ACK of a chip or the host."""
    frame = bytearray(HEADER_SIZE + ACK_SIZE + 12)
    size = seal(frame, 3 if signer else 2, ACK, source, CHIP, number, ACK_SIZE, signer)
    return bytes(frame[:size])
