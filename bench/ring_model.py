"""Tokens per second of a pipeline in a ring, modelled: chips and serial lines as discrete events.

A line carries one frame at a time, a chip does one thing at a time: it passes a frame on, or is at
work on a phase of its layers, while what comes waits in its buffer. Between phases it passes on
what is for others, as far as the first frame for itself. It hands over what it made of a step when
what it made of the last one was acknowledged, and that acknowledgement passes all chips between.
Frames are those of host/parallel/strategies/pipeline.py, instructions those of
host/parallel/cost/instructions.py, which are fitted to emulated chips. The host sends each
sequence's next STEP as soon as the first stage has taken the one before and the answer is there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import simpy

from firmware.roles.handover import LONGEST_TIMEOUT_MS, SHORTEST_TIMEOUT_MS, TIMEOUT_STEPS
from host.executors.step_sender import BACKOFF, LOSSY_STAGE
from host.parallel.cost.instructions import chip_instructions, message_instructions
from host.parallel.cost.kernel_costs import KernelCosts
from host.parallel.cost.latency import HOST_SECONDS, USB_SECONDS
from host.parallel.cost.traffic import BITS_A_BYTE, around_seconds, frame_sizes, widest_sums
from host.parallel.plan import Plan
from host.parallel.synchronization import Message, Synchronization, Widths
from protocol.cobs import encoded_size
from protocol.frame import HOST
from protocol.message_types import ACK

Events = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class RingScenario:
    """A ring. kernels: of each chip; hertz: instructions per second of each; position: of tokens;
    sequences: on their way at a time; loss: of a frame on each line; widths: of numbers."""

    plan: Plan
    kernels: Sequence[KernelCosts]
    hertz: Sequence[float]
    position: int = 0
    sequences: int = 1
    loss: float = 0.0
    widths: Widths | None = None


@dataclass(frozen=True)
class RingOutcome:
    """Means a token of all sequences: seconds; frames and bytes on all lines."""

    seconds: float
    frames: float
    bytes: float


@dataclass(frozen=True)
class Frame:
    """A message on its way. number: of the step that it is of."""

    message: Message
    number: int


class RingModel:
    """A ring as it generates greedily."""

    def __init__(self, scenario: RingScenario, seed: int = 0) -> None:
        """Raises ValueError for a plan of no ring, or more sequences than have caches."""
        plan = scenario.plan
        if not plan.link.is_ring or scenario.sequences > plan.slots:
            raise ValueError(f"no ring of stages with room for {scenario.sequences} sequences")
        self.scenario, self.plan = scenario, plan
        self.env = simpy.Environment()
        self.frames = self.bytes = 0
        widths = scenario.widths or widest_sums(plan)
        self._token = tuple(plan.strategy.synchronizations(plan, True, widths))
        self._random = Random(seed)
        # Line i leads to chip i, the last one to the host.
        self._lines = [simpy.Resource(self.env) for _ in range(plan.chips + 1)]
        self._chips = [_Chip(self, chip) for chip in range(plan.chips)]
        self._host = _Host(self, scenario.sequences)

    def outcome(self, tokens: int, first: int = 4) -> RingOutcome:
        """Returns the means over so many tokens, after `first` in which the ring fills."""
        self.env.run(self._host.generated(first))
        before = self.env.now, self.frames, self.bytes
        self.env.run(self._host.generated(tokens))
        spent = self.env.now - before[0], self.frames - before[1], self.bytes - before[2]
        return RingOutcome(*(each / tokens for each in spent))

    def synchronizations(self, chip: int) -> list[Synchronization]:
        """Returns those of a chip's layers, and of the answer where it is the last."""
        layers = self.plan.stage_of(chip).layers
        return [each for each in self._token if each.layer in layers]

    def find(self, source: int, destination: int, acknowledges: bool = False) -> Message:
        """Returns the message of a token from one to another, or what says that one was taken."""
        every = (m for each in self._token for m in (*each.requests, *each.answers))
        wanted = source, destination, acknowledges
        return next(m for m in every if (m.source, m.destination, m.kind == ACK) == wanted)

    def put(self, line: int, frame: Frame) -> None:
        """Sends a frame on a line, after what is on it."""
        self.env.process(self._carried(line, frame))

    def _carried(self, line: int, frame: Frame) -> Events:
        if line == 0:
            yield self.env.timeout(USB_SECONDS)
        sizes = frame_sizes(self.plan, frame.message.payload)
        self.frames += len(sizes)
        self.bytes += sum(sizes)
        bits = BITS_A_BYTE * sum(map(encoded_size, sizes))
        with self._lines[line].request() as turn:
            yield turn
            yield self.env.timeout(bits / self.plan.link.baud)
        if self._random.random() < self.scenario.loss:
            return
        if line < self.plan.chips:
            self._chips[line].arrived.put(frame)
        else:
            yield self.env.timeout(USB_SECONDS)
            self._host.take(frame)


