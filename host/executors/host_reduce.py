"""Host reduce: chips send their partial sums to the host, which adds them up.

The host keeps the residual stream, and computes norms and rescaling.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping

import numpy as np

from host.cluster.coordinator import Coordinator
from host.cluster.dispatcher import decode_answer
from host.cluster.request import NeedsCache, OnAnswer
from host.errors import ClusterError
from host.executors.arithmetic_check import (
    PHASES,
    Observer,
    arithmetic_observer,
    check_tokens,
)
from host.executors.batch import Batch, BatchExecutor, Row, Run
from host.executors.executor import Sequence
from host.executors.logits import no_logits, put_scores
from host.model.arithmetic import Ints
from host.model.quantized import QuantizedModel
from host.model.transformer import final_activation
from host.parallel.layers import all_reduce
from host.parallel.plan import Plan
from host.wire.payloads import decode_partial, encode_compute_runs
from protocol.bitpack import packed_size
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY

_LOG = logging.getLogger("federation")


class AttentionInputs:
    """The inputs of attention at each layer and position of a sequence.

    From them, a chip that has lost its KV cache can compute it again without the others.
    """

    def __init__(self, layers: int, context: int, dim: int) -> None:
        self._x = np.zeros((layers, context, dim), np.int16)
        self._lengths = [0] * layers  # by layer: the positions that all chips' caches hold

    @property
    def positions(self) -> int:
        """The number of positions of the layer that has most."""
        return max(self._lengths)

    def clear(self) -> None:
        """Forgets all, for a new sequence."""
        self._lengths = [0] * len(self._lengths)

    def put(self, layer: int, position: int, x: Ints) -> None:
        """Records x [dim] of a position; it counts only once it was committed."""
        self._x[layer, position] = x

    def commit(self, layer: int, end: int) -> None:
        """Records that all chips' caches hold the positions up to `end`."""
        self._lengths[layer] = end

    def chunks(self, layer: int, positions: int) -> list[tuple[int, Ints]]:
        """Returns first position and x [n, dim] of each request of up to `positions` positions."""
        end = self._lengths[layer]
        starts = range(0, end, positions)
        x = self._x[layer].astype(np.int64)
        return [(start, x[start : min(start + positions, end)]) for start in starts]


