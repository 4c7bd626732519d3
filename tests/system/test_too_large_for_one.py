"""A model that one chip with 160 KB of heap cannot load, divided among several that can."""

import pytest

from host.errors import ClusterError
from host.launch import SimulatedChips, open_cluster
from host.parallel.parallelism import ALL_REDUCE, HOST_REDUCE, hybrid, pipeline
from host.parallel.partition import partition
from host.parallel.refusal import DoesNotFit
from tests.system.reference_runs import assert_equals_reference

HEAP = 160 * 1024
STEPS = 24


def settings(chips, link="uart", context=32, how=HOST_REDUCE):
    return SimulatedChips.alike(chips, link, heap=HEAP, context=context, parallelism=how)


def test_the_plan_says_that_one_chip_is_too_small(model):
    message = "^1 chip with 160 KB of heap is [0-9]+ KB short of the model"
    with pytest.raises(DoesNotFit, match=message), open_cluster(model, settings(1)):
        pass


def test_one_chip_itself_says_that_it_cannot_load_it(model, monkeypatch):
    monkeypatch.setattr(
        "host.parallel.boards.partition",
        lambda *args, heap, uart_heap, **how: partition(*args, **how),
    )
    message = "BufferOverflow: chip 0: 6 heads with their shard of 5 layers"
    with pytest.raises(ClusterError, match=message), open_cluster(model, settings(1)):
        pass


@pytest.mark.parametrize(
    ("chips", "link", "context", "how"),
    [
        (5, "uart", 256, HOST_REDUCE),
        (5, "espnow", 96, ALL_REDUCE),
        (5, "uart", 48, hybrid(2)),
        (6, "uart", 32, pipeline(5)),  # of five, the last has no room for the vocabulary
    ],
)
def test_several_run_it(model, runs, chips, link, context, how):
    with open_cluster(model, settings(chips, link, context, how)) as cluster:
        assert_equals_reference(cluster.executor, runs[0], STEPS)
        statistics = cluster.coordinator.statistics()
    assert all(chip.heap_used + chip.heap_free < HEAP for chip in statistics.values())