class _Chip:
    """A stage: handles one frame after another."""

    def __init__(self, ring: RingModel, chip: int) -> None:
        self.arrived = simpy.Store(ring.env)
        self._ring, self._chip, self._env = ring, chip, ring.env
        self._is_last = chip == ring.plan.chips - 1
        takes_steps = ring.scenario.sequences == 1  # else they wait until this chip is free
        self._kernels = replace(ring.scenario.kernels[chip], takes_steps=takes_steps)
        self._hertz = ring.scenario.hertz[chip]
        self._before = HOST if chip == 0 else chip - 1
        self._begun = 0  # the number of the step begun last
        self._handed = 0  # of the one of which the output waits for its acknowledgement, or 0
        self._made, self._took = 0, 0.0  # of the one of which the output waits for that
        self._pending: Frame | None = None
        self._kept: Frame | None = None  # for this chip, met between phases
        next_one = HOST if self._is_last else chip + 1
        self._output = ring.find(chip, next_one)
        self._acknowledgement = ring.find(chip, self._before, acknowledges=True)
        plan, position = ring.plan, ring.scenario.position
        *phases, last = (
            # What is sent and received is counted where it is.
            chip_instructions(plan, chip, each, position, self._kernels)
            - sum(map(self._instructions, (*each.requests, *each.answers)))
            for each in ring.synchronizations(chip)
        )
        # The vocabulary is run when there is room for what comes of it.
        self._closing = last if self._is_last else 0.0
        self._phases = phases if self._is_last else [*phases, last]
        ring.env.process(self._run())

    def _instructions(self, message: Message) -> float:
        return message_instructions(self._ring.plan, self._chip, message, self._kernels)

    def _busy(self, instructions: float) -> simpy.Event:
        return self._env.timeout(instructions / self._hertz)

    def _run(self) -> Events:
        while True:
            frame = self._kept or (yield self.arrived.get())
            self._kept = None
            yield self._busy(self._instructions(frame.message))
            if frame.message.destination != self._chip:
                self._ring.put(self._chip + 1, frame)
            elif frame.message.kind == ACK:
                if frame.number == self._handed:
                    self._handed = 0
                    yield from self._proceed()
            elif frame.number <= self._begun:
                yield from self._acknowledge(frame.number)
            else:
                self._pending = frame
                yield from self._proceed()

    def _proceed(self) -> Events:
        """Hands over and begins what can be."""
        while True:
            if self._made:
                if self._handed:
                    return
                began = self._env.now
                yield self._busy(self._closing)
                self._handed, self._made = self._made, 0
                yield from self._hand_over()
                took = self._took + self._env.now - began
                self._env.process(self._retransmitted(self._handed, took))
            frame = self._pending
            if frame is None:
                return
            self._pending, self._begun = None, frame.number
            yield from self._acknowledge(frame.number)
            began = self._env.now
            for work in self._phases:
                yield self._busy(work)
                yield from self._pass_on()
            self._made, self._took = frame.number, self._env.now - began

    def _pass_on(self) -> Events:
        """Passes on what has come, as far as the first frame for this chip."""
        while self.arrived.items and not self._kept:
            frame = yield self.arrived.get()
            if frame.message.destination == self._chip:
                self._kept = frame
            else:
                yield self._busy(self._instructions(frame.message))
                self._ring.put(self._chip + 1, frame)

    def _acknowledge(self, number: int) -> Events:
        yield self._busy(self._instructions(self._acknowledgement))
        self._ring.put(self._chip + 1, Frame(self._acknowledgement, number))

    def _hand_over(self) -> Events:
        yield self._busy(self._instructions(self._output))
        self._ring.put(self._chip + 1, Frame(self._output, self._handed))

    def _retransmitted(self, number: int, step_seconds: float) -> Events:
        """Sends the output again until it is taken: as firmware/roles/handover.py."""
        around = around_seconds(self._ring.plan)
        longest = max(LONGEST_TIMEOUT_MS / 1e3, 2 * around)
        shortest = max(SHORTEST_TIMEOUT_MS / 1e3, around)
        wait = min(max(shortest, TIMEOUT_STEPS * step_seconds), longest)
        while True:
            yield self._env.timeout(wait)
            if self._handed != number:
                return
            yield from self._hand_over()
            wait = min(1.25 * wait, longest)


class _Host:
    """Sends STEPs into the ring, and takes answers from it."""

    def __init__(self, ring: RingModel, sequences: int) -> None:
        self._ring, self._env = ring, ring.env
        self._queue = deque(range(sequences))  # sequences that have a STEP to send
        self._number = self._unacknowledged = 0
        self._awaited: set[int] = set()
        self._step = ring.find(HOST, 0)
        self._acknowledgement = ring.find(HOST, ring.plan.chips - 1, acknowledges=True)
        self._tokens, self._goal, self._done = 0, 0, ring.env.event()

    def generated(self, tokens: int) -> simpy.Event:
        """Returns an event when so many more tokens are there."""
        self._goal, self._done = self._tokens + tokens, self._env.event()
        self._send_next()
        return self._done

    def take(self, frame: Frame) -> None:
        """Takes what comes to the host, or passes through it."""
        message, number = frame.message, frame.number
        if message.destination != HOST:
            self._ring.put(0, frame)
        elif message.kind == ACK:
            if number == self._unacknowledged:
                self._unacknowledged = 0
                self._send_next()
        else:
            self._ring.put(0, Frame(self._acknowledgement, number))
            if number in self._awaited:
                self._awaited.discard(number)
                self._env.process(self._chosen())

    def _chosen(self) -> Events:
        """Yields a token's logits are looked at, and its sequence has a STEP to send."""
        yield self._env.timeout(HOST_SECONDS)
        self._tokens += 1
        self._queue.append(0)
        if self._tokens == self._goal:
            self._done.succeed()
        self._send_next()

    def _send_next(self) -> None:
        if self._queue and not self._unacknowledged:
            self._queue.popleft()
            self._number += 1
            self._unacknowledged = self._number
            self._awaited.add(self._number)
            self._env.process(self._sent(self._number))

    def _sent(self, number: int) -> Events:
        bounds = LOSSY_STAGE
        wait = bounds.initial
        while self._unacknowledged == number:
            self._ring.put(0, Frame(self._step, number))
            yield self._env.timeout(wait)
            wait = min(BACKOFF * wait, bounds.longest)
