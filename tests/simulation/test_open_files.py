"""The limit of open files, which many simulated chips exceed."""

import resource

import pytest

from host.errors import ClusterError
from host.launch import simulated
from host.launch.choice import Choice
from host.launch.simulated import SimulatedChips
from host.parallel.parallelism import HOST_REDUCE
from host.simulation.open_files import reserve_files


@pytest.fixture
def limit(monkeypatch):
    """Sets the limits that are reported; returns those that are set."""

    def report(soft, hard):
        monkeypatch.setattr(resource, "getrlimit", lambda kind: (soft, hard))
        return found

    found = []
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: found.append(limits))
    return report


def test_the_limit_is_raised_where_that_is_allowed(limit):
    found = limit(40, 4096)
    reserve_files(5, 1)
    reserve_files(100, 100)
    (few, _), (many, hard) = found
    assert 40 < few < 120 and 800 < many < 900 and hard == 4096


@pytest.mark.parametrize(
    ("soft", "hard"), [(1024, 4096), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)]
)
def test_an_ample_limit_is_let_be(limit, soft, hard):
    found = limit(soft, hard)
    reserve_files(20, 20)
    assert found == []


def test_how_many_files_are_needed_is_said_before_anything_starts(limit, monkeypatch):
    limit(20, 40)
    monkeypatch.setattr(simulated, "SimulatedCluster", None)
    chips = SimulatedChips.alike(20)
    with (
        pytest.raises(ClusterError, match=r"^20 chips take \d+ open files, and 40 are allowed"),
        chips.open(None, Choice(HOST_REDUCE, "as given")),
    ):
        pass
