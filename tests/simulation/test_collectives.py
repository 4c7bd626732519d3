"""Collectives of MicroPython processes over the simulated radio, which loses frames."""

import json

import pytest

from host.simulation.hub import HubProcess
from tests.simulation import launch

CAPACITY, ROUNDS = 180, 4
BAD_AIR = {"loss": 0.2, "duplicate": 0.1, "reorder": 0.1, "corrupt": 0.02, "seed": 5}


def values_of(member, number, count):
    """As tests/simulation/collective_member.py has them."""
    limit = 1 << (member + 5 * number) % 20
    return [(member * 7919 + number * 104729 + i * 31) % limit - limit // 2 for i in range(count)]


def expected(me, world, number):
    """What each collective of a round gives to a member."""
    root = number % world
    each = [values_of(member, number, CAPACITY) for member in range(world)]
    slices = [values_of(member, number, 7) for member in range(world)]
    return {
        "all_reduce": [sum(column) for column in zip(*each, strict=True)],
        "all_gather": [value for one in slices for value in one],
        "broadcast": values_of(root, number, 90),
        "scatter": values_of(root, number, 9 * world)[9 * me : 9 * me + 9],
        "barrier": [],
    }


def found(micropython, world, absent=(), **air):
    """What each member but those that are absent prints."""
    with HubProcess(**air) as hub:
        members = [
            launch.chip(
                micropython,
                f"from tests.simulation.collective_member import run; run({me}, {world})",
                number=me + 1,
                hub=hub,
            )
            for me in range(world)
            if me not in absent
        ]
        try:
            return [member.stdout.readline() for member in members]
        finally:
            for member in members:
                member.kill()
                member.communicate()


@pytest.mark.parametrize("air", [{}, BAD_AIR], ids=["good air", "bad air"])
@pytest.mark.parametrize(
    "world",
    [
        world if world in (1, 2, 3, 5, 8) else pytest.param(world, marks=pytest.mark.verify)
        for world in range(1, 21)
    ],
)
def test_processes_compute_what_they_must(micropython, world, air):
    printed = found(micropython, world, **air)
    for me, line in enumerate(printed):
        assert line.startswith("["), line
        assert json.loads(line) == [expected(me, world, number) for number in range(ROUNDS)]


@pytest.mark.parametrize("air", [pytest.param({}, marks=pytest.mark.verify), BAD_AIR],
                         ids=["good air", "bad air"])  # fmt: skip
@pytest.mark.parametrize(
    ("world", "absent"),
    [
        pytest.param(2, [0], marks=pytest.mark.verify),
        pytest.param(5, [3], marks=pytest.mark.verify),
        (8, [1, 6]),
    ],
)
def test_processes_name_those_that_are_missing(micropython, world, absent, air):
    """After seconds of waiting; in virtual time tests/host/test_collective_properties.py tries any
    groups."""
    for line in found(micropython, world, absent, **air):
        assert line == f"missing {absent}\n"
