"""The link of a chip in a ring: what it keeps, what it passes on, and what ends with it."""

from firmware.links.ring import FRAMES_A_POLL, Ring
from firmware.links.uart import UartLink
from protocol import message_types
from protocol.frame import BROADCAST, HOST
from protocol.message import FederationMessage
from tests.firmware.test_uart import FakeUart, stream

LONGEST = 120
CHIP = 2


def frame(src, dst, payload=b"work"):
    return FederationMessage(message_types.COMPUTE, src, dst, 1, payload).encode()


def ring(*frames):
    """A chip's line on which these have come, and its link."""
    line = FakeUart()
    for each in frames:
        line.received += stream(each)
    return line, Ring(CHIP, UartLink(line, LONGEST, LONGEST))


def received(link):
    """The next frame for this chip, or None."""
    length = link.receive()
    return bytes(link.frame[:length]) if length else None


def test_a_frame_for_the_chip_stays_there():
    for source in (HOST, 1, 3):
        line, link = ring(frame(source, CHIP))
        assert received(link) == frame(source, CHIP)
        assert received(link) is None
        assert line.written == b""


def test_a_frame_for_others_is_passed_on_as_it_came():
    passing = [frame(HOST, 3), frame(3, 1), frame(0, HOST), frame(HOST, 200, b"")]
    line, link = ring(passing[0], passing[1], frame(1, CHIP), passing[2], passing[3])
    assert received(link) == frame(1, CHIP)
    assert received(link) is None
    assert line.written == b"".join([stream(each) for each in passing])


def test_a_frame_for_all_is_kept_and_passed_on():
    line, link = ring(frame(HOST, BROADCAST))
    assert received(link) == frame(HOST, BROADCAST)
    assert line.written == stream(frame(HOST, BROADCAST))


def test_what_comes_back_to_its_sender_ends_there():
    for destination in (HOST, 7, BROADCAST):
        line, link = ring(frame(CHIP, destination))
        assert received(link) is None
        assert line.written == b""


def test_a_frame_that_is_cut_off_is_dropped_by_the_node():
    line, link = ring(b"\2\x14\1")
    assert received(link) == b"\2\x14\1"
    assert line.written == b""


def test_damaged_and_too_long_frames_go_no_further_and_are_counted():
    line, link = ring(frame(HOST, 3, bytes(LONGEST)))
    line.received += b"\x09\xfe\x80\0" + stream(frame(HOST, 3))
    assert received(link) is None
    assert line.written == stream(frame(HOST, 3))
    assert link.dropped == 2


def test_the_longest_frame_that_a_chip_sends_is_passed_on_by_the_next():
    longest = frame(HOST, 3, bytes(LONGEST - 12))
    line, link = ring(longest)
    assert received(link) is None
    assert line.written == stream(longest)


def test_answers_go_to_the_next_chip():
    line, link = ring()
    link.keep_sender()
    for send in (link.send, link.answer, link.broadcast):
        send(bytearray(frame(CHIP, HOST)), len(frame(CHIP, HOST)))
    assert line.written == 3 * stream(frame(CHIP, HOST))


class Collective:
    """Records what it is given to add up."""

    def __init__(self, reduced):
        self.reduced = reduced

    def all_reduce(self, values, count):
        self.reduced.append((values, count))


def test_between_phases_frames_pass_as_far_as_the_first_for_the_chip():
    before, own, after = frame(HOST, 3), frame(1, CHIP), frame(3, 1)
    line, link = ring(before, own, after)
    reduced = []
    collective = Collective(reduced)
    link.install(collective)
    for _ in range(2):
        collective.all_reduce([1, 2], 2)
        assert line.written == stream(before)
    assert reduced == [([1, 2], 2)] * 2
    assert received(link) == own
    assert line.written == stream(before)
    assert received(link) is None
    assert line.written == stream(before) + stream(after)


def test_where_nothing_is_for_the_chip_all_passes_between_phases():
    passing = [frame(HOST, 3), frame(3, 1), frame(0, HOST)]
    line, link = ring(*passing)
    link.poll()
    assert line.written == b"".join(map(stream, passing))
    line.received += stream(frame(HOST, CHIP))
    link.poll()
    assert received(link) == frame(HOST, CHIP)
    assert received(link) is None


def test_a_chip_passes_on_a_bounded_number_of_frames_a_poll():
    """Or whoever never stops would keep it from its own work."""
    frames = [frame(HOST, 3, bytes([i & 255])) for i in range(FRAMES_A_POLL + 1)]
    line, link = ring(*frames)
    assert received(link) is None
    first = len(line.written)
    assert first == len(b"".join([stream(each) for each in frames[:-1]]))
    assert received(link) is None
    assert len(line.written) == first + len(stream(frames[-1]))
