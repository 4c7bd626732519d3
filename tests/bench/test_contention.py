"""The rule by which stations share the air, and what it gives for what others measured."""

from random import Random

import pytest
import simpy

from bench.air import PUBLISHED, throughput
from bench.contention import MODULATIONS, MOST_TRIES, SLOT, WINDOW, SharedAir, airtime

SECONDS = 1e-3


def rounds_of(stations, rounds, to_all, window=WINDOW):
    """The air, and which frames came through, where so many stations begin to send at once."""
    env = simpy.Environment()
    air = SharedAir(env, Random(5), window)
    came = []

    def send():
        came.append((yield from air.carry(SECONDS, to_all)))

    for at in range(rounds):
        for _ in range(stations):
            env.process(send())
        env.run(at + 1)
    return air, came


def collision_chance(stations, window):
    """That of the frames that are sent first several are, in one draw."""
    alone = sum(
        stations / window * ((window - 1 - slot) / window) ** (stations - 1)
        for slot in range(window)
    )
    return 1 - alone


def test_a_station_by_itself_never_collides():
    air, came = rounds_of(1, 50, True)
    assert (air.frames, air.collided) == (50, 0) and all(came)


@pytest.mark.parametrize("window", [4, WINDOW])
def test_two_that_begin_together_collide_as_often_as_they_draw_the_same(window):
    rounds = 4000
    air, came = rounds_of(2, rounds, True, window)
    assert collision_chance(2, window) == pytest.approx(1 / window)
    assert air.collided / 2 / rounds == pytest.approx(1 / window, rel=0.15)
    assert came.count(False) == air.collided and air.frames == 2 * rounds


def test_all_of_a_window_of_one_slot_collide():
    air, came = rounds_of(3, 10, True, 1)
    assert air.collided == air.frames == 30 and not any(came)


def test_what_goes_to_one_station_is_sent_again_until_it_comes():
    air, came = rounds_of(5, 40, False)
    assert all(came) and len(came) == 200
    assert air.collided and air.frames == 200 + air.collided


def test_but_not_for_ever():
    env = simpy.Environment()
    air = SharedAir(env, Random(0))
    air._random = type("Same", (), {"randrange": staticmethod(lambda window: 3)})
    came = []

    def send():
        came.append((yield from air.carry(SECONDS, False)))

    for _ in range(2):
        env.process(send())
    env.run(1)
    assert came == [False, False] and air.frames == 2 * MOST_TRIES


def test_frames_follow_one_another():
    env = simpy.Environment()
    air = SharedAir(env, Random(2))
    ends = []

    def send():
        yield from air.carry(SECONDS, True)
        ends.append(env.now)

    for _ in range(2):
        env.process(send())
    env.run(1)
    assert ends == pytest.approx([SLOT + SECONDS, 2 * (SLOT + SECONDS)])


@pytest.mark.parametrize("mbit", MODULATIONS)
def test_two_boards_are_modelled_as_others_measured_them(mbit):
    """Within a tenth, though none of the model's figures is one of theirs."""
    for to_all, published in zip((True, False), PUBLISHED[mbit], strict=True):
        assert throughput(mbit, to_all) == pytest.approx(published, rel=0.11)


def test_what_is_acknowledged_takes_longer_and_so_do_longer_frames():
    for mbit in MODULATIONS:
        assert airtime(mbit, 250, False) > airtime(mbit, 250, True) > airtime(mbit, 20, True)
    assert airtime(1, 100, True) > airtime(11, 100, True) > airtime(54, 100, True)
