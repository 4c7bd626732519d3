"""Records requests as a host would send them, and the sums that the chips' answers must have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from host.model import arithmetic
from host.model.arithmetic import INT16_LIMIT, Ints
from host.model.quantized import QuantizedModel
from host.model.reference import Reference
from host.model.transformer import final_activation
from host.wire.framing import encode_frame
from host.wire.payloads import encode_compute
from protocol.auth import Signer
from protocol.frame import BROADCAST, HEADER_SIZE, HOST, TRAILER_SIZE, seal
from protocol.message_types import COMPUTE
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY

SEQUENCE_ID = 1
SESSION_KEY = bytes(range(32))  # of version 3 frames, in a session that has begun


def line_frame(
    kind: int, src: int, sequence: int, payload: bytes, signer: Signer | None = None
) -> bytes:
    """Returns a message to all as on a serial line, in COBS with its end: of version 3 with a
    signer, else of version 2."""
    version, length = 3 if signer else 2, len(payload)
    frame = bytearray(HEADER_SIZE + length + TRAILER_SIZE[version])
    frame[HEADER_SIZE : HEADER_SIZE + length] = payload
    size = seal(frame, version, kind, src, BROADCAST, sequence & 0xFFFF, length, signer)
    return encode_frame(frame[:size])


@dataclass(frozen=True)
class Request:
    """One synchronization of one position: the activation, and the sum of all chips' answers
    (for the vocabulary: their logits one after another); token: at that position."""

    position: int
    layer: int
    phase: int
    x: Ints
    answer: Ints
    token: int = 0

    def payload(self) -> bytes:
        """Returns the payload of the COMPUTE message."""
        return encode_compute(
            SEQUENCE_ID, self.layer, self.phase, self.position, 1, self.x.astype("<i2").tobytes()
        )

    def frame(self, sequence: int, signer: Signer | None = None) -> bytes:
        """Returns the COMPUTE message on a UART, in COBS."""
        return line_frame(COMPUTE, HOST, sequence, self.payload(), signer)


@dataclass(frozen=True)
class Caches:
    """Keys and values of a text: [layers, KV heads, positions, head_dim]."""

    keys: Ints
    values: Ints


class _Recorder(Reference):
    """The reference model, which records what it would request from chips."""

    def __init__(self, model: QuantizedModel, context: int) -> None:
        super().__init__(model, context=context)
        self.requests: list[Request] = []
        self._token = 0

    def attention(self, index: int, x: Ints) -> Ints:
        return self._noted(index, PHASE_ATTENTION, x, super().attention(index, x))

    def feed_forward(self, index: int, x: Ints) -> Ints:
        return self._noted(index, PHASE_FEED_FORWARD, x, super().feed_forward(index, x))

    def step_greedily(self, token: int) -> int:
        """Runs one more token, and returns the most probable next one."""
        self._token = token
        x = final_activation(self.model, [token], self)
        classifier = self.model.classifier
        sums = classifier.product(x)
        logits = arithmetic.saturate(arithmetic.rescale(sums, classifier.rescale), INT16_LIMIT)
        self._noted(0, PHASE_VOCABULARY, x, logits)
        self.position += 1
        return int(np.argmax(logits[0]))

    def _noted(self, layer: int, phase: int, x: Ints, answer: Ints) -> Ints:
        request = Request(self.position, layer, phase, x[0], answer[0], self._token)
        self.requests.append(request)
        return answer


def requests(model: QuantizedModel, tokens: list[int], positions: int) -> list[Request]:
    """Returns all requests of `positions` positions: of the text that begins with `tokens`,
    continued greedily."""
    return record(model, tokens, positions)[0]


def record(
    model: QuantizedModel, tokens: list[int], positions: int
) -> tuple[list[Request], Caches]:
    """Returns what requests does, and the content of the KV caches after them."""
    recorder, token = _Recorder(model, positions), 0
    for position in range(positions):
        token = recorder.step_greedily(tokens[position] if position < len(tokens) else token)
    return recorder.requests, Caches(recorder.keys[:, 0], recorder.values[:, 0])
