"""Sends STEPs to the first stage of a pipeline, one at a time, each until it is acknowledged."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from host.cluster.coordinator import Coordinator
from host.cluster.timeout import LOSSLESS, Bounds, RetransmitTimeout
from host.executors.executor import Sequence
from host.model.arithmetic import Ints
from protocol import message_types
from protocol.frame import BROADCAST

_LOG = logging.getLogger("federation")

# The first stage acknowledges a STEP when it begins it: at once, or when the one before is done.
LOSSY_STAGE = Bounds(0.1, 0.03, 0.25)
# Stages may be busy with STEPs of other sequences, so the backoff is gentler than doubling.
BACKOFF = 1.5


@dataclass(eq=False)
class Step:
    """A STEP under way.

    number: of the step, and of its first collective; wants: the kind of answer of the last stage;
    logits [scored, vocab]: those that have come so far, None if none are wanted; missing: chips
    whose rows have not come.
    """

    number: int
    sequence: Sequence
    wants: int
    payload: bytes
    logits: Ints | None = None
    missing: set[int] = field(default_factory=set)


class StepSender:
    """Sends a STEP to all chips of the first stage, which acknowledge it when they begin it.

    number: that of the last STEP sent.
    """

    def __init__(self, coordinator: Coordinator, chips: list[int]) -> None:
        self.number = 0
        self._coordinator, self._chips = coordinator, chips
        self._timeout = RetransmitTimeout(self._bounds)
        self._step: Step | None = None
        self._unacknowledged: set[int] = set()
        self._sent_at = self._wait = 0.0
        self._retries = 0

    @property
    def _bounds(self) -> Bounds:
        bounds = LOSSLESS if self._coordinator.is_lossless else LOSSY_STAGE
        return bounds.on_line(self._coordinator.line_seconds)

    @property
    def is_free(self) -> bool:
        """Whether the last STEP was acknowledged, so that the next can be sent."""
        return self._step is None

    @property
    def retransmit_at(self) -> float | None:
        """When the STEP is to be retransmitted (seconds of the clock), None if there is none."""
        return None if self._step is None else self._sent_at + self._wait

    def send(self, step: Step) -> None:
        """Sends a STEP; the one before must have been acknowledged or abandoned."""
        self._step, self._unacknowledged, self._retries = step, set(self._chips), 0
        self._timeout.bounds = self._bounds
        self._sent_at, self._wait = self._coordinator.clock(), self._timeout.seconds
        self._transmit(step)

    def acknowledge(self, chip: int, number: int) -> bool:
        """Takes in the ACK of a chip; returns whether it was awaited."""
        step = self._step
        if step is None or number != step.number or chip not in self._unacknowledged:
            return False
        self._unacknowledged.discard(chip)
        if not self._unacknowledged:
            if not self._retries:
                self._timeout.measure(self._coordinator.clock() - self._sent_at)
            self._step = None
        return True

    def retransmit_if_due(self, now: float) -> bool:
        """Sends the STEP again if its timeout has passed; returns whether it did."""
        if self._step is None or now < self._sent_at + self._wait:
            return False
        _LOG.debug("retransmitting step %d", self._step.number)
        self._coordinator.resends += 1
        self._retries += 1
        self._sent_at = now
        self._wait = min(BACKOFF * self._wait, self._timeout.bounds.longest)
        self._transmit(self._step)
        return True

    def abandon(self) -> None:
        """Forgets the STEP, because chips have lost what came before it."""
        self._step = None

    def _transmit(self, step: Step) -> None:
        to = BROADCAST if len(self._chips) > 1 else self._chips[0]
        self._coordinator.dispatcher.send(message_types.STEP, to, step.number, step.payload)
