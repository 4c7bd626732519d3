"""Chips that send in their turn."""

from array import array

from firmware.roles.turns import install
from protocol.collective import Collective


class Air:
    """An outbox, and what was sent and waited for."""

    def __init__(self, me, members, slot=7):
        self.events = []
        self._broadcast = lambda frame, length: self.events.append("sent")
        self.collective = Collective(me, members, 4, 25, 200, self.send, 1000)
        install(self, self.collective, slot, lambda slots: self.events.append(slots))
        self.collective.start(1, 5)

    def send(self, frame, kind, dst, number, length):
        self._broadcast(frame, length)

    def contribute(self):
        del self.events[:]
        self.collective.all_reduce(array("i", [1, 2, 3, 4]), 4)
        return self.events


def contribution(source, number):
    """A frame, and its payload's length: nothing is contributed."""
    frame = bytearray(40)
    frame[1], frame[2], frame[4] = 0x15, source, number
    frame[8], frame[11], frame[16] = 1, 1, 1
    return frame, 9


def test_each_waits_for_those_before_it():
    for me, waited in ((3, []), (5, [7]), (8, [14]), (9, [21])):
        assert Air(me, [3, 5, 8, 9]).contribute() == waited + ["sent"]


def test_nobody_waits_for_what_has_come():
    air = Air(9, [3, 5, 8, 9])
    for source in (3, 8):
        assert air.collective.take(*contribution(source, 5))
    assert air.contribute() == [7, "sent"]
    assert air.collective.take(*contribution(5, 5)) and air.collective.done
    for source in (3, 5, 8):
        assert air.collective.take(*contribution(source, 6))
    assert air.contribute() == ["sent"]


def test_what_is_sent_again_waits_for_nobody():
    air = Air(5, [3, 5, 8])
    air.contribute()
    air.collective.send_pieces()
    assert air.events == [7, "sent", "sent"]
