"""Fake chips and the real coordinator that asks them."""

from host.cluster.coordinator import Coordinator
from host.cluster.dispatcher import Dispatcher
from host.wire.session import HostAuthenticator
from tests.host.fake_chips import FakeChip, FakeTransport

KEY = b"k" * 32
REQUEST = bytes(range(7)) + b"activations"


class FakeCluster:
    """Fake chips and their coordinator."""

    def __init__(
        self, clock, count=3, key=b"", watch=lambda: None, is_lossless=False, line_seconds=0.0,
        **way,
    ):  # fmt: skip
        self.clock = clock
        self.chips = [FakeChip(chip, key=key) for chip in range(count)]
        self.transport = FakeTransport(self.chips, clock, **way)
        self.signer = HostAuthenticator(key) if key else None
        self.dispatcher = Dispatcher(self.transport, range(count), self.signer)
        self.coordinator = Coordinator(
            self.dispatcher, watch=watch, is_lossless=is_lossless, line_seconds=line_seconds,
            clock=clock,
        )  # fmt: skip

    def compute(self, chips=None, where="attention of layer 2, position 7"):
        chips = list(range(len(self.chips))) if chips is None else chips
        return self.coordinator.compute(REQUEST, chips, where, "attention")

    def says(self, chip, kind, payload, sequence, delay=0.0):
        """A frame of a chip that nobody asked for."""
        for frame in self.chips[chip].says(kind, payload, sequence):
            self.transport.arrive(frame, delay)


def answers_of(*chips):
    return {chip: REQUEST + bytes([chip]) for chip in chips}
