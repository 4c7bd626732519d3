"""Models tokens per second of a federation: chips, serial lines and the air as discrete events.

One token after another is modelled at one position, greedy or sampled. Chips compute for as long
as emulated chips execute instructions (bench/work.py). A serial line carries one frame at a time
in each direction; the air carries one frame at a time, from any sender. A frame is lost at each
receiver with a given probability, after the radio's own retries and, if stations may collide, also
by the rule of bench/contention.py. Waiting and retransmission are as in host/cluster/requester.py
and protocol/collective.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Protocol

import simpy

from bench.contention import SharedAir
from bench.link_figures import (
    RADIO_RECEIVE,
    RADIO_SEND,
    RELAY_TO_HOST,
    RELAY_TO_RADIO,
    REPEAT,
    Rate,
    line_time,
)
from host.parallel.cost.latency import USB_SECONDS
from host.parallel.plan import Plan, Shard
from host.parallel.synchronization import PHASE_PARTS

Events = Generator[simpy.Event, Any, None]
Deliver = Callable[[int], object]  # called with the chip that a frame has reached
GATEWAY = 0


class Instructions(Protocol):
    """The instructions of chips."""

    def instructions(self, task: int, shard: Shard | None = None) -> float:
        """Returns those of one task of one layer (bench/work.py), for the chip that owns
        `shard`."""


@dataclass(frozen=True)
class Scenario:
    """A federation. hertz: instructions per second; rate: of ESP-NOW, None on UART; loss: of a
    frame at a receiver; sum_bits, residual_bits: of an element of partial sums and residual
    stream; greedy: whether chips that add up answer with their best tokens, not logits; collides:
    whether stations that need the air at the same time may send at once (bench/contention.py), or
    take turns; slot: seconds for which a chip waits for each chip before it, when chips add up
    (firmware/roles/turns.py)."""

    plan: Plan
    work: Instructions
    hertz: float
    rate: Rate | None = None
    loss: float = 0.0
    sum_bits: int = 24
    residual_bits: int = 20
    greedy: bool = False
    collides: bool = False
    slot: float = 0.0

    def __post_init__(self) -> None:
        if (self.rate is None) != (self.plan.link.mtu is None):
            raise ValueError("a plan for the radio has an MTU and a rate, one for UART neither")


@dataclass(frozen=True)
class Outcome:
    """Means per token: seconds; frames and bytes on serial lines and on the air."""

    seconds: float
    line_frames: float
    line_bytes: float
    air_frames: float
    air_bytes: float


class Medium:
    """The lines, the air and the processors. Times are in seconds."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.env = simpy.Environment()
        self.scenario = scenario
        self.chips = range(scenario.plan.chips)
        self.cpu = [simpy.Resource(self.env) for _ in self.chips]
        self.line_frames = self.line_bytes = self.air_frames = self.air_bytes = 0
        self._down = [simpy.Resource(self.env) for _ in self.chips]
        self._up = [simpy.Resource(self.env) for _ in self.chips]
        self._air = simpy.Resource(self.env)
        self._random = Random(seed)
        self.shared_air = SharedAir(self.env, Random(f"{seed}/air"))

    def arrives(self) -> bool:
        """Returns whether a frame is not lost at a receiver."""
        return self._random.random() >= self.scenario.loss

    def computed(self, chip: int, instructions: float) -> Events:
        """Makes the chip execute instructions."""
        with self.cpu[chip].request() as turn:
            yield turn
            yield self.env.timeout(instructions / self.scenario.hertz)

    def to_chip(self, chip: int, size: int) -> Events:
        """Yields a frame on the chip's line, from the host."""
        yield self.env.timeout(USB_SECONDS)
        yield from self._on_line(self._down[chip], size)

    def to_host(self, chip: int, size: int) -> Events:
        """Yields a frame on the chip's line, to the host."""
        yield from self._on_line(self._up[chip], size)
        yield self.env.timeout(USB_SECONDS)

    def on_air(self, size: int, to_all: bool) -> Generator[simpy.Event, Any, bool]:
        """Sends a frame on the air; returns whether it arrived."""
        assert self.scenario.rate is not None
        self.air_frames += 1
        self.air_bytes += size
        seconds, came = self.scenario.rate.airtime(size, to_all), True
        if self.scenario.collides:
            came = yield from self.shared_air.carry(seconds, to_all)
        else:
            with self._air.request() as turn:
                yield turn
                yield self.env.timeout(seconds)
        yield self.env.timeout(self.scenario.rate.delay)
        return came

    def _on_line(self, line: simpy.Resource, size: int) -> Events:
        self.line_frames += 1
        self.line_bytes += size
        with line.request() as turn:
            yield turn
            yield self.env.timeout(line_time(size))


