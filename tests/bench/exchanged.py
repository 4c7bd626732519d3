"""A member of an exchange as the protocol's and the model's Python have it, and frames for it.

The emulated cores of exchange_core.py have the same members, layers and numbers. In place of a
layer's program stands one that gives x * 1000 + position. The numbers of `exchange`'s results are
written down again here, apart from those that make its machine code.
"""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from host.model.arithmetic import Gain, Rescale, add_residual, rms_normalize
from host.wire.payloads import encode_step
from protocol.auth import Signer
from protocol.collective import Collective
from protocol.fields import put_u16
from protocol.frame import (
    BROADCAST,
    HEADER_SIZE,
    HOST,
    TRAILER_SIZE,
    append_trailer,
    seal,
    write_header,
)
from protocol.message_types import ACK, BEST, LOGITS, STEP
from protocol.messages import (
    ACK_SIZE,
    BEST_LOGIT,
    BEST_PLACE,
    BEST_SIZE,
    BEST_TOKEN,
    LAYER,
    LOGITS_DATA,
    LOGITS_FIRST_ROW,
    LOGITS_SHIFT,
    STEP_WANTS,
    WANTS_BEST,
    WANTS_NOTHING,
    begin_answer,
)

DIM, LAYERS, ROWS, BITS, ROOM = 24, 2, 2, 26, 130
FIRST_LAYER, CONTEXT, BOOT_ID, FIRST_ROW, EXPONENT = 3, 200, 0xB007, 0x0304, 9
LONGEST = 256  # bytes of a frame, and of data from a line
MEMBERS, CHIP = (4, 7, 2, 9), 2
EPOCH = 0x8123
OTHER, FINISH, PIECES, COMPUTE, ENTER, COMPUTED = -1, -2, -3, -4, -1, -2
BY_BYTECODE = 1
ANSWER = 1 << 16
ATTENTION, FEED_FORWARD, IDLE = range(3)
ENDED = 4
LIMIT = 32767


def drop_of(phase: int) -> int:
    """The bits by which the stream gets coarser before a phase's sum is added."""
    return 3 * (phase == 1)


def numbers_of(phase: int) -> tuple[Rescale, Gain]:
    """The multipliers of a phase's sum, and the gain of the norm before it."""
    random = np.random.default_rng(phase)
    multipliers = random.integers(1 << 14, 1 << 15, DIM)
    gains = random.integers(-(1 << 15), 1 << 15, DIM)
    return Rescale(multipliers, 24 + phase), Gain(gains, 22 + phase % 2, 99)


