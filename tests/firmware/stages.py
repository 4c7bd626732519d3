"""A pipeline of stages on an air in memory, and its host.

What it must answer is computed by the plain model, whole.
"""

from firmware.compute.shard import load_weights
from firmware.node import Node
from firmware.roles.handover import LONGEST_TIMEOUT_MS
from firmware.roles.pipeline import Pipeline as Role
from host.wire.payloads import encode_step
from protocol.frame import BROADCAST
from protocol.message_types import ACK, STEP
from tests.firmware.clock import CLOCK
from tests.firmware.groups import AirLink, Cluster
from tests.firmware.nodes import BOOT_ID, outbox_of
from tests.firmware.plain import PlainResidual
from tests.firmware.shards import Part, file_of, in_file, kernels_of


class _Stage:
    """The part of a model that is a stage: as a TinyModel with fewer layers and maybe no rows."""

    def __init__(self, model, first, end, last):
        for name in ("dim", "head_dim", "heads", "kv_heads", "units", "context", "positions",
                     "classifier", "rope", "logit_exponent", "final_norm", "int8_kv"):  # fmt: skip
            setattr(self, name, getattr(model, name))
        self.layers = model.layers[first:end]
        self.rows = model.rows if last else 0


class Pipeline(Cluster):
    """Chips in groups of these sizes, each a stage of one layer of `model`."""

    def __init__(self, model, groups, slots=2, mtu=250):
        self.model = model
        count = sum(groups)
        self.links = [AirLink(mtu, []) for _ in range(count)]
        for link in self.links:
            link.others.extend(other for other in self.links if other is not link)
        self.nodes, self.roles = [], []
        first = 0
        for at, size in enumerate(groups):
            members = list(range(first, first + size))
            first += size
            following = groups[at + 1] if at + 1 < len(groups) else 0
            stage = _Stage(model, at, at + 1, not following)
            for rank in range(size):
                self._add(stage, at, rank, members, list(range(first, first + following)), slots)
        self.first = range(groups[0])
        self.number = 0
        self.heard = []

    def _add(self, stage, at, rank, members, following, slots):
        chip = members[rank]
        data = file_of(
            stage, Part(stage, rank, len(members)), combine=True, chip=chip, members=members,
            first_layer=at, next=following, slots=slots,
        )  # fmt: skip
        weights = in_file(data, load_weights, chip)
        outbox = outbox_of(chip, self.links[chip], weights, boot_id=BOOT_ID + chip)
        role = Role(outbox, weights, kernels_of(self.model), PlainResidual())
        self.roles.append(role)
        self.nodes.append(Node(outbox, role, weights.request_size))

    def step(self, residual, wants, position=0, sequence_id=1, again=False):
        """Sends a STEP of activations [positions][dim] to the first stage; its number."""
        flat = [value for row in residual for value in row]
        self.number += not again
        payload = encode_step(sequence_id, wants, position, len(residual), self.number, flat)
        to = 0 if len(self.first) == 1 else BROADCAST
        self.send(STEP, to, self.number, payload)
        return self.number

    def acknowledge(self, message):
        """The host's acknowledgement of an answer."""
        self.send(ACK, message.src, message.sequence, message.payload[:7] + b"\0\0")

    def send_again(self):
        """Lets so much time pass that what is not acknowledged is sent again."""
        CLOCK.pass_ms(LONGEST_TIMEOUT_MS)