class HostReduceExecutor(BatchExecutor):
    """Runs as many sequences together as the plan has slots.

    `observer`, unless None, sees the chips' answers.
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
        config = model.config
        self._inputs = [
            AttentionInputs(config.layers, plan.context, config.dim) for _ in range(plan.slots)
        ]
        self._batch = Batch((), 0)
        self._owners = {
            PHASE_ATTENTION: [shard.chip for shard in plan.shards if shard.heads],
            PHASE_FEED_FORWARD: [shard.chip for shard in plan.shards if shard.units],
            PHASE_VOCABULARY: [shard.chip for shard in plan.shards if shard.rows],
        }

    def open(self) -> Sequence:
        """Returns a new sequence in a free slot. Raises ValueError if there is none."""
        sequence = super().open()
        self._inputs[sequence.slot].clear()
        return sequence

    def _run(self, batch: Batch) -> Ints:
        """Runs a batch; returns the logits [scored, vocab] after its scored rows."""
        self._batch = batch
        x = final_activation(self.model, batch.tokens, self)
        return self._logits(x[len(x) - batch.scored :])

    def attention(self, layer: int, x: Ints) -> Ints:
        """Returns the sum of the chips' partial sums [n, dim] of attention, for the batch's rows.

        x: int16 inputs [n, dim].
        """
        for row, its_x in zip(self._batch.rows, x, strict=True):
            self._inputs[row.sequence.slot].put(layer, row.position, its_x)
        total = self._partial_sum(layer, PHASE_ATTENTION, x)
        for row in self._batch.rows:
            self._inputs[row.sequence.slot].commit(layer, row.position + 1)
        return total

    def feed_forward(self, layer: int, x: Ints) -> Ints:
        """Returns the sum of the chips' partial sums [n, dim] of a feed-forward layer."""
        return self._partial_sum(layer, PHASE_FEED_FORWARD, x)

    def check_arithmetic(self) -> None:
        """Runs some tokens as a sequence of its own, and verifies every answer.

        Raises ClusterError for the first chip whose answer is not what its shard must give.
        """
        self.observer = arithmetic_observer(self.model, self.plan)
        try:
            self.begin()
            tokens = check_tokens(self.plan)
            self.forward(tokens[:-1] or tokens)
            if len(tokens) > 1:
                self.forward(tokens[-1:])
        finally:
            self.observer = None
            self._close_all()

    def _logits(self, x: Ints) -> Ints:
        """Returns the logits [n, vocab] of the classifier's inputs x [n, dim], which are those of
        the batch's last rows; it takes as many requests as the answers' size demands."""
        logits = no_logits(self.plan, len(x))
        for start in range(0, len(x), self.plan.scored):
            part = slice(start, start + self.plan.scored)
            rows = self._batch.scored_rows[part]
            self._score(rows[0], x[part], logits[part])
        return logits

    def _score(self, first: Row, x: Ints, logits: Ints) -> None:
        """Fills `logits` [n, vocab] with what chips compute of x [n, dim]; first: the first
        row."""

        def on_answer(chip: int, payload: bytes) -> None:
            put_scores(self.plan, logits, chip, payload)

        run = first.sequence.sequence_id, first.position, len(x)
        self._compute(0, PHASE_VOCABULARY, [run], x, on_answer)
        if self.observer:
            shards = [self.plan.shards[chip] for chip in self._owners[PHASE_VOCABULARY]]
            parts = {
                shard.chip: logits[:, shard.rows.start : shard.rows.stop].reshape(-1)
                for shard in shards
            }
            self.observer(0, PHASE_VOCABULARY, first.position, x, parts)

    def _partial_sum(self, layer: int, phase: int, x: Ints) -> Ints:
        parts: dict[int, Ints] = {}

        def on_answer(chip: int, payload: bytes) -> None:
            part = decode_answer(chip, decode_partial, payload)
            if len(part.data) != packed_size(x.size, part.bits):
                raise ClusterError(f"chip {chip} sent a partial sum of the wrong size")
            parts[chip] = unpack(part.data, x.size, part.bits)

        runs = self._batch.runs
        if phase != PHASE_ATTENTION:  # only attention must distinguish sequences
            runs = [(*runs[0][:2], len(x))]
        self._compute(layer, phase, runs, x, on_answer)
        if self.observer:
            self.observer(layer, phase, runs[0][1], x, parts)
        return all_reduce(list(parts.values())).reshape(x.shape)

    def _compute(
        self, layer: int, phase: int, runs: list[Run], x: Ints, on_answer: OnAnswer
    ) -> None:
        """Makes the chips that take part in a phase compute it; replays a cache that was lost.

        on_answer: called with each answer, and again after a chip has restarted.
        """
        self.synchronizations += 1
        chips, timing = self._owners[phase], (phase, len(x))
        where = f"{PHASES[phase]} of layer {layer}, position {runs[0][1]}"
        if phase == PHASE_VOCABULARY:
            where = f"vocabulary, position {runs[0][1]}"
        payload = encode_compute_runs(layer, phase, runs, x.astype("<i2").tobytes())
        lost: int | None = None
        while True:
            try:
                if lost is not None:
                    self._replay(lost, where)  # the chip may restart again during that
                    lost = None
                answers = self._membership.ask(
                    self._coordinator.compute, payload, chips, where, timing, on_answer
                )
            except NeedsCache as need:
                lost = need.chip
                self._membership.count_loss(lost, where)
            else:
                self._membership.verify_restarted(answers, where)
                return

    def _replay(self, chip: int, where: str) -> None:
        """Makes a chip compute the keys and values of all positions so far from recorded
        inputs."""
        self.recoveries += 1
        positions = max(self._inputs[slot].positions for slot in self._sequences)
        _LOG.info("chip %d lost its cache: replaying %d positions", chip, positions)
        self._membership.handshake([chip], where)
        for slot, sequence in self._sequences.items():
            for layer in range(self.model.config.layers):
                for start, x in self._inputs[slot].chunks(layer, self.plan.positions):
                    run = sequence.sequence_id, start, len(x)
                    data = x.astype("<i2").tobytes()
                    payload = encode_compute_runs(layer, PHASE_ATTENTION, [run], data)
                    where = f"replay, layer {layer}, position {start}"
                    timing = PHASE_ATTENTION, len(x)
                    self._membership.ask(self._coordinator.compute, payload, [chip], where, timing)


EXECUTOR = HostReduceExecutor


def unpack(data: bytes, count: int, bits: int) -> Ints:
    """Returns the `count` integers that protocol/bitpack.py packed into fields of `bits` <= 32
    bits.

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
    """Returns the first byte of each field, and the shift that brings it to the top of its
    word."""
    first_bits = np.arange(count) * bits
    return first_bits >> 3, 64 - bits - (first_bits & 7)
