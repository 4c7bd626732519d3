"""Models a federation with host reduce."""

from __future__ import annotations

from bench import frame_sizes
from bench.federation_model import Events, Model, Request, Scenario
from bench.link_figures import REPEAT
from host.cluster.requester import MOST_RETRIES_AT_ONCE
from host.cluster.timeout import LOSSY, RetransmitTimeout
from host.parallel.cost.latency import HOST_SECONDS
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY


class HostCombined(Model):
    """Two synchronizations per layer and one for the logits, one after another."""

    def __init__(self, scenario: Scenario, seed: int = 0) -> None:
        super().__init__(scenario, seed)
        self._request_size = frame_sizes.request_frames(self.plan)
        self._paces = {
            task: RetransmitTimeout(LOSSY) for task in range(3)
        }
        self._number = 0
        self._answered = [-1] * self.plan.chips

    def token(self) -> Events:
        for _ in range(self.plan.config.layers):
            yield from self._synchronization(PHASE_ATTENTION)
            yield from self._synchronization(PHASE_FEED_FORWARD)
        yield from self._synchronization(PHASE_VOCABULARY)

    def _synchronization(self, task: int) -> Events:
        owners = [
            shard.chip
            for shard in self.plan.shards
            if (shard.heads, shard.units, shard.rows)[task]
        ]
        yield self.env.timeout(HOST_SECONDS)
        self._number += 1
        request, pace = Request(self.env, owners), self._paces[task]
        # To several chips means to all, also those without a part in it.
        all_chips = list(self.medium.chips)
        self._ask(request, task, self._number, all_chips if len(owners) > 1 else owners)
        wait, repeats = pace.seconds, 0
        while True:
            asked = self.env.now
            yield self.env.any_of([request.done, self.env.timeout(wait)])
            if request.done.triggered:
                break
            if not repeats and request.progress > request.started:
                pace.measure(request.progress - request.started)
            first = repeats * MOST_RETRIES_AT_ONCE % len(request.missing)
            for chip in (request.missing[first:] + request.missing[:first])[:MOST_RETRIES_AT_ONCE]:
                self._ask(request, task, self._number, [chip])
            progressed = request.progress > asked
            wait = pace.seconds if progressed else min(2 * wait, pace.longest)
            repeats += 1
        if not repeats:
            pace.measure(self.env.now - request.started)

    def _ask(self, request: Request, task: int, number: int, chips: list[int]) -> None:
        def deliver(chip: int) -> None:
            self.env.process(self._answer(request, task, number, chip))

        # A request that is a single frame, as all of up to 115 elements on the radio are; of more
        # fragments each must arrive, which without losses is the same.
        *before, last = self._request_size
        for size in before:
            self.env.process(self.sent_to_chips(chips, size, lambda chip: None))
        self.env.process(self.sent_to_chips(chips, last, deliver))

    def _answer(self, request: Request, task: int, number: int, chip: int) -> Events:
        if number < self._number:
            return  # of a synchronization that is over
        known = self._answered[chip] >= number
        self._answered[chip] = max(self._answered[chip], number)
        yield from self.medium.computed(chip, REPEAT if known else self.instructions(task, chip))
        shard, bits = self.plan.shards[chip], self.scenario.sum_bits
        if not (shard.heads, shard.units, shard.rows)[task]:
            return
        sizes = frame_sizes.answer_frames(self.plan, shard, task, bits)
        self.answered(request, chip, sizes)
