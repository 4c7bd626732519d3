"""A model running on the stages of a pipeline, several sequences at a time.

The host puts STEPs in at one end, each as soon as the first stage has begun the one before, and
takes logits out at the other. Whatever is lost on the way is sent again by whoever sent it; what
a chip loses by restarting is run again from the start, in a new session.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from host.cluster.coordinator import Coordinator
from host.cluster.membership import MOST_RECOVERIES, Members, decoded
from host.cluster.messages import Message, Messages
from host.cluster.timeout import Pace
from host.errors import ClusterError
from host.model.arithmetic import INT16_LIMIT, Ints
from host.model.quantized import QuantizedModel
from host.parallel.plan import Plan
from host.wire.payloads import best_from, step_payload
from host.wire.reports import BAD_REQUEST, FAULT, error_from, error_name
from protocol import message_types
from protocol.frame import BROADCAST
from protocol.messages import REQUEST_SIZE, WANTS_BEST, WANTS_LOGITS, WANTS_NOTHING

_LOG = logging.getLogger("federation")

# Seconds to wait for the first stage to take a STEP: at first, and bounds of what is then learned,
# for it takes one at once where it is free, and else when it has done the one before.
_FIRST_WAIT, _SHORTEST_WAIT, _LONGEST_WAIT = 0.1, 0.03, 0.25
# Seconds of silence after which chips are asked whether they are still who they were.
_ASK_AFTER = 0.6
# After so many times the patience all is run again: some chip forgot it without restarting.
_GIVE_UP = 4
_ACK = b"\0\0"  # a boot id that the host does not have


@dataclass(eq=False)
class Stream:
    """One sequence. tokens: all that were given; position: how many are on their way or through;
    awaits: whether logits after the last are to come."""

    slot: int
    tokens: list[int] = field(default_factory=list)
    sequence_id: int = 0
    position: int = 0
    awaits: bool = False


@dataclass
class _Step:
    """A STEP on its way: its number, and what is missing of its logits."""

    number: int
    stream: Stream
    wants: int
    payload: bytes
    logits: Ints | None
    missing: set[int]


class StagedFederation(Members):
    """Runs as many sequences at once as the plan has slots; equal to the reference to the bit.

    Open a stream, extend it with tokens, and take what is completed. `begin` and `forward` do that
    for one sequence at a time. With `greedy`, chips answer with their best token each.
    """

    def __init__(
        self,
        model: QuantizedModel,
        plan: Plan,
        coordinator: Coordinator,
        digests: Mapping[int, bytes],
        messages: Messages,
        *,
        patience: float = 2.5,
        watch: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(model, plan, coordinator, digests)
        self.greedy = False
        self.seconds = 0.0  # that streams were waited for since chips last forgot all
        self.steps = self.flushes = self.most_streams = 0
        self._messages, self._patience, self._watch = messages, patience, watch
        self._first = plan.stages[0].chips
        self._with_rows = {shard.chip for shard in plan.shards if shard.rows}
        self._streams: dict[int, Stream] = {}  # by slot
        self._only: Stream | None = None
        self._queue: deque[Stream] = deque()  # each as often as it has a STEP to send
        self._number = 0
        self._run = 0  # number of the first STEP since chips last forgot all
        self._sent: _Step | None = None  # that the first stage has not taken
        self._untaken: set[int] = set()
        self._awaited: dict[int, _Step] = {}
        self._completed: deque[tuple[Stream, Ints]] = deque()
        self._pace = Pace(_FIRST_WAIT, _LONGEST_WAIT)
        self._recoveries = 0
        self._since = 0.0

    @property
    def slots(self) -> int:
        """How many streams can be open."""
        return self.plan.slots

    def begin(self) -> None:
        """Starts a new sequence at position 0, the only one."""
        for stream in list(self._streams.values()):
            self.close(stream)
        self.position = 0
        self._only = self.open()

    def forward(self, tokens: Sequence[int]) -> Ints:
        """Logits [vocab] after the last of `tokens`, which continue the sequence.

        Where `greedy`, a token that is no chip's best has less than any logit.
        """
        assert self._only is not None
        self.extend(self._only, tokens)
        self.position = len(self._only.tokens)
        return self.completed()[1]

    def open(self) -> Stream:
        """A new sequence in a free slot, of which there must be one."""
        if not self._streams:
            self._renew_worn_session()
        slot = next(slot for slot in range(self.slots) if slot not in self._streams)
        stream = Stream(slot, sequence_id=self._new_id(slot))
        self._streams[slot] = stream
        self.most_streams = max(self.most_streams, len(self._streams))
        return stream

    def close(self, stream: Stream) -> None:
        """Gives its slot to others."""
        del self._streams[stream.slot]
        self._queue = deque(each for each in self._queue if each is not stream)
        self._awaited = {n: step for n, step in self._awaited.items() if step.stream is not stream}
        self._completed = deque(each for each in self._completed if each[0] is not stream)

    def extend(self, stream: Stream, tokens: Sequence[int]) -> None:
        """Has these tokens follow those of a stream; the logits after the last will come."""
        self.position = len(stream.tokens)
        self._check_room(tokens)
        if not self._awaits():
            self._since = time.monotonic()
        stream.tokens += tokens
        stream.awaits = True
        self._enqueue(stream)
        self._send_next()

    def completed(self) -> tuple[Stream, Ints]:
        """The next stream whose logits are there, and these: [vocab]. Waits for it.

        Raises ClusterError for chips that fail or fall silent.
        """
        progress = asked = now = time.monotonic()
        sent, wait, repeats = now, self._wait(), 0
        while not self._completed:
            step = self._sent
            until = sent + wait if step else progress + _ASK_AFTER
            for message in self._messages.received(min(until, asked + _ASK_AFTER) - now):
                if self._take(message):
                    progress = asked = time.monotonic()
                    self._recoveries = 0
            now = time.monotonic()
            if self._sent is not step:
                if step and not repeats:
                    self._pace.learn(now - sent)
                sent, wait, repeats = now, self._wait(), 0
            elif step and now >= sent + wait:
                self._repeat(step)
                sent, wait, repeats = now, min(1.5 * wait, _LONGEST_WAIT), repeats + 1
            if not self._completed and now >= asked + _ASK_AFTER:
                self._ask_chips(now - progress > _GIVE_UP * self._patience)
                asked = time.monotonic()
        now = time.monotonic()
        self.seconds, self._since = self.seconds + now - self._since, now
        self.flushes += 1
        return self._completed.popleft()

    def idle_share(self, busy_ms: Mapping[int, int]) -> float:
        """The part of the stages' time that they were not at work; busy_ms: of each chip."""
        busy = [max(busy_ms[chip] for chip in stage.chips) for stage in self.plan.stages]
        return max(0.0, 1 - sum(busy) / (1000 * self.seconds * len(busy)))

    def micro_batches(self) -> float:
        """How many STEPs were on their way for a token of each stream together, on average."""
        return self.steps / self.flushes * self.most_streams

    def _wait(self) -> float:
        return max(self._pace.wait, _SHORTEST_WAIT)

    def _awaits(self) -> bool:
        return any(stream.awaits for stream in self._streams.values())

    def _new_id(self, slot: int) -> int:
        """The next sequence id that belongs to a slot: chips take the remainder."""
        while True:
            self._sequence_id = (self._sequence_id + 1) & 0xFFFF
            if self._sequence_id % self.slots == slot:
                return self._sequence_id

    def _enqueue(self, stream: Stream) -> None:
        left = len(stream.tokens) - stream.position
        self._queue.extend([stream] * -(-left // self.plan.positions))

    def _send_next(self) -> None:
        """Puts the next STEP in, if there is one and the first stage has taken the last."""
        if self._sent or not self._queue:
            return
        stream = self._queue.popleft()
        start = stream.position
        stream.position = end = min(start + self.plan.positions, len(stream.tokens))
        last = end == len(stream.tokens) and stream.awaits
        wants = WANTS_NOTHING if not last else WANTS_BEST if self.greedy else WANTS_LOGITS
        residual = self.model.embedding[stream.tokens[start:end]].reshape(-1)
        self._number = (self._number + 1) & 0xFFFF
        self.steps += 1
        payload = step_payload(
            stream.sequence_id, wants, start, end - start, self._number, residual.tolist()
        )
        step = _Step(self._number, stream, wants, payload, None, set(self._with_rows))
        if last:
            step.logits = np.full(self.model.config.vocab_size, -INT16_LIMIT - 2, np.int64)
            self._awaited[step.number] = step
        self.synchronizations += last + sum(
            2 * len(stage.layers) if len(stage.chips) > 1 else 1 for stage in self.plan.stages
        )
        self._sent, self._untaken = step, set(self._first)
        self._put(step)

    def _put(self, step: _Step) -> None:
        to = BROADCAST if len(self._first) > 1 else self._first[0]
        self._messages.send(message_types.STEP, to, step.number, step.payload)

    def _repeat(self, step: _Step) -> None:
        _LOG.debug("sending step %d again, %s", step.number, self._where())
        self._watch()
        self._coordinator.resends += 1
        self._put(step)

    def _take(self, message: Message) -> bool:
        """Files what came; whether it brought something."""
        if message.kind == message_types.ACK:
            return self._take_acknowledgement(message)
        if message.kind in (message_types.LOGITS, message_types.BEST):
            return self._take_answer(message)
        if message.kind == message_types.ERROR:
            self._take_error(message)
        return False

    def _take_acknowledgement(self, message: Message) -> bool:
        step = self._sent
        if step is None or message.sequence != step.number or message.source not in self._untaken:
            return False
        self._untaken.discard(message.source)
        if not self._untaken:
            self._sent = None
            self._send_next()
        return True

    def _take_answer(self, message: Message) -> bool:
        """Acknowledges an answer, whether it is still wanted or not, and takes in what it says."""
        chip, number = message.source, message.sequence
        request = message.payload[:REQUEST_SIZE]
        self._messages.send(message_types.ACK, chip, number, request + _ACK)
        step = self._awaited.get(number)
        if step is None or chip not in step.missing or step.logits is None:
            return False
        if message.kind == message_types.LOGITS:
            self._take_logits(step.logits, chip, message.payload)
        else:
            best = decoded(chip, best_from, message.payload)
            if best.token not in self.plan.shards[chip].rows:
                raise ClusterError(f"chip {chip} answered with a token of another chip's")
            step.logits[best.token] = best.logit
        step.missing.discard(chip)
        if not step.missing:
            del self._awaited[number]
            step.stream.awaits = False
            self._completed.append((step.stream, step.logits))
        return True

    def _take_error(self, message: Message) -> None:
        """What a chip cannot do for itself is run again; raises ClusterError for a fault."""
        error = decoded(message.source, error_from, message.payload)
        if error.text:
            self._coordinator.last_words[message.source] = error.text
        if not message.sequence or (message.sequence - self._run) & 0xFFFF >= 0x8000:
            return  # what a chip says before it starts anew, or of what was given up before
        if error.code in (FAULT, BAD_REQUEST):
            raise ClusterError(
                f"chip {message.source}, {self._where()}: {error_name(error.code)}: {error.text}"
            )
        _LOG.info("chip %d: %s %s", message.source, error_name(error.code), error.text)
        self._run_again()

    def _ask_chips(self, give_up: bool) -> None:
        """Has all chips say that they are there, and what a restarted one lost be run again."""
        self._watch()
        before = dict(self._coordinator.boot_ids)
        self._greet(self._coordinator.chips, self._where())
        if give_up or self._coordinator.boot_ids != before:
            self._run_again()

    def _run_again(self) -> None:
        """Has all chips forget everything, and every stream run again."""
        self._recoveries += 1
        if self._recoveries > MOST_RECOVERIES:
            raise ClusterError(f"chips keep losing what they hold ({self._where()})")
        self.caught_up += 1
        _LOG.info("running %d streams again from the start", len(self._streams))
        self._coordinator.renew_session()
        self._greet(self._coordinator.chips, self._where())
        self._sent = None
        self._queue.clear()
        self._awaited.clear()
        self._run = self._number + 1
        self.seconds, self.steps, self.flushes = 0.0, 0, 0
        self._since = time.monotonic()
        for slot, stream in self._streams.items():
            stream.sequence_id, stream.position = self._new_id(slot), 0
            self._enqueue(stream)
        self._send_next()

    def _where(self) -> str:
        return f"position {max((s.position for s in self._streams.values()), default=0)}"
