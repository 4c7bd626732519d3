"""Federations of simulated boards with PSRAM, and what they must generate."""

from host.hardware.board import load
from host.launch.simulated import Settings, random_key, running
from host.parallel.parallelism import Parallelism
from tests.plans import stages_of
from tests.system.reference_runs import assert_equals_reference


def settings(chips, link, loss=0.0, secure=False, reduce="host", stages=0):
    """How to simulate so many chips."""
    board = load("simulated")
    key = random_key() if secure else b""
    heap = board.planned_heap(link)
    parallelism = stages_of(stages, chips) if stages else Parallelism(reduce=reduce)
    return Settings(chips, link, board, heap, None, loss, 1, key, parallelism)


def assert_prompts_equal(model, runs, prompts, steps, how):
    """Holds what these prompts give to the reference, logit by logit."""
    with running(model, how) as cluster:
        for prompt in prompts:
            assert_equals_reference(cluster.federation, runs[prompt], steps)
        assert cluster.federation.recoveries == 0
        # A lone chip's answers do not go through the air, and chips that combine repair a good
        # part of what is lost among themselves.
        by_host = how.parallelism.reduce == "host"
        if by_host and how.loss and (how.link == "uart" or how.chips > 1):
            assert cluster.coordinator.resends > steps
