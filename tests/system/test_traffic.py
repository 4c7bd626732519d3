"""Synchronizations, frames and bytes of a token, counted on the links, are what the plan says.

Each token's counts are taken apart from the next one's, while nothing is lost. A machine may be
so busy that a frame is retransmitted, or counted with the next token: such tokens are passed
over, but enough must have exactly what is planned.
"""

import itertools
from dataclasses import astuple

import pytest

from host.launch import SimulatedChips, open_cluster
from host.parallel.cost.traffic import Count, count_traffic, widest_sums
from host.parallel.cost.widths import SumWidths
from host.parallel.parallelism import ALL_GATHER, Parallelism
from tests.plans import stages_of
from tests.system.conftest import STEPS
from tests.system.federations import HEAP

VERIFY = pytest.mark.verify
WANTED = 4  # tokens without repetitions


def counted(cluster):
    """What links and chips have counted so far: one Count each."""
    transport = cluster.transport
    statistics = cluster.coordinator.statistics()
    chips = range(len(statistics))
    return [
        Count(transport.frames_sent, transport.bytes_sent),
        Count(transport.frames_received, transport.bytes_received),
        Count(transport.frames_relayed, transport.bytes_relayed),
        *(Count(statistics[c].frames_sent, statistics[c].bytes_sent) for c in chips),
        *(Count(statistics[c].frames_received, statistics[c].bytes_received) for c in chips),
    ]


def planned(of_token):
    return [
        of_token.sent, of_token.received, of_token.relayed, *of_token.chips_sent,
        *of_token.chips_received,
    ]  # fmt: skip


def between(before, after, idle):
    """What came between two counts, but for what counting itself takes."""
    return [
        Count(now.frames - then.frames - own.frames, now.bytes - then.bytes - own.bytes)
        for then, now, own in zip(before, after, idle, strict=True)
    ]


def what_counting_takes(cluster):
    """The same for each STATISTICS, so the least that is seen is of one without repetitions."""
    counts = [counted(cluster) for _ in range(6)]
    spent = [between(then, now, [Count()] * len(now)) for then, now in itertools.pairwise(counts)]
    return min(spent, key=lambda counts: [astuple(count) for count in counts])


def frames(counts):
    return [count.frames for count in counts]


CASES = [
    (reduce, link, chips, secure)
    for reduce in ("host", "chips", "gather")
    for link in ("uart", "espnow")
    for chips in (1, 2, 5)
    for secure in (False, True)
]
RINGS = [(chips, "ring", chips, secure) for chips in (2, 5) for secure in (False, True)]
STAGED = [
    (stages, link, chips, secure)
    for stages, chips in ((2, 2), (5, 5), (2, 5), (1, 3))
    for link in ("uart", "espnow")
    for secure in (False, True)
]


def is_in_slice(mode, link, chips, secure):
    """Five chips on the air are signed, all others are not; of all-gather these alone."""
    if (link, chips) == ("espnow", 5):
        return secure
    return not secure and mode != "gather"


SLICE = [
    case if is_in_slice(*case) else pytest.param(*case, marks=VERIFY)
    for case in (*CASES, *STAGED, *RINGS)
]


@pytest.mark.parametrize(("mode", "link", "chips", "secure"), SLICE)
def test_what_is_counted_is_what_is_planned(model, runs, mode, link, chips, secure):
    assert_counts(model, runs, mode, link, chips, secure)


@pytest.mark.parametrize("mode", ["host", "chips", pytest.param(2, marks=VERIFY)])
def test_so_it_is_with_long_frames_on_the_air(model, runs, mode):
    assert_counts(model, runs, mode, "espnow", 5, secure=True, radio_mtu=1470)


def assert_counts(model, runs, mode, link, chips, secure, radio_mtu=None):
    """mode: who adds up partial sums, or all-gather, or how many stages there are."""
    run = runs[1]
    if isinstance(mode, int):
        named = stages_of(mode, chips)
    else:
        named = ALL_GATHER if mode == "gather" else Parallelism(reduce=mode)
    how = SimulatedChips.alike(
        chips, link, signed=secure, heap=HEAP, parallelism=named, radio_mtu=radio_mtu
    )
    with open_cluster(model, how) as cluster:
        executor = cluster.executor
        plan, widths = executor.plan, SumWidths(model, executor.plan)
        executor.greedy = chips != 2  # of two, logits
        executor.begin()
        executor.forward(run.tokens[: run.prompt].tolist())
        for token in run.tokens[: run.prompt]:
            widths.run(token)
        idle, exact = what_counting_takes(cluster), 0
        for token in run.tokens[run.prompt : STEPS].tolist():
            before, synchronizations = counted(cluster), executor.synchronizations
            executor.forward([token])
            spent = between(before, counted(cluster), idle)
            widths.run(token)
            most = expected(plan, executor.greedy)
            of_token = expected(plan, executor.greedy, widths)
            assert executor.synchronizations - synchronizations == of_token.synchronizations
            if frames(spent) == frames(planned(of_token)):
                assert spent == planned(of_token)
                assert of_token.lines.bytes <= most.lines.bytes
                assert of_token.air.bytes <= most.air.bytes
                exact += 1
            if exact == WANTED:
                break
    assert exact == WANTED


def expected(plan, greedy, widths=None):
    """What is planned for a token, with or without the numbers in it."""
    known = widths.widths if widths else widest_sums(plan)
    return count_traffic(plan, plan.strategy.synchronizations(plan, greedy, known))
