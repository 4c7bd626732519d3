"""A group of exchanges on one air that takes its time for each frame, for both Pythons."""

from array import array

from protocol.frame import append_trailer, verify_frame, write_header
from protocol.gather_scatter import GatherScatter
from protocol.message_types import REPAIR
from tests.protocol.noise import below

VERSION = 2
TIMEOUT = 2500  # milliseconds
IDLE_US = 10_000  # after so long a member that nothing comes to looks at its clock
COUNT = 29  # elements, which go in one frame


class SlowAir:
    """Members 0 to world - 1, which all send to all, one frame after another.

    sent, asked: frames so far, and how many of them are requests; now: microseconds.
    """

    def __init__(self, world, frame_us, loss=0):
        """frame_us: microseconds of a frame; loss: per cent, at each receiver."""
        self.frame_us, self.loss = frame_us, loss
        self.now = self.free_at = self.sent = self.asked = 0
        self.frames = []  # on the air: (when it has come, sender, frame)
        self.ticked = [0] * world  # microseconds
        self.exchanges = [
            GatherScatter(me, range(world), COUNT, 27, 238, self._sender(me), TIMEOUT)
            for me in range(world)
        ]
        for exchange in self.exchanges:
            exchange.start(1, 65530)

    def _sender(self, me):
        def send(frame, kind, dst, number, length):
            write_header(frame, VERSION, kind, me, dst, number, length)
            size = append_trailer(frame, length)
            self.sent += 1
            self.asked += kind == REPAIR
            self.free_at = max(self.free_at, self.now) + self.frame_us
            self.frames.append((self.free_at, me, bytes(memoryview(frame)[:size])))

        return send

    def turn(self):
        """Goes on to the next frame that has come, or to when a member has been idle for long,
        whatever is sooner."""
        idle_until = min(self.ticked) + IDLE_US
        if self.frames and self.frames[0][0] <= idle_until:
            self.now, sender, frame = self.frames.pop(0)
            for me, exchange in enumerate(self.exchanges):
                if me != sender and below(100) >= self.loss:
                    exchange.take(frame, verify_frame(frame, len(frame)))
                    self._tick(me)
        else:
            self.now = idle_until
            self._tick(self.ticked.index(min(self.ticked)))

    def _tick(self, me):
        elapsed = self.now // 1000 - self.ticked[me] // 1000
        self.ticked[me] = self.now
        self.exchanges[me].tick(elapsed)

    def all_reduce(self, rounds):
        """Has all members go through so many all-reduces of `values`, each at its own pace; the
        milliseconds that one takes. Asserts that the sums are right."""
        world = len(self.exchanges)
        at = [-1] * world
        while min(at) < rounds:
            for me, exchange in enumerate(self.exchanges):
                while at[me] < rounds and (at[me] < 0 or exchange.done):
                    if at[me] >= 0:
                        assert list(exchange.result) == total(world, at[me])
                    at[me] += 1
                    if at[me] < rounds:
                        exchange.all_reduce(values(me, at[me]), COUNT)
            if min(at) < rounds:
                self.turn()
        return self.now // 1000 // rounds


def values(member, number):
    """What a member contributes."""
    return array("i", [(member * 7919 + number * 104729 + i * 31) % 4096 for i in range(COUNT)])


def total(world, number):
    """The sum of all members'."""
    return [sum(column) for column in zip(*[values(me, number) for me in range(world)])]
