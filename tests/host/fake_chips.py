"""Chips and the way to them in virtual time, for the coordinator's tests: nothing waits."""

import heapq
import itertools
import random

from protocol import message_types
from protocol.fragment import fragments
from protocol.frame import BROADCAST, HOST, MAX_FRAME, append_trailer, verify_frame, write_header
from protocol.message import FederationMessage
from protocol.messages import (
    STATE_READY,
    encode_error,
    encode_ready,
    encode_statistics,
)
from protocol.session import SESSION_NONCE_SIZE, ChipAuthenticator

LATENCY = 0.002  # seconds until a chip's answer, where a test says nothing else


class Clock:
    """Takes the place of time.monotonic."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def ready(boot_id, state=STATE_READY, nonce=bytes(8), model_hash=bytes(8), mtu=MAX_FRAME):
    """A READY payload; numbers that no test looks at are 1."""
    return encode_ready(
        boot_id, state, nonce, model_hash, bytes(8), 1, 1, 1, 1, 1, 1, 1, mtu, "0"
    )  # fmt: skip


class FakeChip:
    """Answers a COMPUTE with its own id and the payload, `delay` seconds later.

    on_compute: replaces that; given the message, it yields (delay, kind, payload).
    """

    def __init__(self, chip, delay=LATENCY, key=b""):
        self.chip, self.delay, self.key = chip, delay, key
        self.on_compute = self.echo
        self.model_hash = bytes(8)
        self.asked = []  # COMPUTE and STEP messages
        self.longest = MAX_FRAME  # frame that it says to send
        self.mtus = []  # the longest frames, in bytes, that DISCOVERYs allowed
        self.restart()

    def restart(self):
        """Power off and on."""
        self.boot_id = random.randrange(65536)
        self.signer = ChipAuthenticator(self.key, self.chip) if self.key else None
        self.mtu = MAX_FRAME

    def echo(self, message):
        yield self.delay, message_types.PARTIAL, message.payload + bytes([self.chip])

    def says(self, kind, payload, sequence):
        """The frames of a message to the host."""
        version = 3 if self.key else 2
        message = bytearray(MAX_FRAME)
        message[8 : 8 + len(payload)] = payload
        trailer = write_header(message, version, kind, self.chip, HOST, sequence, len(payload))
        if 8 + len(payload) + trailer <= self.mtu:
            return [bytes(message[: append_trailer(message, len(payload), self.signer)])]
        frame = bytearray(self.mtu)
        sizes = fragments(message, len(payload), self.mtu, frame, self.signer)
        return [bytes(frame[:size]) for size in sizes]

    def replies(self, frame):
        """(delay, frame) for each frame that answers this one."""
        try:
            length = verify_frame(frame, len(frame), self.signer)
        except Exception:
            return
        message = FederationMessage(
            frame[1], frame[2], frame[3], frame[4] | frame[5] << 8, frame[8 : 8 + length]
        )
        for delay, kind, payload in self.answers(message, frame, length):
            for part in self.says(kind, payload, message.sequence):
                yield delay, part

    def answers(self, message, frame, length):
        if message.kind == message_types.DISCOVERY:
            state = self.signer.state_after(frame, length) if self.signer else STATE_READY
            nonce = self.signer.nonce if self.signer else bytes(8)
            if length == SESSION_NONCE_SIZE + 2 and state == STATE_READY:
                self.mtus.append(int.from_bytes(message.payload[SESSION_NONCE_SIZE:], "little"))
            payload = ready(self.boot_id, state, nonce, self.model_hash, self.longest)
            yield self.delay, message_types.READY, payload
        elif message.kind == message_types.STATISTICS:
            counts = encode_statistics(*range(100 * self.chip, 100 * self.chip + 9))
            yield self.delay, message_types.STATISTICS, counts
        elif message.kind in (message_types.COMPUTE, message_types.STEP):
            self.asked.append(message)
            yield from self.on_compute(message)


def failure(code, text="", layer=0, position=0):
    """An on_compute that answers with an ERROR."""

    def on_compute(message):
        yield LATENCY, message_types.ERROR, encode_error(code, layer, position, text)

    return on_compute


def silence(message):
    """An on_compute without an answer."""
    return iter(())


class FakeTransport:
    """The way to fake chips. loss and duplicate: probabilities, each way and frame by itself."""

    def __init__(self, chips, clock, loss=0.0, duplicate=0.0, seed=0, mtu=MAX_FRAME):
        self.chips = {chip.chip: chip for chip in chips}
        self.clock, self.mtu = clock, mtu
        self.loss, self.duplicate = loss, duplicate
        self.sent = []  # (time, destination)
        self.kinds = []  # of each, its message's type
        self.full = set()  # chips whose port takes no more
        self.receives = 0  # how often it was asked for what has come
        self._random = random.Random(seed)
        self._arriving = []
        self._number = itertools.count()
        for chip in chips:
            chip.mtu = mtu

    def send(self, frame, destination):
        self.sent.append((self.clock.now, destination))
        self.kinds.append(frame[1])
        chips = self.chips.values() if destination == BROADCAST else [self.chips[destination]]
        for chip in chips:
            for _ in range(self._copies()):
                for delay, reply in chip.replies(frame):
                    for _ in range(self._copies()):
                        self.arrive(reply, delay)

    def times(self, kind):
        """When messages of a type were sent."""
        sent = zip(self.sent, self.kinds, strict=True)
        return [time for (time, _), its_kind in sent if its_kind == kind]

    def arrive(self, frame, delay):
        """A frame on the way to the host."""
        due = self.clock.now + delay
        heapq.heappush(self._arriving, (due, next(self._number), frame))

    def receive(self, timeout):
        self.receives += 1
        end = self.clock.now + max(timeout, 1e-6)
        if not self._arriving or self._arriving[0][0] > end:
            self.clock.now = end
            return []
        self.clock.now = max(self.clock.now, self._arriving[0][0])
        frames = []
        while self._arriving and self._arriving[0][0] <= self.clock.now:
            frames.append(heapq.heappop(self._arriving)[2])
        return frames

    def is_sending(self, chip):
        return chip in self.full

    def fall_back(self, chip):
        """Lines here have no speed."""

    def _copies(self):
        if self._random.random() < self.loss:
            return 0
        return 2 if self._random.random() < self.duplicate else 1
