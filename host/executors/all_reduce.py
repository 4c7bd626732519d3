"""All-reduce: chips add up their partial sums among themselves.

The host embeds tokens and reads the logits; the chips keep the residual stream.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from host.cluster.coordinator import Coordinator
from host.cluster.request import NeedsCache
from host.executors.batch import Batch, BatchExecutor
from host.executors.logits import no_logits, put_scores
from host.model.arithmetic import Ints
from host.model.quantized import QuantizedModel
from host.model.sampling import count_candidates
from host.parallel.plan import Plan
from host.wire.payloads import encode_step_runs, want_scores

_LOG = logging.getLogger("federation")


class AllReduceExecutor(BatchExecutor):
    """Runs as many sequences together as the plan has slots.

    With `greedy`, chips answer with their best tokens only.
    """

    def __init__(
        self,
        model: QuantizedModel,
        plan: Plan,
        coordinator: Coordinator,
        digests: Mapping[int, bytes],
    ) -> None:
        super().__init__(model, plan, coordinator, digests)
        self._collective = 0  # the number of the next collective
        self._chips = [shard.chip for shard in plan.shards]

    def _run(self, batch: Batch) -> Ints | None:
        """Returns the logits after the scored rows; None if a chip has lost its cache."""
        try:
            return self._step(batch)
        except NeedsCache as need:
            self._membership.count_loss(need.chip, batch.where)
            self._replay(need.chip, batch.where)
            return None

    def _replay(self, chip: int, where: str) -> None:
        """Makes all chips run all sequences again, because the keys and values of one chip depend
        on the sums of all."""
        self.recoveries += 1
        sequences = list(self._sequences.values())
        most = max(sequence.position for sequence in sequences)
        _LOG.info("chip %d lost its cache: replaying %d positions", chip, most)
        self._membership.handshake([chip], where)
        self._membership.rekey_if_needed()
        for sequence in sequences:
            sequence.restart(self._new_id(sequence.slot))

    def _step(self, batch: Batch) -> Ints:
        """Runs a batch; returns the logits [scored, vocab] of its scored rows."""
        candidates = bool(count_candidates(self.model.config.vocab_size))
        wants = want_scores(batch.scored, batch.is_greedy, candidates)
        residual = self.model.embedding[batch.tokens].reshape(-1)
        payload = encode_step_runs(wants, batch.runs, self._collective, residual.tolist())
        logits = no_logits(self.plan, batch.scored)

        def on_answer(chip: int, answer: bytes) -> None:
            if not self.plan.shards[chip].rows or not batch.scored:
                return
            put_scores(self.plan, logits, chip, answer, greedy=batch.is_greedy)

        timing = wants, len(batch.rows)
        answers = self._membership.ask(
            self._coordinator.step, payload, self._chips, batch.where, timing, on_answer
        )
        self._membership.verify_restarted(answers, batch.where)
        collectives = self.plan.strategy.collectives * self.model.config.layers
        self._collective = (self._collective + collectives) & 0xFFFF
        waits = collectives if len(self._chips) > 1 else 1  # a single chip has none to wait for
        self.synchronizations += waits + bool(batch.scored)
        return logits


EXECUTOR = AllReduceExecutor
