"""Groups of chips that add up their partial sums, on an air in memory, and their host.

What they must answer is computed by the plain model, whole.
"""

from firmware.node import Node
from firmware.roles.all_reduce import AllReduce
from host.wire.payloads import encode_step_runs
from protocol import message_types
from protocol.frame import (
    BROADCAST,
    DST,
    HEADER_SIZE,
    HOST,
    SEQUENCE,
    SRC,
    TYPE,
    seal,
    verify_frame,
)
from protocol.message import FederationMessage
from tests.firmware.clock import CLOCK  # noqa: F401  no role here sees any other
from tests.firmware.nodes import BOOT_ID, MemoryLink, outbox_of
from tests.firmware.plain import PlainResidual, u16_buffer
from tests.firmware.samples import between
from tests.firmware.shards import Part, kernels_of, weights_of

RESIDUAL_LIMIT = (1 << 24) - 1


class AirLink(MemoryLink):
    """A member's way to the others and to the host."""

    def __init__(self, mtu, others):
        super().__init__(mtu)
        self.others = others  # links of the other members, to be filled
        self.lost = lambda frame: False
        self.broadcasts = 0

    def broadcast(self, frame, length):
        self.broadcasts += 1
        for other in self.others:
            sent = bytes(frame[:length])
            if not self.lost(sent):
                other.inbox.append(sent)


class Cluster:
    """Chips on an air in memory, and their host. links, nodes: those of the chips."""

    def send(self, kind, to, sequence, payload):
        """Sends a message to one chip or all."""
        frame = bytearray(HEADER_SIZE + len(payload) + 4)
        frame[HEADER_SIZE : HEADER_SIZE + len(payload)] = payload
        n = seal(frame, 2, kind, HOST, to, sequence, len(payload))
        for chip, link in enumerate(self.links):
            if to in (BROADCAST, chip):
                link.inbox.append(bytes(frame[:n]))

    def answers(self, turns=3):
        """What the chips have said to the host, after some turns without a frame on the air."""
        quiet = 0
        while quiet < turns:
            busy = [node.poll() for node in self.nodes]
            quiet = 0 if any(busy) else quiet + 1
        messages = []
        for link in self.links:
            for frame in link.sent:
                n = verify_frame(frame, len(frame))
                assert frame[DST] == HOST
                payload = frame[HEADER_SIZE : HEADER_SIZE + n]
                sequence = frame[SEQUENCE] | frame[SEQUENCE + 1] << 8
                message = FederationMessage(frame[TYPE], frame[SRC], HOST, sequence, payload)
                messages.append(message)
            link.sent = []
        return messages


class Group(Cluster):
    """Chips 0 to n - 1 with all of a model between them."""

    def __init__(self, model, chips, mtu=250, slots=1):
        self.model = model
        self.links = [AirLink(mtu, []) for _ in range(chips)]
        self.nodes, self.roles = [], []
        self.parts = [Part(model, chip, chips) for chip in range(chips)]
        for part, link in zip(self.parts, self.links):
            link.others.extend(other for other in self.links if other is not link)
            weights = weights_of(model, part, combine=True, slots=slots)
            outbox = outbox_of(part.chip, link, weights, boot_id=BOOT_ID + part.chip)
            role = AllReduce(outbox, weights, kernels_of(model), PlainResidual())
            self.roles.append(role)
            self.nodes.append(Node(outbox, role, weights.request_size))
        self.sequence = 0
        self.number = 0

    def step(self, residual, wants, position=0, sequence_id=1, to=BROADCAST, again=False):
        """Sends a STEP of activations [positions][dim] to one chip or all, with the next sequence
        number or the last once more."""
        runs = [(sequence_id, position, len(residual))]
        self.step_runs(residual, wants, runs, to, again)

    def step_runs(self, residual, wants, runs, to=BROADCAST, again=False):
        """The same for positions of several sequences; runs: as encode_step_runs has them."""
        flat = [value for row in residual for value in row]
        if not again:
            self.sequence += 1
        payload = encode_step_runs(wants, runs, self.number, flat)
        self.send(message_types.STEP, to, self.sequence, payload)

    def done(self):
        """Takes in that a step is over: the next one's collectives follow."""
        self.number = self.number + 2 * len(self.model.layers) & 0xFFFF


def embedded(model, count=1):
    """Random tokens' activations [count][dim] of the residual stream."""
    limit = 1 << between(4, 22)
    return [[between(-limit, limit) for _ in range(model.dim)] for _ in range(count)]


def expected_logits(model, residual, position):
    """What the whole model gives at the last of these positions; the cache is the model's own."""
    kernels = PlainResidual()
    dim = model.dim
    for i, row in enumerate(residual):
        stream, x = list(row), [0] * dim
        for index, layer in enumerate(model.layers):
            normalized(kernels, stream, layer.attention_norm, x)
            sums = model.attention(index, position + i, x, range(model.heads))
            added(kernels, stream, sums, layer.o)
            normalized(kernels, stream, layer.feed_forward_norm, x)
            added(kernels, stream, model.feed_forward(index, x, range(model.units)), layer.down)
        normalized(kernels, stream, model.final_norm, x)
    return model.logits(x, range(model.rows))


def normalized(kernels, stream, norm, x):
    gain = u16_buffer(norm.stored())
    kernels.norm(stream, 0, gain, 0, x, len(x), norm.shift, norm.epsilon, norm.limit)


def added(kernels, stream, sums, matrix):
    multipliers = u16_buffer(matrix.multipliers)
    kernels.add_rescaled(stream, 0, sums, multipliers, 0, len(stream), matrix.shift)
