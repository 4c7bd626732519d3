"""Models a federation with chips that add up their partial sums, or exchange activations."""

from __future__ import annotations

import simpy

from bench import frame_sizes
from bench.federation_model import GATEWAY, Deliver, Events, Model, Request, Scenario
from bench.link_figures import RADIO_RECEIVE, RADIO_SEND, REPEAT
from bench.work import PART
from host.cluster.timeout import LOSSY, STEP_FACTOR
from host.parallel.cost.latency import HOST_SECONDS
from host.parallel.strategies.all_gather import part_size
from host.parallel.synchronization import (
    FINISHED_ATTENTION,
    FINISHED_FEED_FORWARD,
    GATHERED_HEADS,
    GATHERED_UNITS,
    PHASE_PARTS,
)
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY
from protocol.retransmit import Backoff

# Seconds until a chip reports to the host again that it knows nothing of a step; the host's first
# wait for a step.
_ASK_AGAIN = 10e-3  # firmware/roles/all_reduce.py
_STEP_WAIT = STEP_FACTOR * LOSSY.initial
_ACTIVATION_BITS = 16


class _Member:
    """A chip at one token: the collectives that it has begun, and the others' pieces that have
    arrived. pace: when it asks for missing pieces, as on a chip. Contributions are never so far
    apart here that it would ask later."""

    def __init__(self, env: simpy.Environment, chips: int) -> None:
        self.begun = -1
        self.arrived: dict[int, set[tuple[int, int]]] = {}  # by collective: member and piece
        self.started = env.event()
        self.news = env.event()
        self.asked = -1.0
        self.done = False
        self.pace = Backoff(chips)
        self.repeated: dict[int, float] = {}  # by collective: when it was last contributed again


