"""Pipeline: stages of chips hold whole layers, and several sequences are under way at a time.

The host sends STEPs to the first stage, each as soon as that stage has begun the one before, and
receives logits from the last. The sender of a message retransmits it if it is lost; what a chip
loses by restarting is replayed from the start, in a new session.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from host.cluster.coordinator import Coordinator
from host.cluster.dispatcher import Message, decode_answer
from host.errors import ClusterError
from host.executors.activity import Activity
from host.executors.executor import BaseExecutor, Idle, Sequence
from host.executors.step_answers import StepAnswers
from host.executors.step_sender import Step, StepSender
from host.model.arithmetic import Ints
from host.model.quantized import QuantizedModel
from host.model.sampling import count_candidates
from host.parallel.plan import Plan
from host.wire.payloads import encode_step, want_scores
from host.wire.reports import BAD_REQUEST, FAULT, decode_error, error_name
from protocol import message_types
from protocol.messages import REQUEST_SIZE

_LOG = logging.getLogger("federation")

# Seconds without progress after which a handshake shows whether chips have restarted.
CHECK_AFTER = 0.6
# The number of timeouts without progress after which everything is replayed: some chip has dropped
# a STEP without restarting.
REPLAY_AFTER = 4
_HALF = 0x8000  # numbers wrap: one less than half the circle behind is older
_ACK = b"\0\0"  # in place of a boot id: the host has none


@dataclass
class _Recovery:
    """The state of recovery: whether everything must be replayed, the number of the first step
    after the last replay, and when a chip last made progress (seconds of the clock)."""

    is_needed: bool = False
    first_number: int = 0
    progress: float = 0.0

    def is_stale(self, number: int) -> bool:
        """Returns whether an ERROR concerns a step that was given up, or none."""
        return not number or (number - self.first_number) & 0xFFFF >= _HALF


class PipelineExecutor(BaseExecutor):
    """Runs as many sequences at once as the plan has slots.

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
        self.activity = Activity(coordinator.clock)
        self._sender = StepSender(coordinator, list(plan.stages[0].chips))
        self._queue: deque[Sequence] = deque()  # one entry for each STEP that is to be sent
        self._answers = StepAnswers(plan)
        self._recovery = _Recovery()
        subscribe = coordinator.dispatcher.subscribe
        subscribe([message_types.ACK], self._on_acknowledgement)
        answers = message_types.LOGITS, message_types.BEST, message_types.CANDIDATES
        subscribe(answers, self._on_answer)
        subscribe([message_types.ERROR], self._on_error)

    def open(self) -> Sequence:
        """Returns a new sequence in a free slot. Raises ValueError if no slot is free."""
        sequence = super().open()
        self.activity.most_sequences = max(self.activity.most_sequences, len(self._sequences))
        return sequence

    def close(self, sequence: Sequence) -> None:
        """Frees the slot of a sequence; answers that are still under way for it are ignored."""
        super().close(sequence)
        self._queue = deque(each for each in self._queue if each is not sequence)
        self._answers.close(sequence)

    def extend(self, sequence: Sequence, tokens: Collection[int], scored: int = 1) -> None:
        """Appends tokens to a sequence; see Executor.extend."""
        if not any(each.is_awaited for each in self._sequences.values()):
            self.activity.start()
        super().extend(sequence, tokens, scored)
        self._enqueue(sequence)
        self._send_next()

    def completed(self) -> tuple[Sequence, Ints]:
        """Waits for the next sequence whose logits [scored, vocab] have come; returns both."""
        completed = self._answers.completed
        if not completed:
            self._awaited()
        clock, recovery = self._coordinator.clock, self._recovery
        recovery.progress = checked = now = clock()
        while not completed:
            check_at = checked + CHECK_AFTER
            until = min(self._sender.retransmit_at or check_at, check_at)
            self._coordinator.poll(until - now)
            now = clock()
            checked = max(checked, recovery.progress)
            if recovery.is_needed:
                self._replay()
            else:
                self._sender.retransmit_if_due(now)
            if not completed and now >= checked + CHECK_AFTER:
                silent = now - recovery.progress
                self._check_chips(silent > REPLAY_AFTER * self._coordinator.timeout)
                checked = clock()
            now = clock()
        self.activity.complete()
        return self._complete(*completed.popleft())

    def idle(self, busy_ms: Mapping[int, int]) -> Idle | None:
        """Returns how idle the stages were, None if nothing was completed; busy_ms: by chip."""
        return self.activity.idle(self.plan.stages, busy_ms)

    def _enqueue(self, sequence: Sequence) -> None:
        # It may still be in the queue: a replay sends tokens again, while others follow them.
        self._queue = deque(each for each in self._queue if each is not sequence)
        at = sequence.position
        while at < len(sequence.tokens):
            at = self._step_end(sequence, at)
            self._queue.append(sequence)

    def _step_end(self, sequence: Sequence, start: int) -> int:
        """Returns the end of the STEP that begins at position `start`; all positions to be scored
        are in one STEP."""
        length, most = len(sequence.tokens), start + self.plan.positions
        return length if length <= most else min(most, length - sequence.scored)

    def _send_next(self) -> None:
        """Sends the next STEP, if there is one and the first stage has begun the last."""
        if not self._sender.is_free or not self._queue:
            return
        sequence = self._queue.popleft()
        start = sequence.position
        sequence.position = end = self._step_end(sequence, start)
        is_last = end == len(sequence.tokens) and sequence.is_awaited
        candidates = bool(count_candidates(self.model.config.vocab_size))
        scored = sequence.scored if is_last else 0
        wants = want_scores(scored, sequence.is_greedy, candidates)
        residual = self.model.embedding[sequence.tokens[start:end]].reshape(-1)
        self._sender.number = (self._sender.number + 1) & 0xFFFF
        payload = encode_step(
            sequence.sequence_id, wants, start, end - start, self._sender.number, residual.tolist()
        )
        step = Step(self._sender.number, sequence, wants, payload)
        if is_last:
            self._answers.expect(step, sequence.scored)
        self.activity.steps += 1
        self.synchronizations += is_last + sum(
            2 * len(stage.layers) if len(stage.chips) > 1 else 1 for stage in self.plan.stages
        )
        self._sender.send(step)

    def _on_acknowledgement(self, message: Message) -> bool:
        if self._sender.acknowledge(message.source, message.sequence):
            self._recovery.progress = self._coordinator.clock()
            self._send_next()
        return True

    def _on_answer(self, message: Message) -> bool:
        """Acknowledges an answer, whether it is still wanted or not, and takes in its logits."""
        chip, number = message.source, message.sequence
        request = message.payload[:REQUEST_SIZE]
        self._coordinator.dispatcher.send(message_types.ACK, chip, number, request + _ACK)
        if self._answers.take(message):
            self._recovery.progress = self._coordinator.clock()
        return True

    def _on_error(self, message: Message) -> bool:
        """Handles an ERROR: has everything replayed if need be; raises ClusterError for a
        fault."""
        error = decode_answer(message.source, decode_error, message.payload)
        if self._recovery.is_stale(message.sequence):
            return True
        name = error_name(error.code)
        if error.code in (FAULT, BAD_REQUEST):
            raise ClusterError(f"chip {message.source}, {self._where()}: {name}: {error.text}")
        _LOG.info("chip %d: %s %s", message.source, name, error.text)
        self._recovery.is_needed = True
        return True

    def _check_chips(self, must_replay: bool) -> None:
        """Makes a handshake with all chips, and replays what a restarted one has lost."""
        before = dict(self._coordinator.boot_ids)
        self._membership.handshake(self._coordinator.chips, self._where())
        if must_replay or self._coordinator.boot_ids != before:
            self._replay()

    def _replay(self) -> None:
        """Makes all chips forget everything, and runs every sequence again.

        Raises ClusterError if that has not helped too often.
        """
        self._membership.budget.spend("chips", f"chips keep losing their caches ({self._where()})")
        self.recoveries += 1
        _LOG.info("replaying %d sequences", len(self._sequences))
        self._sender.abandon()
        self._queue.clear()
        self._answers.abandon()
        self._recovery.first_number = (self._sender.number + 1) & 0xFFFF
        self._coordinator.rekey()
        self._membership.handshake(self._coordinator.chips, self._where())
        self._recovery.is_needed = False
        self.activity.reset()
        for sequence in self._sequences.values():
            sequence.restart(self._new_id(sequence.slot))
            self._enqueue(sequence)
        self._send_next()

    def _where(self) -> str:
        return f"position {max((s.position for s in self._sequences.values()), default=0)}"


EXECUTOR = PipelineExecutor
