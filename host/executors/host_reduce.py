"""A model running on a cluster: the forward pass whose matrix work is done by chips."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from host.cluster.coordinator import Coordinator, NeedsCache
from host.cluster.membership import MOST_RECOVERIES, Members, decoded
from host.errors import ClusterError
from host.model.arithmetic import Ints
from host.model.quantized import QuantizedModel
from host.model.transformer import final_activation
from host.parallel.layers import all_reduced
from host.parallel.plan import Plan
from host.wire.payloads import compute_payload, partial_from
from protocol.bitpack import packed_size
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY

_LOG = logging.getLogger("federation")

PHASES = {
    PHASE_ATTENTION: "attention",
    PHASE_FEED_FORWARD: "feed-forward",
    PHASE_VOCABULARY: "vocabulary",
}
# Called with layer, phase, first position, x, and each chip's answer in numbers.
Observer = Callable[[int, int, int, Ints, dict[int, Ints]], None]


class Federation(Members):
    """Runs one sequence at a time; equal to the reference to the bit.

    `synchronizations` counts requests to all chips, `caught_up` the times that a chip had to be
    given its cache anew. `observer`, where there is one, sees what chips answer.
    """

    def __init__(
        self,
        model: QuantizedModel,
        plan: Plan,
        coordinator: Coordinator,
        digests: Mapping[int, bytes],
    ) -> None:
        super().__init__(model, plan, coordinator, digests)
        self.observer: Observer | None = None
        # What attention was given at each layer and position: with it, a chip that lost its
        # cache can be given it again without the others.
        config = model.config
        self._history = np.zeros((config.layers, plan.context, config.dim), np.int16)
        self._recorded = [0] * config.layers
        self._owners = {
            PHASE_ATTENTION: [shard.chip for shard in plan.shards if shard.heads],
            PHASE_FEED_FORWARD: [shard.chip for shard in plan.shards if shard.units],
            PHASE_VOCABULARY: [shard.chip for shard in plan.shards if shard.rows],
        }

    def begin(self) -> None:
        """Starts a new sequence at position 0."""
        super().begin()
        self._recorded = [0] * len(self._recorded)

    def forward(self, tokens: Sequence[int]) -> Ints:
        """Logits [vocab] after the last of `tokens`, which continue the sequence.

        Several tokens go to the chips in requests of up to plan.positions positions each.
        """
        self._check_room(tokens)
        for start in range(0, len(tokens), self.plan.positions):
            chunk = tokens[start : start + self.plan.positions]
            x = final_activation(self.model, chunk, self)
            self.position += len(chunk)
        return self._logits(x[-1:])

    def attention(self, layer: int, x: Ints) -> Ints:
        """The chips' partial sums [n, dim] for attention at the next n positions, added up."""
        seen = self.position + len(x)
        self._history[layer, self.position : seen] = x
        total = self._partial_sum(layer, PHASE_ATTENTION, x)
        self._recorded[layer] = seen
        return total

    def feed_forward(self, layer: int, x: Ints) -> Ints:
        """The chips' partial sums [n, dim] of a feed-forward layer, added up."""
        return self._partial_sum(layer, PHASE_FEED_FORWARD, x)

    def _logits(self, x: Ints) -> Ints:
        logits = np.empty(self.model.config.vocab_size, np.int64)

        def take(chip: int, payload: bytes) -> None:
            self._take_logits(logits, chip, payload)

        self._computed(0, PHASE_VOCABULARY, self.position - 1, x, take)
        if self.observer:
            shards = [self.plan.shards[chip] for chip in self._owners[PHASE_VOCABULARY]]
            parts = {shard.chip: logits[shard.rows.start : shard.rows.stop] for shard in shards}
            self.observer(0, PHASE_VOCABULARY, self.position - 1, x, parts)
        return logits

    def _partial_sum(self, layer: int, phase: int, x: Ints) -> Ints:
        parts: dict[int, Ints] = {}

        def take(chip: int, payload: bytes) -> None:
            part = decoded(chip, partial_from, payload)
            if len(part.data) != packed_size(x.size, part.bits):
                raise ClusterError(f"chip {chip} sent a partial sum of the wrong size")
            parts[chip] = unpacked(part.data, x.size, part.bits)

        self._computed(layer, phase, self.position, x, take)
        if self.observer:
            self.observer(layer, phase, self.position, x, parts)
        return all_reduced(list(parts.values())).reshape(x.shape)

    def _computed(
        self,
        layer: int,
        phase: int,
        position: int,
        x: Ints,
        take: Callable[[int, bytes], None],
    ) -> None:
        """Has each owner's answer taken as it comes, once or, after a chip's restart, again."""
        self.synchronizations += 1
        data = x.astype("<i2").tobytes()
        payload = compute_payload(self._sequence_id, layer, phase, position, len(x), data)
        where = f"{PHASES[phase]} of layer {layer}, position {position}"
        if phase == PHASE_VOCABULARY:
            where = f"vocabulary, position {position}"
        behind: int | None = None
        restarts: Counter[int] = Counter()
        while True:
            try:
                if behind is not None:
                    self._catch_up(behind, where)  # in which it may restart again
                    behind = None
                kind = phase, len(x)
                answers = self._answers(
                    self._coordinator.compute, payload, self._owners[phase], where, kind, take
                )
            except NeedsCache as need:
                behind = need.chip
                restarts[behind] += 1
                if restarts[behind] > MOST_RECOVERIES:
                    raise ClusterError(f"chip {behind} keeps restarting ({where})") from None
            else:
                self._notice_restarts(answers, where)
                return

    def _catch_up(self, chip: int, where: str) -> None:
        """Gives a chip the keys and values of all positions so far, from the recorded inputs."""
        self.caught_up += 1
        _LOG.info("chip %d lost its cache: giving it %d positions", chip, max(self._recorded))
        self._greet([chip], where)
        for layer, recorded in enumerate(self._recorded):
            for start in range(0, recorded, self.plan.positions):
                x = self._history[layer, start : min(start + self.plan.positions, recorded)]
                payload = compute_payload(
                    self._sequence_id, layer, PHASE_ATTENTION, start, len(x),
                    x.astype("<i2").tobytes(),
                )  # fmt: skip
                where = f"catching up, layer {layer}, position {start}"
                kind = PHASE_ATTENTION, len(x)
                self._answers(self._coordinator.compute, payload, [chip], where, kind)


def unpacked(data: bytes, count: int, bits: int) -> Ints:
    """The `count` integers that protocol/bitpack.py packed into fields of `bits` bits, at most 32.

    Each field lies in the 64-bit word that begins at its first byte; two shifts cut it out and
    extend its sign.
    """
    first_bytes, left = _fields(count, bits)
    padded = data + bytes(8)
    words = np.ndarray(len(data), "<i8", padded, strides=1)
    values: Ints = words[first_bytes] << left >> (64 - bits)
    return values


@functools.cache
def _fields(count: int, bits: int) -> tuple[Ints, Ints]:
    """First byte of each field, and by how much its word is shifted to have it at the top."""
    first_bits = np.arange(count) * bits
    return first_bits >> 3, 64 - bits - (first_bits & 7)
