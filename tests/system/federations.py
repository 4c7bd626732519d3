"""Federations of simulated boards with PSRAM, and what they must generate."""

from host.launch import SimulatedChips, open_cluster
from host.parallel.parallelism import Parallelism
from tests.plans import stages_of
from tests.system.reference_runs import assert_equals_reference

# Bytes of a chip's heap. Plans for the tests' models are the same as for more, and its collector,
# which walks through all of it, is done in a fraction of the time.
HEAP = 1 << 20


def settings(chips, link, loss=0.0, secure=False, reduce="host", stages=0):
    """Chips to simulate, with losses of a seed of its own."""
    parallelism = stages_of(stages, chips) if stages else Parallelism(reduce=reduce)
    return SimulatedChips.alike(
        chips, link, signed=secure, heap=HEAP, parallelism=parallelism, loss=loss, seed=1
    )


def assert_prompts_equal(model, runs, prompts, steps, how):
    """Holds what these prompts give to the reference, logit by logit."""
    with open_cluster(model, how) as cluster:
        for prompt in prompts:
            assert_equals_reference(cluster.executor, runs[prompt], steps)
        assert cluster.executor.recoveries == 0
        # A lone chip's answers do not go through the air, and chips that combine repair a good
        # part of what is lost among themselves.
        by_host = how.parallelism.reduce == "host"
        if by_host and how.loss and (how.link.kind == "uart" or how.count > 1):
            assert cluster.coordinator.resends > steps
