"""A model that one chip with 160 KB of heap cannot load, divided among several that can."""

import functools

import pytest

from host.errors import ClusterError
from host.hardware.board import load
from host.launch import simulated as federation
from host.launch.simulated import Settings, running
from host.parallel.plan import DoesNotFit
from tests.system.reference_runs import assert_equals_reference

HEAP = 160 * 1024
STEPS = 24


def settings(chips, link="uart", context=32, **mode):
    return Settings(chips, link, load("simulated"), HEAP, context, **mode)


def test_the_plan_says_that_one_chip_is_too_small(model):
    told = "^1 chip with 160 KB of heap is [0-9]+ KB short of the model"
    with pytest.raises(DoesNotFit, match=told), running(model, settings(1)):
        pass


def test_one_chip_itself_says_that_it_cannot_load_it(model, monkeypatch):
    unbounded = functools.partial(federation.divided, heap=None)
    monkeypatch.setattr(
        federation, "divided", lambda *args, heap, **how: unbounded(*args, **how)
    )
    told = "BufferOverflow: chip 0: 8 heads with their share of 5 layers"
    with pytest.raises(ClusterError, match=told), running(model, settings(1)):
        pass


@pytest.mark.parametrize(
    ("chips", "link", "context", "mode"),
    [
        (5, "uart", 256, {}),
        (5, "espnow", 96, {"combine": "chips"}),
        (5, "uart", 48, {"stages": 2}),
        (6, "uart", 32, {"stages": 5}),  # of five, the last has no room for the vocabulary
    ],
)
def test_several_run_it(model, runs, chips, link, context, mode):
    with running(model, settings(chips, link, context, **mode)) as cluster:
        assert_equals_reference(cluster.federation, runs[0], STEPS)
        statistics = cluster.coordinator.statistics()
    assert all(chip.heap_used + chip.heap_free < HEAP for chip in statistics.values())
