"""All-reduce: chips add up their partial sums among themselves.

The host embeds tokens and reads what the last layer gives; the residual stream is the chips'.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from host.cluster.coordinator import Coordinator, NeedsCache
from host.executors.executor import BaseExecutor, Sequence
from host.executors.logits import no_logits, put_best, put_logits
from host.model.arithmetic import Ints
from host.model.quantized import QuantizedModel
from host.parallel.plan import Plan
from host.wire.payloads import encode_step
from protocol.messages import WANTS_BEST, WANTS_LOGITS, WANTS_NOTHING

_LOG = logging.getLogger("federation")


class AllReduceExecutor(BaseExecutor):
    """Runs one sequence at a time. With `greedy`, chips answer with their best token each."""

    def __init__(
        self,
        model: QuantizedModel,
        plan: Plan,
        coordinator: Coordinator,
        digests: Mapping[int, bytes],
    ) -> None:
        super().__init__(model, plan, coordinator, digests)
        self._collective = 0  # number of the next one
        self._chips = [shard.chip for shard in plan.shards]

    def completed(self) -> tuple[Sequence, Ints]:
        """Runs the tokens that wait, in steps of up to plan.positions positions each."""
        sequence = self._awaited_sequence()
        while True:
            try:
                logits = self._run(sequence)
            except NeedsCache as need:
                where = f"position {sequence.position}"
                problem = f"chip {need.chip} keeps restarting ({where})"
                self._membership.budget.spend(need.chip, problem)
                self._replay(sequence, need.chip, where)
            else:
                sequence.is_awaited = False
                return self._complete(sequence, logits)

    def _replay(self, sequence: Sequence, chip: int, where: str) -> None:
        """Has all chips run the sequence again: the keys and values of one are computed from the
        sums of all."""
        self.recoveries += 1
        _LOG.info("chip %d lost its cache: replaying %d positions", chip, sequence.position)
        self._membership.handshake([chip], where)
        self._membership.rekey_if_needed()
        sequence.restart(self._new_id(sequence.slot))

    def _run(self, sequence: Sequence) -> Ints:
        """The logits [vocab] after the last token, through all steps that are left."""
        positions, end = self.plan.positions, len(sequence.tokens)
        while sequence.position + positions < end:
            self._step(sequence, sequence.position + positions, WANTS_NOTHING)
        return self._step(sequence, end, WANTS_BEST if self.greedy else WANTS_LOGITS)

    def _step(self, sequence: Sequence, end: int, wants: int) -> Ints:
        """Runs the positions up to `end`; the logits [vocab] of the last where they are wanted."""
        start, count = sequence.position, end - sequence.position
        residual = self.model.embedding[sequence.tokens[start:end]].reshape(-1)
        payload = encode_step(
            sequence.sequence_id, wants, start, count, self._collective, residual.tolist()
        )
        where = f"position {start}"
        logits = no_logits(self.plan)

        def on_answer(chip: int, answer: bytes) -> None:
            if not self.plan.shards[chip].rows or wants == WANTS_NOTHING:
                return
            put = put_logits if wants == WANTS_LOGITS else put_best
            put(self.plan, logits, chip, answer)

        timing = wants, count
        answers = self._membership.ask(
            self._coordinator.step, payload, self._chips, where, timing, on_answer
        )
        self._membership.verify_restarted(answers, where)
        layers = self.model.config.layers
        self._collective = (self._collective + 2 * layers) & 0xFFFF
        waits = 2 * layers if len(self._chips) > 1 else 1  # a lone chip waits for nobody
        self.synchronizations += waits + (wants != WANTS_NOTHING)
        sequence.position = end
        return logits


EXECUTOR = AllReduceExecutor
