"""Vectors of more pieces than a set has room for, over air that loses, doubles and reorders."""

from array import array

from protocol.collective import CONTRIBUTION_FIELDS, MAX_PIECES, Collective, MissingMember
from protocol.frame import BROADCAST, HEADER_SIZE, ProtocolError, write_header
from protocol.message_types import CONTRIBUTION, REPAIR
from protocol.wide_collective import MOST_PIECES, WideCollective, count_banks
from tests.dual import raises
from tests.protocol.air import Group
from tests.protocol.noise import below, random_bytes

BAD_AIR = {"loss": 20, "doubled": 20, "shuffle": True}
ROOM = 11 * 4 + CONTRIBUTION_FIELDS  # 11 elements of 32 bits a piece


def values_of(member, number, count, largest=1 << 29):
    """What a member contributes; the first element makes all of them as wide as planned."""
    values = [(member * 7919 + number * 104729 + i * 31) % 1000 - 500 for i in range(count)]
    if values:
        values[0] = -largest
    return array("i", values)


def summed(members, number, count, largest=1 << 29):
    columns = [values_of(member, number, count, largest) for member in members]
    return [sum([column[i] for column in columns]) for i in range(count)]


def all_reduced(members, counts, bits=30, **air):
    """The group after all-reduces of so many elements each, which are checked.

    Of few members the largest number is as wide as planned.
    """
    most = max(counts)
    largest = (1 << 29) if len(members) < 4 else 1 << 28 >> len(members) // 2
    group = Group(members, most, bits, ROOM, kind=WideCollective, **air)

    def begin(exchange, member, number):
        values = values_of(member, number, counts[number], largest)
        exchange.all_reduce(values, counts[number])

    results = group.run(begin, len(counts))
    for member in members:
        for number, count in enumerate(counts):
            expected = summed(members, number, count, largest) + [0] * (most - count)
            assert results[member][number] == expected
    return group


def test_a_wide_vector_is_the_sum_at_every_member():
    for count in (330, 331, 660, 661, 11 * MOST_PIECES):
        group = all_reduced([2, 5, 9], (count, count))
        pieces = -(-count // 11)
        assert group.sent == 3 * 2 * pieces
        assert group.exchanges[2].banks == -(-pieces // MAX_PIECES)


def test_wide_vectors_survive_loss_doubling_and_reordering():
    for members in ([1, 2], [3, 4, 200], list(range(1, 40, 5))):
        group = all_reduced(members, (700, 661, 20, 0, 1400), **BAD_AIR)
        repairs = sum([exchange.repairs for exchange in group.exchanges.values()])
        assert group.lost and repairs


def test_only_lost_pieces_are_sent_again():
    count = 11 * 200
    group = Group([1, 2], count, 30, ROOM, kind=WideCollective)
    for member in (1, 2):
        group.exchanges[member].all_reduce(values_of(member, 0, count), count)
    assert len(group.frames) == 400
    pieces = 0, 29, 30, 199
    lost = [frame for to, frame in group.frames if to == 2 and frame[10] in pieces]
    assert len(lost) == 4
    group.frames = [each for each in group.frames if each[1] not in lost]
    while not all([exchange.done for exchange in group.exchanges.values()]):
        group.turn()
    assert group.sent == 400 + 1 + 4  # one request
    assert list(group.exchanges[2].result) == summed([1, 2], 0, count)


def test_who_is_silent_is_named_once():
    group = Group([4, 7, 9], 700, 30, ROOM, kind=WideCollective)
    group.silent = (7,)
    for member in (4, 7, 9):
        group.exchanges[member].all_reduce(values_of(member, 0, 700), 700)
    while True:
        try:
            group.turn()
        except MissingMember as missing:
            assert missing.args == (7,)
            break


def test_banks_are_as_many_as_pieces_need():
    assert count_banks(330, 32, ROOM) == 1
    assert count_banks(331, 32, ROOM) == 2
    assert count_banks(11 * MOST_PIECES, 32, ROOM) == MOST_PIECES // MAX_PIECES
    assert count_banks(11 * MOST_PIECES + 1, 32, ROOM) == 0
    assert count_banks(1, 32, CONTRIBUTION_FIELDS + 3) == 0

    def send(*arguments):
        pass

    raises(ValueError, WideCollective, 1, [1, 2], 11 * MOST_PIECES + 1, 32, ROOM, send, 500)
    many = list(range(128))
    raises(ValueError, WideCollective, 1, many, 331, 32, ROOM, send, 500)
    WideCollective(1, many[1:], 331, 32, ROOM, send, 500)
    raises(ValueError, Collective, 1, [1, 2], 331, 32, ROOM, send, 500)


def test_noise_is_refused_or_does_nothing():
    group = Group([1, 2], 661, 30, ROOM, kind=WideCollective)
    exchange = group.exchanges[1]
    exchange.all_reduce(values_of(1, 0, 661), 661)
    for _ in range(400):
        length = below(40)
        frame = bytearray(HEADER_SIZE) + random_bytes(length)
        kind, source = (CONTRIBUTION, REPAIR)[below(2)], below(6)
        write_header(frame, 2, kind, source, BROADCAST, 65534, length)
        if length > 1 and below(4):
            frame[8], frame[9] = 7, 0
        try:
            exchange.take(frame, length)
        except ProtocolError:
            pass
    assert not exchange.done
