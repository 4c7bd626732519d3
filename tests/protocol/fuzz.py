"""Random, mutated and maliciously sealed frames through every decoder there is."""

import random

from host.wire import payloads, ruvllm
from host.wire import reports as control
from protocol import message_types
from protocol import messages as reports
from protocol.auth import Signer
from protocol.fragment import Reassembler, fragments
from protocol.frame import (
    HEADER_SIZE,
    HOST,
    MAX_FRAME,
    TYPE,
    ProtocolError,
    seal,
    verify_frame,
    write_header,
)
from protocol.frame_v1 import MAX_PAYLOAD_V1, encode_frame_v1, verify_frame_v1
from tests.protocol.frame_reader import FrameReader
from tests.protocol.noise import below, flipped, random_bytes

KEY = b"a session key of thirty-two byte"

DECODERS = {
    message_types.COMPUTE: payloads.decode_compute,
    message_types.PARTIAL: payloads.decode_partial,
    message_types.LOGITS: payloads.decode_logits,
    message_types.ACTIVATION: ruvllm.decode_activation,
    message_types.TOKEN: ruvllm.decode_token,
    message_types.BARRIER: ruvllm.decode_barrier,
    message_types.DRAFT_TOKENS: ruvllm.decode_draft_tokens,
    message_types.READY: control.decode_ready,
    message_types.ERROR: control.decode_error,
    message_types.STATISTICS: control.decode_statistics,
}

SOUND_PAYLOADS = (
    (message_types.COMPUTE, payloads.encode_compute(1, 2, 1, 3, 2, bytes(range(64)))),
    (message_types.PARTIAL, payloads.encode_partial(1, 2, 1, 3, 2, 9, 13, bytes(range(32)))),
    (message_types.LOGITS, payloads.encode_logits(1, 2, 2, 3, 1, 9, 8, 7, bytes(range(40)))),
    (message_types.ACTIVATION, ruvllm.encode_activation(1, 2, b"12345678")),
    (message_types.TOKEN, ruvllm.encode_token(3)),
    (message_types.BARRIER, ruvllm.encode_barrier(4)),
    (message_types.DRAFT_TOKENS, ruvllm.encode_draft_tokens([1, 2, 3])),
    (
        message_types.READY,
        reports.encode_ready(
            1, 0, bytes(8), bytes(8), bytes(8), 1, 2, 3, 4, 5, 6, 7, 250, "version"
        ),
    ),
    (message_types.ERROR, reports.encode_error(1, 2, 3, "wörds")),
    (message_types.STATISTICS, bytes(36)),
)


def fragment_payloads():
    """The payloads of the fragments of one message."""
    message = bytearray(HEADER_SIZE) + random_bytes(700)
    write_header(message, 2, message_types.PARTIAL, 1, HOST, 5, 700)
    frame = bytearray(250)
    return [
        (message_types.FRAGMENT, bytes(frame[HEADER_SIZE : n - 4]))
        for n in fragments(message, 700, 250, frame)
    ]


class Storm:
    """A receiver's decoders, all with state, and what is thrown at them."""

    def __init__(self, seed):
        random.seed(seed)
        self.opened = 0
        self.refused = 0
        self.decoded = 0
        self.reassembled = 0
        self.read = 0
        self._buf = bytearray(MAX_FRAME)
        self._sender = Signer(KEY)
        self._receiver = Signer(KEY)
        self._reassembler = Reassembler(2, 1000)
        self._reader = FrameReader(300)
        self._corpus = list(SOUND_PAYLOADS) + 3 * fragment_payloads()

    def run(self, count):
        """Throws `count` frames. Whatever is not a ProtocolError passes through."""
        for _ in range(count):
            self._throw(self._frame())

    def _frame(self):
        """A frame of random bytes, a sound one, or one mutated before or after sealing."""
        how = below(5)
        if how == 0:
            data = random_bytes(below(40))
            if len(data) > 8 and below(2):  # past the header's checks
                data[0] = 1 + below(3)
                data[6] = len(data) - HEADER_SIZE - (1, 4, 12)[data[0] - 1] & 255
                data[7] = 0
            return data
        kind, payload = self._corpus[below(len(self._corpus))]
        if how == 1:
            payload = self._mutated(payload)
        elif how == 2:
            kind, payload = below(256), random_bytes(below(30))
        # Fragments mostly of one version, or hardly a message would ever be finished.
        version = 2 if kind == message_types.FRAGMENT and below(8) else 1 + below(3)
        frame = self._sealed(version, kind, payload)
        return self._mutated(frame) if how == 3 else frame

    def _sealed(self, version, kind, payload):
        self._buf[HEADER_SIZE : HEADER_SIZE + len(payload)] = payload
        signer = self._sender if version == 3 else None
        src = 253 + below(2)
        if version == 1:
            return bytearray(encode_frame_v1(kind, src, HOST, 5, payload[:MAX_PAYLOAD_V1]))
        n = seal(self._buf, version, kind, src, HOST, 5, len(payload), signer)
        return bytearray(memoryview(self._buf)[:n])

    def _mutated(self, data):
        """The data with a bit flipped, cut short, or lengthened."""
        how = below(4)
        if how == 0 or len(data) == 0:
            return data + random_bytes(1 + below(9))
        if how == 1:
            return data[: below(len(data))]
        return flipped(data, below(8 * len(data)))

    def _throw(self, frame):
        signer = self._receiver if below(4) == 0 or frame[:1] == b"\3" else None
        try:
            of_version_1 = frame[:1] == b"\1" and not signer
            if of_version_1:
                length = verify_frame_v1(frame)
            else:
                length = verify_frame(frame, len(frame), signer)
            self.opened += 1
            if frame[TYPE] == message_types.FRAGMENT and not of_version_1:
                self.reassembled += self._reassembler.accept(frame, length) > 0
            elif frame[TYPE] in DECODERS:
                DECODERS[frame[TYPE]](frame[HEADER_SIZE : HEADER_SIZE + length])
                self.decoded += 1
        except ProtocolError:
            self.refused += 1
        self._reader.feed(frame, len(frame))
        while self._reader.next():
            self.read += 1
