"""What members of a group ask one another for, and when."""

from array import array

from protocol.collective import MissingMember
from protocol.frame import BROADCAST, DST, HEADER_SIZE, TYPE, ProtocolError, write_header
from protocol.gather_scatter import GatherScatter
from protocol.message_types import CONTRIBUTION, REPAIR
from tests.dual import raises

COUNT = 29
EPOCH, NUMBER = 7, 3
LONG = 10_000  # milliseconds, more than anybody waits


class Member:
    """One exchange of members 10, 11 ... in its first all-reduce; `sent`: its frames."""

    def __init__(self, me=10, world=5, room=238, count=COUNT):
        self.sent = []
        self.world = world
        members = [10 + i for i in range(world)]
        self.exchange = GatherScatter(me, members, count, 27, room, self._send, LONG)
        self.me = me
        self.exchange.start(EPOCH, NUMBER)
        self.exchange.all_reduce(array("i", [me] * count), count)
        self.contributions = self.sent
        self.sent = []

    def _send(self, frame, kind, dst, number, length):
        write_header(frame, 2, kind, self.me, dst, number, length)
        self.sent.append((bytes(memoryview(frame)[: HEADER_SIZE + length]), length))

    def take(self, frames):
        for frame, length in frames:
            self.exchange.take(frame, length)

    def wait(self, milliseconds):
        """Lets time pass; the frames that it sends meanwhile, and when each."""
        self.sent, frames = [], []
        for now in range(milliseconds):
            self.exchange.tick(1)
            frames += [(now, frame, length) for frame, length in self.sent]
            self.sent = []
        return frames


def asked(frame):
    """The members that a REPAIR asks, and what is held of each."""
    assert frame[TYPE] == REPAIR and frame[DST] == BROADCAST
    return [(frame[at], frame[at + 1]) for at in range(HEADER_SIZE + 2, len(frame), 5)]


def as_again(contributions):
    """The same frames, marked as sent again."""
    frames = []
    for frame, length in contributions:
        marked = bytearray(frame)
        marked[HEADER_SIZE + 8] |= 128
        frames.append((bytes(marked), length))
    return frames


def first_request(member):
    for milliseconds in range(1, 100):
        for _, frame, length in member.wait(1):
            return milliseconds, frame, length
    raise AssertionError("nothing is asked for")


def test_one_request_names_all_owners_of_what_is_missing():
    member, other = Member(10), Member(12)
    member.take(other.contributions)
    _, frame, _ = first_request(member)
    assert asked(frame) == [(11, 0), (13, 0), (14, 0)]


def test_pieces_that_are_there_are_told():
    member, other = Member(10, 3, room=20), Member(11, 3, room=20)
    assert len(other.contributions) == 2
    member.take(other.contributions[1:])
    _, frame, length = first_request(member)
    assert asked(frame) == [(11, 2), (12, 0)]
    other.take([(frame, length)])
    assert other.sent == as_again(other.contributions[:1])


def test_a_request_longer_than_a_frame_leaves_some_for_the_next():
    member = Member(10, 5, room=18, count=2)
    _, frame, _ = first_request(member)
    assert asked(frame) == [(11, 0), (12, 0)]
    _, frame, _ = first_request(member)
    assert asked(frame) == [(13, 0), (14, 0)]


def test_whoever_hears_a_request_asks_only_for_what_else_it_misses():
    first, second = Member(10), Member(11)
    for other in (12, 13):
        first.take(Member(other).contributions)
    _, request, length = first_request(first)
    assert asked(request) == [(11, 0), (14, 0)]
    first_heard, _, _ = first_request(Member(11))
    second.wait(first_heard - 2)
    second.take([(request, length)])
    _, frame, _ = first_request(second)
    assert sorted(asked(frame)) == [(10, 0), (12, 0), (13, 0)]


def test_a_request_of_one_who_has_other_pieces_spares_nobody_asking():
    first, second, third = [Member(me, 3, room=20) for me in (10, 11, 12)]
    first.take(third.contributions[:1])
    second.take(third.contributions[1:])
    _, request, length = first_request(first)
    second.take([(request, length)])
    _, frame, _ = first_request(second)
    assert (12, 2) in asked(frame)


