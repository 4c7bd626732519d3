"""Chips that send by rank, as boards on the radio do: on simulated chips, whose air is as fast as
this machine, the text is the reference's, and a plan counts what waiting takes of heaps."""

import pytest

from host.launch import SimulatedChips, open_cluster
from host.parallel.parallelism import ALL_GATHER, ALL_REDUCE, hybrid
from host.parallel.strategies.all_reduce import TURNS_CODE
from tests.heap_use import kept_bytes
from tests.host.test_memory import TOO_LITTLE
from tests.system.federations import HEAP
from tests.system.reference_runs import assert_equals_reference
from tests.system.test_restarts import change_configuration

VERIFY = pytest.mark.verify


@pytest.mark.parametrize(
    ("parallelism", "chips", "secure"),
    [
        (ALL_REDUCE, 4, True),
        pytest.param(ALL_GATHER, 5, False, marks=VERIFY),
        pytest.param(hybrid(2), 6, True, marks=VERIFY),
    ],
)
def test_they_give_the_reference(model, runs, monkeypatch, parallelism, chips, secure):
    how = SimulatedChips.alike(
        chips, "espnow", signed=secure, heap=HEAP, parallelism=parallelism
    )
    with open_cluster(model, how) as cluster:
        before = kept_bytes(cluster.executor, cluster.coordinator)
    change_configuration(monkeypatch, lambda config: config["radio"].update(slot=150))
    with open_cluster(model, how) as cluster:
        assert_equals_reference(cluster.executor, runs[1], 16)
        after = kept_bytes(cluster.executor, cluster.coordinator)
    for chip, kept in after.items():
        assert kept - before[chip] <= TURNS_CODE + TOO_LITTLE