class ChipCombined(Model):
    """One step per token: two sums per layer among the chips, then each chip's logits. phases: of
    a layer, each of which ends with a collective."""

    phases: tuple[int, ...] = (PHASE_ATTENTION, PHASE_FEED_FORWARD)

    def __init__(self, scenario: Scenario, seed: int = 0) -> None:
        super().__init__(scenario, seed)
        self._sizes = frame_sizes.contribution_frames(self.plan, scenario.sum_bits)
        self._members: list[_Member] = []
        self._request: Request | None = None
        self._others = [[c for c in self.medium.chips if c != chip] for chip in self.medium.chips]

    def token(self) -> Events:
        yield self.env.timeout(HOST_SECONDS)
        self._members = [_Member(self.env, self.plan.chips) for _ in self.medium.chips]
        self._request = request = Request(self.env, list(self.medium.chips))
        for chip in self.medium.chips:
            self.env.process(self._steps(chip, self._members[chip], request))
        self._send_step(list(self.medium.chips))
        while not request.done.triggered:
            yield self.env.any_of([request.done, self.env.timeout(_STEP_WAIT)])
            if not request.done.triggered:
                self._send_step(list(self.medium.chips))

    def _send_step(self, chips: list[int]) -> None:
        request = self._request

        def deliver(chip: int) -> None:
            member = self._members[chip]
            if not member.started.triggered:
                member.started.succeed()
            elif member.done and request is not None:
                self.env.process(self._answer(chip, request, REPEAT))

        for size in frame_sizes.step_frames(self.plan, self.scenario.residual_bits)[-1:]:
            self.env.process(self.sent_to_chips(chips, size, deliver))

    def _steps(self, chip: int, member: _Member, request: Request) -> Events:
        """Yields the events of a chip from a STEP to its answer."""
        yield member.started
        tasks = self.phases * self.plan.config.layers
        part = self._part(chip)
        for number, task in enumerate(tasks):
            # The part that completes a sum is in the task's instructions.
            merged = part if number and len(self._members) > 1 else 0
            yield from self.medium.computed(chip, max(self.instructions(task, chip) - merged, 0))
            member.begun = number
            yield from self._wait_for_turn(chip, member, number)
            self._contribute(chip, number, self._others[chip])
            yield from self._completed(chip, member, number)
        member.done = True
        yield from self._answer(chip, request, self.instructions(PHASE_VOCABULARY, chip))

    def _wait_for_turn(self, chip: int, member: _Member, number: int) -> Events:
        """Does what firmware/roles/turns.py does, which waits without receiving."""
        came = {source for source, _ in member.arrived.get(number, set())}
        before = sum(other not in came for other in range(chip))
        if self.scenario.slot and before:
            with self.medium.cpu[chip].request() as turn:
                yield turn
                yield self.env.timeout(before * self.scenario.slot)

    def _answer(self, chip: int, request: Request, instructions: float) -> Events:
        yield from self.medium.computed(chip, instructions)
        sizes = frame_sizes.logits_frames(self.plan, self.plan.shards[chip])
        if self.scenario.greedy:
            sizes = frame_sizes.best_frames(self.plan, chip)
        self.answered(request, chip, sizes)

    def _pieces(self, chip: int, number: int) -> frame_sizes.Sizes:
        """Returns the lengths of the frames of a chip's contribution; one without elements if it
        has no part in the phase."""
        phase = self.phases[number % len(self.phases)]
        has_part = getattr(self.plan.shards[chip], PHASE_PARTS[phase])
        return self._contributed(chip, phase) if has_part else (frame_sizes.NOTHING,)

    def _contributed(self, chip: int, phase: int) -> frame_sizes.Sizes:
        return self._sizes

    def _part(self, chip: int) -> float:
        driver = RADIO_RECEIVE if self.radio else 0
        return self.scenario.work.instructions(PART) + driver if self.plan.chips > 1 else 0.0

    def _completed(self, chip: int, member: _Member, number: int) -> Events:
        """Waits until all others' parts of a sum have arrived, and asks for missing ones."""
        pieces = {other: len(self._pieces(other, number)) for other in self._others[chip]}
        wanted = sum(pieces.values())
        arrived = member.arrived.setdefault(number, set())
        pace = member.pace
        pace.clear()
        turn = (chip + number) % self.plan.chips // 2
        while len(arrived) < wanted:
            member.news = self.env.event()
            wait = (pace.wait + turn) / 1e3
            yield self.env.any_of([member.news, self.env.timeout(wait)])
            if not member.news.triggered:
                pace.clock = self._milliseconds()
                missing = [
                    other
                    for other, count in pieces.items()
                    if pace.is_due(other)
                    and any((other, piece) not in arrived for piece in range(count))
                ]
                if missing:
                    self._ask(chip, missing, number)

    def _milliseconds(self) -> int:
        return int(self.env.now * 1e3)

    def _contribute(self, chip: int, number: int, receivers: list[int]) -> None:
        for piece, size in enumerate(self._pieces(chip, number)):

            def deliver(to: int, piece: int = piece) -> None:
                self.env.process(self._take(to, chip, number, piece))

            self._between(chip, receivers, size, deliver)

    def _take(self, chip: int, source: int, number: int, piece: int) -> Events:
        member = self._members[chip]
        if not member.started.triggered:
            yield from self._need_step(chip, member)
            return
        arrived = member.arrived.setdefault(number, set())
        if (source, piece) in arrived:
            return
        yield from self.medium.computed(chip, self._part(chip))
        arrived.add((source, piece))
        if number == member.begun and not member.news.triggered:
            member.news.succeed()

    def _need_step(self, chip: int, member: _Member) -> Events:
        if self.env.now - member.asked >= _ASK_AGAIN or member.asked < 0:
            member.asked = self.env.now
            yield from self.sent_to_host(
                chip, frame_sizes.NEED_STEP, lambda: self._send_step([chip])
            )

    def _ask(self, chip: int, missing: list[int], number: int) -> None:
        """Sends one request to all for what is missing from these members."""
        for other in missing:
            self._members[chip].pace.note(other)

        def deliver(to: int) -> None:
            hearer = self._members[to]
            hearer.pace.clock = self._milliseconds()
            if hearer.begun == number:
                for other in missing:
                    hearer.pace.note(other)
            hold = hearer.pace.wait / 2e3
            again = self.env.now - hearer.repeated.get(number, -hold) >= hold
            if to in missing and hearer.begun >= number and again:
                hearer.repeated[number] = self.env.now
                self.env.process(self._repeat(to, number))

        self._between(chip, self._others[chip], frame_sizes.repair(len(missing)), deliver)

    def _repeat(self, chip: int, number: int) -> Events:
        yield from self.medium.computed(chip, REPEAT)
        self._contribute(chip, number, self._others[chip])

    def _between(self, chip: int, receivers: list[int], size: int, deliver: Deliver) -> None:
        """Sends a frame from chip to chips: over the air, or through the host on serial lines."""
        if receivers and self.radio:
            self.env.process(self._over_air(chip, receivers, size, deliver))
        elif receivers:
            self.env.process(self._over_lines(chip, receivers, size, deliver))

    def _over_air(self, chip: int, receivers: list[int], size: int, deliver: Deliver) -> Events:
        driver = RADIO_SEND if chip == GATEWAY else 0  # the others' is in their tasks
        yield from self.medium.computed(chip, driver)
        came = yield from self.medium.on_air(size, True)
        for to in receivers:
            if came and self.medium.arrives():
                deliver(to)

    def _over_lines(self, chip: int, receivers: list[int], size: int, deliver: Deliver) -> Events:
        yield from self.medium.to_host(chip, size)
        if self.medium.arrives():
            yield from self.sent_to_chips(receivers, size, deliver)


class ChipGathered(ChipCombined):
    """A federation with two collectives in each phase: of activations, and of the residual
    stream."""

    phases = (GATHERED_HEADS, FINISHED_ATTENTION, GATHERED_UNITS, FINISHED_FEED_FORWARD)

    def _contributed(self, chip: int, phase: int) -> frame_sizes.Sizes:
        is_stream = phase in (FINISHED_ATTENTION, FINISHED_FEED_FORWARD)
        bits = self.scenario.residual_bits if is_stream else _ACTIVATION_BITS
        count = part_size(self.plan, self.plan.shards[chip], phase)
        return frame_sizes.contribution_frames(self.plan, bits, count)
