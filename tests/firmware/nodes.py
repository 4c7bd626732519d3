"""A node on a link in memory, and a host that talks to it in frames."""

import gc

from firmware import node as node_module
from firmware.node import Node
from firmware.outbox import Outbox
from firmware.roles.faulty import Faulty
from firmware.roles.host_reduce import HostReduce
from protocol import message_types
from protocol.fragment import Reassembler, fragments
from protocol.frame import (
    HEADER_SIZE,
    HOST,
    MAX_FRAME,
    SEQUENCE,
    TYPE,
    seal,
    verify_frame,
    write_header,
)
from protocol.message import FederationMessage
from tests.firmware.requests import compute
from tests.firmware.shards import kernels_of, weights_of

HEAP_USED, HEAP_FREE = 70000, 90000
BOOT_ID = 0xB007


class _ChipHeap:
    """MicroPython's gc module, for CPython; collecting there takes long in a whole test run."""

    @staticmethod
    def collect():
        pass

    @staticmethod
    def mem_alloc():
        return HEAP_USED

    @staticmethod
    def mem_free():
        return HEAP_FREE


if not hasattr(gc, "mem_free"):
    node_module.gc = _ChipHeap


class MemoryLink:
    """A link whose frames, like a radio's, are no longer than what was sent."""

    def __init__(self, mtu=MAX_FRAME):
        self.mtu = mtu
        self.dropped = 0
        self.frame = None
        self.inbox = []
        self.sent = []

    def receive(self):
        if not self.inbox:
            return 0
        self.frame = bytearray(self.inbox.pop(0))
        return len(self.frame)

    def send(self, frame, length):
        self.sent.append(bytes(frame[:length]))

    answer = send

    def broadcast(self, frame, length):
        raise AssertionError("nothing is for other chips")

    def keep_sender(self):
        pass


def outbox_of(chip_id, link, weights=None, signer=None, boot_id=BOOT_ID):
    """The Outbox of a chip with these weights."""
    sizes = (weights.request_size, weights.answer_size) if weights else ()
    return Outbox(chip_id, link, boot_id, signer, *sizes)


class Bench:
    """One node, number `chip_id`, and its host.

    With a part, a shard of the model at work with plain kernels; without, a node with a fault.
    """

    def __init__(self, model=None, part=None, chip_id=0, mtu=MAX_FRAME, signer=None, fault=""):
        self.link = MemoryLink(mtu)
        self.chip_id = chip_id
        if part:
            self.weights = weights_of(model, part)
            self.kernels = kernels_of(model)
            self.outbox = outbox_of(chip_id, self.link, self.weights, signer)
            self.role = HostReduce(self.outbox, self.weights, self.kernels)
            self.node = Node(self.outbox, self.role, self.weights.request_size)
        else:
            self.outbox = outbox_of(chip_id, self.link, None, signer)
            self.role = Faulty(self.outbox, fault)
            self.node = Node(self.outbox, self.role)
        self.host_signer = None
        self.sequence = 0
        self.mtu = mtu
        self._reassembler = Reassembler(1, 2048)

    def answers(self, *frames):
        """The messages with which the node answers these frames."""
        self.link.inbox.extend(frames)
        self.link.sent = []
        while self.node.poll():
            pass
        messages = [self._opened(frame) for frame in self.link.sent]
        return [message for message in messages if message]

    def answer(self, kind, payload, sequence=None):
        """The one message that answers this payload; AssertionError if there are none or more."""
        (message,) = self.answers(*self.frames(kind, payload, sequence))
        assert (message.src, message.dst) == (self.chip_id, HOST)
        assert message.sequence == (self.sequence if sequence is None else sequence)
        return message

    def computed(self, *arguments, **options):
        """The message that answers a COMPUTE of these arguments (tests/firmware/requests.py)."""
        return self.answer(message_types.COMPUTE, compute(*arguments, **options))

    def frames(self, kind, payload, sequence=None, dst=None):
        """The frames of a message from the host, by default with the next sequence number."""
        if sequence is None:
            self.sequence = sequence = self.sequence + 1
        dst = self.chip_id if dst is None else dst
        version = 3 if self.host_signer else 2
        overhead = 20 if self.host_signer else 12
        message = bytearray(len(payload) + 20)
        message[HEADER_SIZE : HEADER_SIZE + len(payload)] = payload
        if overhead + len(payload) <= self.mtu:
            n = seal(message, version, kind, HOST, dst, sequence, len(payload), self.host_signer)
            return [bytes(message[:n])]
        write_header(message, version, kind, HOST, dst, sequence, len(payload))
        frame = bytearray(self.mtu)
        return [
            bytes(frame[:n])
            for n in fragments(message, len(payload), self.mtu, frame, self.host_signer)
        ]

    def _opened(self, frame):
        assert len(frame) <= self.mtu
        length = verify_frame(frame, len(frame), self.host_signer)
        if frame[TYPE] != message_types.FRAGMENT:
            return _message(frame, length)
        length = self._reassembler.accept(frame, length)
        return _message(self._reassembler.message, length) if length else None


def _message(frame, length):
    payload = bytes(frame[HEADER_SIZE : HEADER_SIZE + length])
    sequence = frame[SEQUENCE] | frame[SEQUENCE + 1] << 8
    return FederationMessage(frame[TYPE], frame[2], frame[3], sequence, payload, frame[0])