def test_members_take_turns_at_asking_first():
    waits = [first_request(Member(10 + me, 20))[0] for me in range(20)]
    assert sorted(waits) == sorted([min(waits) + me // 2 for me in range(20)])
    assert waits[0] != min(waits)  # as it depends on the number of the collective


def test_what_is_sent_again_goes_to_all_once_for_requests_close_together():
    owner = Member(14)
    requests = []
    for me in (10, 11, 12):
        _, frame, length = first_request(Member(me))
        requests.append((frame, length))
    owner.take(requests)
    assert owner.sent == as_again(owner.contributions) and owner.exchange.repairs == 1
    assert owner.sent[0][0][DST] == BROADCAST and owner.sent[0][0][TYPE] == CONTRIBUTION
    owner.sent = []
    owner.exchange.tick(1)
    owner.take(requests[:1])
    assert owner.sent == []
    owner.exchange.tick(LONG // 2)
    owner.sent = []
    owner.take(requests[:1])
    assert owner.sent == as_again(owner.contributions) and owner.exchange.repairs == 2


def test_who_is_asked_in_vain_is_given_three_times_as_long_in_the_end():
    member = Member(10, 2)
    times = [now for now, _, _ in member.wait(2000)]
    gaps = [after - before for before, after in zip(times, times[1:])]
    first = gaps[0]
    assert gaps == sorted(gaps) and gaps[1] > first
    assert 5 * first // 2 <= gaps[-1] <= 3 * first + 2
    assert len(times) > 40  # and asked again and again


def test_nobody_asks_while_contributions_keep_coming():
    member, other = Member(10), Member(11)
    for _ in range(20):
        assert member.wait(9) == []
        member.take(other.contributions)  # the same again and again
    assert member.wait(100)


def test_the_wait_follows_how_far_contributions_are_apart():
    member = Member(10, 20)
    before, _, _ = first_request(member)
    member = Member(10, 20)
    for other in range(11, 29):
        member.wait(15)
        member.take(Member(other, 20).contributions)
    after, frame, _ = first_request(member)
    assert asked(frame) == [(29, 0)]
    assert after > 3 * before // 2


def test_what_is_sent_again_does_not_tell_how_far_contributions_are_apart():
    waits = []
    for frames in (lambda other: other.contributions, lambda other: as_again(other.contributions)):
        member = Member(10, 20)
        for other in range(11, 29):
            member.wait(15)
            member.take(frames(Member(other, 20)))
        waits.append(first_request(member)[0])
    assert waits[1] < waits[0] * 3 // 4


def test_what_strangers_and_other_groups_ask_is_left():
    owner = Member(14)
    _, request, length = first_request(Member(10))
    for at, value in ((2, 99), (4, NUMBER + 5), (HEADER_SIZE, EPOCH + 1)):
        frame = bytearray(request)
        frame[at] = value
        assert not owner.exchange.take(frame, length)
    named = bytearray(request)
    for at in range(HEADER_SIZE + 2, len(named), 5):
        named[at] += 100  # members of another group
    assert not owner.exchange.take(named, length)
    assert owner.sent == owner.contributions[:0]


def test_requests_that_name_nobody_or_half_a_member_are_refused():
    owner = Member(14)
    _, request, _ = first_request(Member(10))
    for length in (0, 1, 2, 3, 6, 8, 11):
        raises(ProtocolError, owner.exchange.take, request, length)


def test_a_member_is_missing_when_nothing_comes_for_long():
    member = Member(10, 3)
    member.take(Member(11, 3).contributions)

    def wait():
        for _ in range(2 * LONG):
            member.exchange.tick(1)

    assert raises(MissingMember, wait).args == (12,)


def test_more_than_the_vector_holds_is_refused():
    values = array("i", [1] * 2 * COUNT)
    member = Member()
    raises(ValueError, member.exchange.all_reduce, values, COUNT + 1)
    raises(ValueError, member.exchange.all_reduce, values[:3], 4)
    raises(ValueError, Member(11).exchange.all_gather, values, COUNT)
    member.exchange.broadcast(None, COUNT, 11)  # of another member
    assert member.sent
