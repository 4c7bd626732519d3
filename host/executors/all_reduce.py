"""A model running on chips that add up their partial sums among themselves.

The host embeds tokens and reads what the last layer gives; the residual stream is the chips'.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from host.cluster.coordinator import Coordinator, NeedsCache
from host.cluster.membership import MOST_RECOVERIES, Members, decoded
from host.errors import ClusterError
from host.model.arithmetic import INT16_LIMIT, Ints
from host.model.quantized import QuantizedModel
from host.parallel.plan import Plan
from host.wire.payloads import best_from, step_payload
from protocol.messages import WANTS_BEST, WANTS_LOGITS, WANTS_NOTHING

_LOG = logging.getLogger("federation")


class CombinedFederation(Members):
    """Runs one sequence at a time; equal to the reference to the bit.

    With `greedy`, chips answer with their best token each in place of all logits, which is all
    that greedy decoding looks at.
    """

    def __init__(
        self,
        model: QuantizedModel,
        plan: Plan,
        coordinator: Coordinator,
        digests: Mapping[int, bytes],
        greedy: bool = False,
    ) -> None:
        super().__init__(model, plan, coordinator, digests)
        self.greedy = greedy
        self._number = 0  # of the next collective
        self._tokens: list[int] = []  # of the sequence, for chips that lost their cache
        self._chips = [shard.chip for shard in plan.shards]

    def begin(self) -> None:
        """Starts a new sequence at position 0."""
        super().begin()
        self._tokens = []

    def forward(self, tokens: Sequence[int]) -> Ints:
        """Logits [vocab] after the last of `tokens`, which continue the sequence.

        Where `greedy`, a token that is no chip's best has less than any logit. Several tokens go
        to the chips in steps of up to plan.positions positions each.
        """
        self._check_room(tokens)
        self._tokens += tokens
        restarts: Counter[int] = Counter()
        while True:
            try:
                return self._caught_up_to(len(self._tokens))
            except NeedsCache as need:
                restarts[need.chip] += 1
                where = f"position {self.position}"
                if restarts[need.chip] > MOST_RECOVERIES:
                    raise ClusterError(f"chip {need.chip} keeps restarting ({where})") from None
                self._restart_sequence(need.chip, where)

    def _restart_sequence(self, chip: int, where: str) -> None:
        """Has all chips begin the sequence again: the keys and values of one are computed from
        the sums of all."""
        self.caught_up += 1
        _LOG.info("chip %d lost its cache: running %d positions again", chip, self.position)
        self._greet([chip], where)
        tokens = self._tokens
        self.begin()
        self._tokens = tokens

    def _caught_up_to(self, end: int) -> Ints:
        """The logits [vocab] at position end - 1, after all steps that are still to do."""
        while True:
            last = self.position + self.plan.positions >= end
            logits = self._step(min(self.position + self.plan.positions, end), last)
            if last:
                return logits

    def _step(self, end: int, last: bool) -> Ints:
        """Runs the positions up to `end`; the logits [vocab] of the last where that is wanted."""
        count = end - self.position
        wants = WANTS_NOTHING if not last else WANTS_BEST if self.greedy else WANTS_LOGITS
        residual = self.model.embedding[self._tokens[self.position : end]].reshape(-1)
        payload = step_payload(
            self._sequence_id, wants, self.position, count, self._number, residual.tolist()
        )
        where = f"position {self.position}"
        logits = np.full(self.model.config.vocab_size, -INT16_LIMIT - 2, np.int64)

        def take(chip: int, answer: bytes) -> None:
            if not self.plan.shards[chip].rows or wants == WANTS_NOTHING:
                return
            if wants == WANTS_LOGITS:
                self._take_logits(logits, chip, answer)
            else:
                best = decoded(chip, best_from, answer)
                if best.token not in self.plan.shards[chip].rows:
                    raise ClusterError(f"chip {chip} answered with a token of another chip's")
                logits[best.token] = best.logit

        kind = wants, count
        answers = self._answers(self._coordinator.step, payload, self._chips, where, kind, take)
        self._notice_restarts(answers, where)
        layers = self.model.config.layers
        self._number = (self._number + 2 * layers) & 0xFFFF
        self.synchronizations += (2 * layers if len(self._chips) > 1 else 1) + last
        self.position = end
        return logits
