"""The protocol of executors, which run a model on connected chips, and what all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from host.cluster.coordinator import Coordinator
from host.cluster.handshake import OnReady
from host.cluster.membership import Membership
from host.errors import ClusterError, ModelError
from host.executors.spot_check import SpotCheck
from host.model.arithmetic import Ints
from host.model.quantized import QuantizedModel
from host.parallel.plan import Plan
from host.wire.reports import Ready

CANNOT_CHECK = (
    "--check compares partial sums with what they must be, and these chips keep theirs among"
    " themselves: it takes --reduce host"
)

_SILENT_RING = (
    "; in a ring nobody is heard where one chip is off or one wire is loose: look behind the last"
    " chip whose light is blue, and whether the adapter carries the ring's speed"
)


@dataclass(eq=False)
class Sequence:
    """A sequence of tokens in a slot of the chips' KV caches.

    tokens: all that it was extended with; position: how many of them were run or are under way;
    is_awaited: whether logits are still to come, those after each of the last `scored` tokens;
    is_greedy: whether the best logits are enough; scores: the logits [vocab] that have come.
    """

    slot: int
    sequence_id: int
    tokens: list[int] = field(default_factory=list)
    position: int = 0
    is_awaited: bool = False
    is_greedy: bool = False
    scored: int = 1
    scores: list[Ints] = field(default_factory=list)

    def restart(self, sequence_id: int) -> None:
        """Marks all of its tokens to be run again, under another sequence id."""
        self.sequence_id, self.position = sequence_id, 0
        self.scores.clear()

    def rewind(self, length: int) -> None:
        """Drops the tokens from `length` on, which were drafts that proved wrong."""
        del self.tokens[length:]
        self.position = min(self.position, length)


@dataclass(frozen=True)
class Idle:
    """The fraction of time that the stages of a pipeline were idle since chips were last reset.

    It is measured, and predicted by GPipe's formula for the number of micro-batches at a time.
    """

    stages: int
    micro_batches: float
    measured: float
    formula: float


class Executor(Protocol):
    """Runs sequences on chips, as many at a time as there are `slots`.

    Its logits equal the reference's bit for bit. With `greedy`, only the best token of each chip
    may have its logit, and all others one lower than any: greedy decoding needs no more.
    `spot_check`, unless None, is given the logits. `synchronizations` counts the times that all
    chips wait for one another, `recoveries` the times that a lost KV cache was computed again,
    `resends` retransmitted requests.
    """

    model: QuantizedModel
    plan: Plan
    greedy: bool
    spot_check: SpotCheck | None
    synchronizations: int
    recoveries: int

    @property
    def slots(self) -> int: ...

    @property
    def most_scored(self) -> int:
        """Of how many positions one pass can give the logits."""

    @property
    def resends(self) -> int: ...

    def connect(self, timeout: float, on_ready: OnReady = ...) -> dict[int, Ready]:
        """Brings all chips into the session; see Membership.connect."""

    def open(self) -> Sequence:
        """Returns a new sequence in a free slot. Raises ValueError if no slot is free."""

    def extend(self, sequence: Sequence, tokens: Collection[int], scored: int = 1) -> None:
        """Appends tokens to a sequence, to get the logits after each of the last `scored` ones.

        Drafts among them that prove wrong are taken back by Sequence.rewind. Raises ValueError for
        no tokens, or fewer than `scored`, and ModelError if the context is too short.
        """

    def completed(self) -> tuple[Sequence, Ints]:
        """Waits for the next sequence whose logits [scored, vocab] have come; returns both.

        Raises ClusterError for chips that fail or do not answer, and ValueError if no logits are
        awaited.
        """

    def close(self, sequence: Sequence) -> None:
        """Frees the slot of a sequence."""

    def begin(self) -> None:
        """Closes all sequences and opens one, for `forward`."""

    def forward(self, tokens: Collection[int]) -> Ints:
        """Appends tokens to the one open sequence; returns the logits [vocab] after the last."""

    def check_arithmetic(self) -> None:
        """Compares chips' partial sums with those that their shards must give.

        Raises ClusterError for a chip that computes wrongly, and with a strategy whose chips do
        not send partial sums to the host.
        """

    def idle(self, busy_ms: Mapping[int, int]) -> Idle | None:
        """Returns how idle the stages of a pipeline were; None without stages, or if none has run.

        busy_ms: milliseconds at work, of each chip.
        """


class BaseExecutor(ABC):
    """What all executors share: the session, slots, and running one sequence at a time."""

    def __init__(
        self,
        model: QuantizedModel,
        plan: Plan,
        coordinator: Coordinator,
        digests: Mapping[int, bytes],
    ) -> None:
        """digests: of each chip's shard file."""
        self.model, self.plan = model, plan
        if plan.link.is_ring:
            coordinator.advise_on_silence(_SILENT_RING)
        self.greedy = False
        self.spot_check: SpotCheck | None = None
        self.synchronizations = self.recoveries = 0
        self._coordinator = coordinator
        self._membership = Membership(coordinator, model.sha256(), digests)
        self._sequences: dict[int, Sequence] = {}  # by slot
        self._last_id = 0

    @property
    def slots(self) -> int:
        """How many sequences can be open."""
        return self.plan.slots

    @property
    def most_scored(self) -> int:
        """Of how many positions one pass can give the logits."""
        return self.plan.most_scored(self.greedy)

    @property
    def resends(self) -> int:
        """The number of retransmitted requests."""
        return self._coordinator.resends

    def connect(
        self, timeout: float, on_ready: OnReady = lambda chip: None
    ) -> dict[int, Ready]:
        """Brings all chips into the session; see Membership.connect."""
        return self._membership.connect(timeout, on_ready)

    def open(self) -> Sequence:
        """Returns a new sequence in a free slot. Raises ValueError if there is none."""
        free = [slot for slot in range(self.slots) if slot not in self._sequences]
        if not free:
            raise ValueError(f"all {self.slots} slots have a sequence")
        if not self._sequences:
            self._membership.rekey_if_needed()
        sequence = Sequence(free[0], self._new_id(free[0]))
        self._sequences[sequence.slot] = sequence
        return sequence

    def extend(self, sequence: Sequence, tokens: Collection[int], scored: int = 1) -> None:
        """Appends tokens to a sequence; see Executor.extend."""
        if not tokens:
            raise ValueError("no tokens to run")
        if not 0 < scored <= len(tokens):
            raise ValueError(f"{len(tokens)} tokens to run, and {scored} to be scored")
        if scored > self.most_scored:
            raise ValueError(f"{scored} positions to be scored, at most {self.most_scored} can")
        last = len(sequence.tokens) + len(tokens) - 1
        if last >= self.plan.context:
            raise ModelError(f"position {last} is beyond the context of {self.plan.context}")
        sequence.tokens += tokens
        sequence.scored, sequence.is_awaited, sequence.is_greedy = scored, True, self.greedy

    @abstractmethod
    def completed(self) -> tuple[Sequence, Ints]:
        """Waits for the next sequence whose logits [scored, vocab] have come; returns both."""

    def _complete(self, sequence: Sequence, logits: Ints) -> tuple[Sequence, Ints]:
        """Records that a sequence's logits [scored, vocab] have come; returns both, as `completed`
        does."""
        self._membership.budget.earn()
        if self.spot_check:
            certain = len(sequence.tokens) - len(logits) + 1  # the others are drafts
            self.spot_check.compare(sequence.tokens[:certain], logits[0])
        return sequence, logits

    def close(self, sequence: Sequence) -> None:
        """Frees the slot of a sequence."""
        del self._sequences[sequence.slot]

    def begin(self) -> None:
        """Closes all sequences and opens one, for `forward`."""
        self._close_all()
        self.open()

    def forward(self, tokens: Collection[int]) -> Ints:
        """Logits [vocab] after the last of `tokens`, which extend the one open sequence."""
        if not self._sequences:
            self.open()
        (sequence,) = self._sequences.values()
        self.extend(sequence, tokens)
        logits: Ints = self.completed()[1][-1]
        return logits

    def check_arithmetic(self) -> None:
        """Raises ClusterError: these chips send no partial sums to the host."""
        raise ClusterError(CANNOT_CHECK)

    def idle(self, busy_ms: Mapping[int, int]) -> Idle | None:
        """Returns None: there are no stages that work in turn."""
        return None

    def _close_all(self) -> None:
        for sequence in list(self._sequences.values()):
            self.close(sequence)

    def _awaited(self) -> list[Sequence]:
        """Returns the sequences whose logits are awaited. Raises ValueError if there are none."""
        awaited = [each for each in self._sequences.values() if each.is_awaited]
        if not awaited:
            raise ValueError("no sequence was extended since its logits came")
        return awaited

    def _new_id(self, slot: int) -> int:
        """Returns the next sequence id that belongs to a slot: chips use its remainder."""
        while True:
            self._last_id = (self._last_id + 1) & 0xFFFF
            if self._last_id % self.slots == slot:
                return self._last_id