class Python:
    """A member in Python. has_part: whether it has heads, and units; positions: of the step's
    rows; sent: the frames that it has contributed."""

    def __init__(self, signer: Signer | None, has_part: tuple[bool, bool]) -> None:
        self.collective = Collective(CHIP, MEMBERS, ROWS * DIM, BITS, ROOM, self._send, 1000)
        self.signer, self.has_part = signer, has_part
        self.sent: list[bytes] = []
        self.learned = 0
        self.layer, self.phase = 0, IDLE
        self.positions: tuple[int, ...] = ()
        self.residual = np.zeros((ROWS, DIM), np.int64)
        self.held = [[0] * LAYERS for _ in range(ROWS)]
        backoff = self.collective._backoff
        learn = backoff.learn

        def counted(gap: int) -> None:
            self.learned += 1
            learn(gap)

        backoff.learn = counted  # type: ignore[method-assign]

    def begin(self, residual: Any, positions: tuple[int, ...], number: int) -> None:
        """A step of so many rows, whose first collective has this number."""
        self.residual[: len(positions)] = residual
        self.positions, self.layer, self.phase = positions, 0, ATTENTION
        self.collective.start(EPOCH, number)
        self._contribute()

    def take(self, frame: bytes, length: int) -> bool:
        """A verified frame's; whether the step's last sum is there."""
        self.collective.take(bytearray(frame), length)
        while self.phase != IDLE and self.collective.done:
            if self.phase == FEED_FORWARD and self.layer + 1 == LAYERS:
                return True
            self.go_on()
        return False

    def go_on(self) -> None:
        """Adds a sum that is not the step's last, and contributes to the next."""
        self._add_sum()
        self.phase ^= 1
        self.layer += self.phase == ATTENTION
        self._contribute()

    def _add_sum(self) -> None:
        rows = len(self.positions)
        total = np.array(self.collective.result[: rows * DIM]).reshape(rows, DIM)
        at = 2 * self.layer + self.phase
        factors, _ = numbers_of(at)
        self.residual[:rows] = add_residual(self.residual[:rows], total, factors, drop_of(at))
        if self.phase == FEED_FORWARD:
            for row, position in enumerate(self.positions):
                self.held[row][self.layer] += self.held[row][self.layer] == position

    def answer(self, request: bytes, has_rows: bool = True) -> bytes:
        """Ends the step of a STEP frame with its last sum; the frame of its answer."""
        self.end()
        answer = bytearray(LONGEST)
        kind, length = self.write_answer(request, answer, has_rows)
        number = request[4] | request[5] << 8
        write_header(answer, 3 if self.signer else 2, kind, CHIP, HOST, number, length)
        return bytes(answer[: append_trailer(answer, length, self.signer)])

    def end(self) -> None:
        """Ends the step with its last sum."""
        self._add_sum()
        self.layer, self.phase = LAYERS, IDLE

    def write_answer(
        self, request: bytes, answer: bytearray, has_rows: bool = True
    ) -> tuple[int, int]:
        """Writes the answer to a STEP frame whose step has ended; its type, and its payload's
        length."""
        _, gain = numbers_of(2 * LAYERS)
        logits = rms_normalize(self.residual[:1], gain, LIMIT)[0] * 1000
        begin_answer(request, answer, BOOT_ID)
        kind, length = ACK, ACK_SIZE
        if has_rows and request[STEP_WANTS] == WANTS_BEST:
            kind, length = BEST, BEST_TOKEN - HEADER_SIZE + BEST_SIZE
            # Of equal ones the lowest come first.
            for place, best in enumerate(np.argsort(-logits, kind="stable")[:2]):
                put_u16(answer, BEST_TOKEN + BEST_PLACE * place, FIRST_ROW + int(best))
                put_u16(answer, BEST_LOGIT + BEST_PLACE * place, int(logits[best]) & 0xFFFF)
        elif has_rows and request[STEP_WANTS] != WANTS_NOTHING:
            kind, length = LOGITS, LOGITS_DATA - HEADER_SIZE + 2 * DIM
            put_u16(answer, LOGITS_FIRST_ROW, FIRST_ROW)
            answer[LOGITS_SHIFT] = EXPONENT
            answer[LOGITS_DATA : LOGITS_DATA + 2 * DIM] = logits.astype("<i2").tobytes()
        return kind, length

    def _contribute(self) -> None:
        rows = len(self.positions) if self.has_part[self.phase] else 0
        out = np.zeros((rows, DIM), np.int64)
        if rows:
            _, gain = numbers_of(2 * self.layer + self.phase)
            out = rms_normalize(self.residual[:rows], gain, LIMIT) * 1000
            out += np.array(self.positions)[:, None]
        self.collective.all_reduce(memoryview(array("i", out.reshape(-1).tolist())), rows * DIM)

    def _send(self, frame: bytearray, kind: int, dst: int, number: int, length: int) -> None:
        write_header(frame, 3 if self.signer else 2, kind, CHIP, dst, number, length)
        self.sent.append(bytes(frame[: append_trailer(frame, length, self.signer)]))


def contribution(
    chip: int, number: int, values: list[int], signer: Signer | None = None, room: int = ROOM,
    epoch: int = EPOCH,
) -> list[bytes]:  # fmt: skip
    """The frames with which another member contributes."""
    frames: list[bytes] = []

    def send(frame: bytearray, kind: int, dst: int, number: int, length: int) -> None:
        write_header(frame, 3 if signer else 2, kind, chip, dst, number, length)
        frames.append(bytes(frame[: append_trailer(frame, length, signer)]))

    collective = Collective(chip, MEMBERS, ROWS * DIM, BITS, room, send, 1)
    collective.start(epoch, number)
    collective.all_reduce(memoryview(array("i", values)), len(values))
    return frames


def step_frame(
    number: int, position: int, residual: list[int], wants: int, signer: Signer | None = None
) -> bytes:
    """The STEP frame of one position."""
    payload = encode_step(EPOCH, wants, position, 1, number, residual)
    frame = bytearray(HEADER_SIZE) + payload + bytes(12)
    frame[LAYER] = FIRST_LAYER
    size = seal(frame, 3 if signer else 2, STEP, HOST, BROADCAST, position, len(payload), signer)
    return bytes(frame[:size])


def payload_of(frame: bytes) -> int:
    """Bytes of a frame's payload."""
    return len(frame) - HEADER_SIZE - TRAILER_SIZE[frame[0]]
