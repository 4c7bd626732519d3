"""On a slow air, what members ask for does not become the load that delays it."""

import random
from array import array

from protocol.collective import MissingMember
from protocol.frame import HEADER_SIZE, write_header
from protocol.gather_scatter import GatherScatter
from tests.protocol.slow_air import SlowAir

COUNT = 29
EPOCH, NUMBER = 7, 3


def test_what_is_late_on_a_slow_air_is_not_asked_for():
    for world, frame_us in ((2, 300), (2, 5_000), (5, 300), (5, 10_000), (20, 300), (20, 10_000)):
        air = SlowAir(world, frame_us)
        air.all_reduce(10)  # and by then they know how slow it is
        air.sent = air.asked = 0
        air.all_reduce(10)
        assert (air.sent, air.asked) == (10 * world, 0)


def test_on_a_fast_air_lost_frames_are_repaired_quickly():
    random.seed(1)
    for world, most_ms, most_frames in ((2, 40, 3), (5, 90, 5), (8, 130, 6), (20, 500, 7)):
        air = SlowAir(world, 300, loss=20)
        assert air.all_reduce(20) < most_ms
        assert air.sent < 20 * world * most_frames


def test_on_a_slow_air_repairs_do_not_add_to_the_load_without_end():
    random.seed(2)
    for frame_us in (5_000, 10_000):
        air = SlowAir(20, frame_us, loss=20)
        whole = 20 * frame_us // 1000  # of an all-reduce without losses
        assert air.all_reduce(5) < 14 * whole
        assert air.sent < 5 * 20 * 12


class DeafGroup:
    """Members 10, 11 ... of one all-reduce, some of whose frames never reach some others; all that
    comes at once is taken before time goes on by two milliseconds."""

    def __init__(self, world, never, timeout):
        """never: pairs of the member that sends and the one that does not hear."""
        self.boxes = [[] for _ in range(world)]
        self.never = never
        members = [10 + i for i in range(world)]
        self.exchanges = [
            GatherScatter(10 + i, members, COUNT, 27, 238, self._sender(i), timeout)
            for i in range(world)
        ]
        for exchange in self.exchanges:
            exchange.start(EPOCH, NUMBER)
            exchange.all_reduce(array("i", [1] * COUNT), COUNT)

    def _sender(self, me):
        def send(frame, kind, dst, number, length):
            write_header(frame, 2, kind, 10 + me, dst, number, length)
            for other in range(len(self.boxes)):
                if other != me and (me, other) not in self.never:
                    self.boxes[other].append((bytes(frame[: HEADER_SIZE + length]), length))

        return send

    def named(self, milliseconds):
        """Whom each member names first, and when."""
        first = {}
        for now in range(0, milliseconds, 2):
            for i, exchange in enumerate(self.exchanges):
                came, self.boxes[i] = self.boxes[i], []
                for frame, length in came:
                    exchange.take(frame, length)
                try:
                    exchange.tick(2)
                except MissingMember as missing:
                    first.setdefault(i, (now, missing.args))
        return first


def test_who_is_not_heard_is_named_however_much_others_repeat():
    # 0 does not hear 1, nor 2 hear 3: what they are asked for again and again, all others have.
    named = DeafGroup(4, ((1, 0), (3, 2)), 600).named(2_000)
    assert named[0][1] == (11,) and named[2][1] == (13,)
    assert all([600 <= named[i][0] < 700 for i in (0, 2)])
