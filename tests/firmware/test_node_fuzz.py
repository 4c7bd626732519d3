"""Random, mutated and maliciously sealed frames: a node answers or drops them, and goes on."""

import random

from host.wire.reports import decode_statistics
from host.wire.session import HostAuthenticator
from protocol import message_types
from protocol.frame import HEADER_SIZE
from protocol.message import FederationMessage
from protocol.session import ChipAuthenticator
from tests.firmware.nodes import Bench
from tests.firmware.requests import compute
from tests.firmware.shards import Part
from tests.firmware.test_node_secure import KEY, joined
from tests.firmware.tiny import TinyModel
from tests.protocol.noise import below, flipped, random_bytes

FRAMES = 6000  # `verify` throws more at a node (tests/test_under_micropython.py)
SECURE_FRAMES = 1500
MTU = 250  # the least there is


def small_model():
    """One whose longest request is longer than a frame."""
    return TinyModel(
        seed=1, dim=8, head_dim=4, heads=2, kv_heads=1, units=3, rows=3, layers=1, context=20,
        positions=16,
    )  # fmt: skip


class Storm:
    """Frames thrown at a node, by themselves or sealed as its host would."""

    def __init__(self, bench, model):
        self._bench = bench
        x = model.activations(16)
        self._corpus = [
            (message_types.COMPUTE, compute(x[:count], 0, phase, position, 1))
            for phase in (0, 1, 2)
            for count, position in ((1, 0), (2, 0), (1, 4), (2, 19))
        ]
        self._corpus += [(message_types.DISCOVERY, bytes(16)), (message_types.STATISTICS, b"\1")]
        # Fragments often, and of one sequence number, so that some of them make a message.
        self._corpus += 4 * [
            (message_types.FRAGMENT, bytes(frame[HEADER_SIZE:-4]))
            for frame in Bench(mtu=MTU - 8).frames(message_types.COMPUTE, compute(x, phase=1))
        ]

    def frame(self):
        how = below(6)
        if how == 0:
            return random_bytes(below(60))
        kind, payload = self._corpus[below(len(self._corpus))]
        if how == 1:
            payload = payload[: below(len(payload) + 1)]
        elif how == 2 and payload:
            payload = flipped(payload, below(8 * len(payload)))
        elif how == 3:
            kind, payload = below(256), random_bytes(below(40))
        sequence = 5 if kind == message_types.FRAGMENT else below(65536)
        (frame,) = self._bench.frames(kind, payload, sequence)
        if how == 4:
            return flipped(frame, below(8 * len(frame)))
        return frame

    def run(self, count):
        """Throws `count` frames; how many answers came."""
        answers = 0
        for _ in range(count):
            answers += len(self._bench.answers(self.frame()))
        return answers


def alive(bench):
    statistics = decode_statistics(bench.answer(message_types.STATISTICS, b"\0").payload)
    return statistics.frames_dropped, statistics.frames_received


def check_storm(frames):
    """Throws so many frames, and holds what became of them to what must."""
    random.seed(5)
    model = small_model()
    bench = Bench(model, Part(model), mtu=MTU)
    answers = Storm(bench, model).run(frames)
    dropped, received = alive(bench)
    assert answers > frames // 5
    assert dropped > frames // 10
    assert received > frames // 2


def test_random_frames_are_answered_or_dropped():
    check_storm(FRAMES)


def test_random_frames_to_a_node_with_a_key():
    random.seed(6)
    model = small_model()
    bench = Bench(model, Part(model), mtu=MTU, signer=ChipAuthenticator(KEY, 0))
    bench.host_signer = HostAuthenticator(KEY)
    joined(bench)
    storm = Storm(bench, model)
    assert storm.run(SECURE_FRAMES) > SECURE_FRAMES // 10
    assert alive(bench)[0] > SECURE_FRAMES // 10


def test_random_frames_to_a_node_without_a_share():
    random.seed(7)
    bench = Bench(mtu=MTU, fault="MemoryError: memory allocation failed")
    assert Storm(bench, small_model()).run(SECURE_FRAMES) > SECURE_FRAMES // 5


def test_version_1_frames_of_every_length():
    model = small_model()
    bench = Bench(model, Part(model))
    for kind in (message_types.COMPUTE, message_types.DISCOVERY, message_types.STATISTICS, 0x50):
        for length in range(40):
            frame = FederationMessage(kind, 254, 0, 1, bytes(length), 1).encode()
            assert len(bench.answers(frame)) <= 1
