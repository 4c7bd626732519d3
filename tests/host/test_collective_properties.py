"""Every collective gives every member what numpy says, whatever the world, the numbers, the frames
and the air."""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from protocol.collective import CONTRIBUTION_FIELDS, MAX_PIECES, MissingMember
from protocol.gather_scatter import GatherScatter
from tests.protocol.air import TICK, TIMEOUT, Group

BAD: dict[str, int | bool] = {"loss": 20, "doubled": 20, "shuffle": True}
OPERATIONS = ("all_reduce", "all_gather", "broadcast", "scatter", "barrier")


@dataclass(frozen=True)
class Case:
    """A group, its air and its collectives. count: elements of a member's part; width: bits of
    what is contributed, at most; room: bytes in a frame for a contribution."""

    world: int
    count: int
    width: int
    room: int
    operations: list[str]
    root: int
    seed: int
    air: dict[str, int | bool]

    @property
    def members(self) -> list[int]:
        """Ids in no order."""
        return random.Random(self.seed).sample(range(254), self.world)

    @property
    def bits(self) -> int:
        """Of the widest sum."""
        return self.width + (self.world - 1).bit_length()

    def values(self, number: int) -> NDArray[np.int64]:
        """What the members give [world, world * count], of which each uses the beginning."""
        chance = np.random.default_rng([self.seed, number])
        limit = 1 << int(chance.integers(0, self.width))
        return chance.integers(-limit, limit, (self.world, self.world * self.count))

    def result(self, number: int) -> list[int]:
        """What each member has then at the beginning of its vector."""
        given = self.values(number)
        match self.operations[number]:
            case "all_reduce":
                return given[:, : self.count].sum(axis=0).tolist()
            case "all_gather":
                return given[:, : self.count].ravel().tolist()
            case "broadcast":
                return given[self.root, : self.count].tolist()
            case "scatter":
                return given[self.root].tolist()
        return []


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Groups whose longest vector fits the pieces that there can be."""
    world, width = draw(st.integers(1, 20)), draw(st.integers(1, 26))
    bits = width + (world - 1).bit_length()
    room = draw(st.integers(CONTRIBUTION_FIELDS + 4, 238))
    most = (room - CONTRIBUTION_FIELDS) * 8 // bits * MAX_PIECES // world
    return Case(
        world,
        draw(st.integers(1, max(1, min(most, 40)))),
        width,
        room,
        draw(st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=4)),
        draw(st.integers(0, world - 1)),
        draw(st.integers(0, 2**32 - 1)),
        draw(st.sampled_from([{}, BAD])),
    )


@settings(deadline=None, max_examples=60)
@given(cases())
def test_every_member_has_what_numpy_says(case: Case) -> None:
    random.seed(case.seed)
    members, numbers = case.members, range(len(case.operations))
    given_values = [case.values(number) for number in numbers]

    def begin(exchange: GatherScatter, member: int, number: int) -> None:
        values = array("i", given_values[number][members.index(member)].tolist())
        operation, root = case.operations[number], members[case.root]
        if operation == "barrier":
            exchange.barrier()
        elif operation in ("broadcast", "scatter"):
            getattr(exchange, operation)(values, case.count, root)
        else:
            getattr(exchange, operation)(values, case.count)

    capacity = case.world * case.count
    group = Group(members, capacity, case.bits, case.room, **case.air)
    results = group.run(begin, len(case.operations))
    for member in members:
        for number in numbers:
            expected = case.result(number)
            assert results[member][number][: len(expected)] == expected
            assert not any(results[member][number][len(expected) :])
        mine = group.exchanges[member].slice_start(case.count)
        assert mine == members.index(member) * case.count


@st.composite
def worlds_with_silent(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Members, and those of them that say nothing: one at least is not silent."""
    members = draw(st.lists(st.integers(0, 253), min_size=2, max_size=20, unique=True))
    silent = draw(st.lists(st.sampled_from(members), min_size=1, max_size=3, unique=True))
    return members, silent[: len(members) - 1]


@settings(deadline=None, max_examples=40)
@given(worlds_with_silent(), st.sampled_from([{}, BAD]), st.integers(0, 1000))
def test_exactly_the_silent_members_are_named(
    case: tuple[list[int], list[int]], air: dict[str, int | bool], seed: int
) -> None:
    random.seed(seed)
    members, silent = case
    group = Group(members, **air)
    group.silent = tuple(silent)
    for member in members:
        group.exchanges[member].all_reduce(array("i", [member]), 1)
    named: dict[int, tuple[int, ...]] = {}
    speaking = [member for member in members if member not in silent]
    for _ in range(4 * TIMEOUT // TICK):
        if len(named) == len(speaking):
            break
        while group.frames:
            group.turn()
        for member in speaking:
            try:
                group.exchanges[member].tick(TICK)
            except MissingMember as missing:
                named[member] = missing.args
    expected = tuple(member for member in members if member in silent)
    assert named == dict.fromkeys(speaking, expected)