class Model(ABC):
    """What federations with host reduce and with all-reduce have in common: the host asks all
    chips and waits for an answer from each."""

    def __init__(self, scenario: Scenario, seed: int = 0) -> None:
        self.scenario, self.plan = scenario, scenario.plan
        self.medium = Medium(scenario, seed)
        self.env = self.medium.env
        self.radio = scenario.rate is not None

    def outcome(self, tokens: int, first: int = 1) -> Outcome:
        """Returns the means over `tokens` tokens, after `first` tokens in which the host learns
        its timeouts."""
        self.env.run(self.env.process(self._tokens(first)))
        before = self._counts()
        self.env.run(self.env.process(self._tokens(tokens)))
        spent = zip(self._counts(), before, strict=True)
        return Outcome(*((now - then) / tokens for now, then in spent))

    def _counts(self) -> tuple[float, ...]:
        medium = self.medium
        return (
            self.env.now, medium.line_frames, medium.line_bytes, medium.air_frames,
            medium.air_bytes,
        )  # fmt: skip

    def _tokens(self, count: int) -> Events:
        for _ in range(count):
            yield from self.token()

    @abstractmethod
    def token(self) -> Events:
        """Yields the events of one token, from its embedding to its logits."""

    def instructions(self, task: int, chip: int) -> float:
        """Returns those of a task on a chip, 0 without a part in it; with the radio's driver."""
        shard = self.plan.shards[chip]
        if not getattr(shard, PHASE_PARTS[task]):
            return REPEAT
        radio = RADIO_SEND + RADIO_RECEIVE if self.radio and chip != GATEWAY else 0
        return self.scenario.work.instructions(task, shard) + radio

    def sent_to_chips(self, chips: Sequence[int], size: int, deliver: Deliver) -> Events:
        """Yields a host's frame to some chips; deliver(chip) is called for those that it
        reaches."""
        if not self.radio:
            for chip in chips:
                self.env.process(self._down(chip, size, deliver))
            return
        yield from self.medium.to_chip(GATEWAY, size)
        if not self.medium.arrives():
            return
        if any(chip != GATEWAY for chip in chips):
            yield from self.medium.computed(GATEWAY, RELAY_TO_RADIO)
            self.env.process(self._broadcast(chips, size, deliver))
        if GATEWAY in chips:
            deliver(GATEWAY)

    def _down(self, chip: int, size: int, deliver: Deliver) -> Events:
        yield from self.medium.to_chip(chip, size)
        if self.medium.arrives():
            deliver(chip)

    def _broadcast(self, chips: Sequence[int], size: int, deliver: Deliver) -> Events:
        came = yield from self.medium.on_air(size, True)
        for chip in chips:
            if chip != GATEWAY and came and self.medium.arrives():
                deliver(chip)

    def sent_to_host(self, chip: int, size: int, deliver: Callable[[], object]) -> Events:
        """Yields a chip's frame to the host; deliver() is called if it arrives."""
        at = chip
        if self.radio and chip != GATEWAY:
            came = yield from self.medium.on_air(size, False)
            if not (came and self.medium.arrives()):
                return
            yield from self.medium.computed(GATEWAY, RELAY_TO_HOST)
            at = GATEWAY
        yield from self.medium.to_host(at, size)
        if self.radio or self.medium.arrives():
            deliver()

    def answered(self, request: Request, chip: int, sizes: Sequence[int]) -> None:
        """Sends a chip's answer in its frames."""
        for piece, size in enumerate(sizes):
            take = partial(request.take, self.env, chip, piece, len(sizes))
            self.env.process(self.sent_to_host(chip, size, take))


class Request:
    """A request of the host, and the chips that have not answered it."""

    def __init__(self, env: simpy.Environment, owners: Sequence[int]) -> None:
        self.missing = list(owners)
        self.done = env.event()
        self.progress = self.started = env.now
        self._pieces: dict[int, set[int]] = {chip: set() for chip in owners}

    def take(self, env: simpy.Environment, chip: int, piece: int, pieces: int) -> None:
        """Takes one of the frames of a chip's answer."""
        if chip not in self.missing or piece in self._pieces[chip]:
            return
        self._pieces[chip].add(piece)
        self.progress = env.now
        if len(self._pieces[chip]) == pieces:
            self.missing.remove(chip)
            if not self.missing:
                self.done.succeed()
