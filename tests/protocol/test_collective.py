"""Collectives of 1 to 20 members over air that loses, doubles and reorders frames."""

from array import array

from protocol.bitpack import bits_needed, packed_size
from protocol.collective import CONTRIBUTION_FIELDS, MAX_PIECES, MissingMember
from protocol.fields import put_u16
from protocol.frame import BROADCAST, HEADER_SIZE, ProtocolError, write_header
from protocol.gather_scatter import GatherScatter
from protocol.message_types import CONTRIBUTION, REPAIR
from tests.dual import raises
from tests.protocol.air import TIMEOUT, Group
from tests.protocol.noise import below, random_bytes

WORLDS = (1, 2, 3, 5, 8, 20)
COUNT = 29  # elements, which go in one to two pieces
ROUNDS = 6
BAD_AIR = {"loss": 20, "doubled": 20, "shuffle": True}


def members_of(world):
    """Ids that are neither consecutive nor from 0."""
    return [3 * i + 2 for i in range(world)]


def values_of(member, number, count=COUNT):
    """What a member contributes: of all widths up to 22 bits, so that 20 add up within 27."""
    limit = 1 << (member + number) % 22
    return array("i", [(member * 7919 + number * 104729 + i * 31) % limit - limit // 2
                       for i in range(count)])  # fmt: skip


def summed(members, number, count=COUNT):
    columns = [values_of(member, number, count) for member in members]
    return [sum([column[i] for column in columns]) for i in range(count)]


def check_all_reduce(world, **air):
    members = members_of(world)
    group = Group(members, **air)

    def begin(exchange, member, number):
        exchange.all_reduce(values_of(member, number), COUNT)

    results = group.run(begin, ROUNDS)
    for member in members:
        for number in range(ROUNDS):
            assert results[member][number][:COUNT] == summed(members, number)
    return group


def test_all_reduce_is_the_sum_at_every_member():
    for world in WORLDS:
        group = check_all_reduce(world)
        pieces = 0
        for member in members_of(world):
            for number in range(ROUNDS):
                bits = bits_needed(values_of(member, number), COUNT)
                pieces += -(-COUNT // ((60 - CONTRIBUTION_FIELDS) * 8 // bits))
        assert group.sent == (world > 1) * pieces


def test_all_reduce_survives_loss_doubling_and_reordering():
    lost = 0
    for world in WORLDS:
        group = check_all_reduce(world, **BAD_AIR)
        repairs = sum([exchange.repairs for exchange in group.exchanges.values()])
        assert (repairs > 0) == (group.lost > 0)
        lost += group.lost
    assert lost


def test_contributions_of_different_lengths_follow_each_other():
    members = members_of(4)
    group = Group(members, **BAD_AIR)
    counts = (40, 1, 17, 0, 40, 5)

    def begin(exchange, member, number):
        exchange.all_reduce(values_of(member, number, counts[number]), counts[number])

    for results in group.run(begin, len(counts)).values():
        for number, count in enumerate(counts):
            expected = summed(members, number, count) + [0] * (40 - count)
            assert results[number] == expected


def test_all_gather_puts_slices_in_the_members_order():
    for air in ({}, BAD_AIR):
        for world in WORLDS:
            members = members_of(world)
            group = Group(members, **air)

            def begin(exchange, member, number):
                exchange.all_gather(values_of(member, number, 2), 2)

            expected = []
            for member in members:
                expected += values_of(member, 0, 2)
            for results in group.run(begin, 1).values():
                assert results[0][: 2 * world] == expected


def check_root(world, **air):
    members = members_of(world)
    group = Group(members, **air)
    root = members[-1]

    def begin(exchange, member, number):
        values = values_of(member, number, 2 * world)
        if number == 0:
            exchange.broadcast(values, 2 * world, root)
        else:
            exchange.scatter(values, 2, root)

    for member, results in group.run(begin, 2).items():
        for number in range(2):
            assert results[number][: 2 * world] == list(values_of(root, number, 2 * world))
        assert group.exchanges[member].slice_start(2) == 2 * members.index(member)


def test_broadcast_and_scatter_give_what_the_root_has():
    for world in WORLDS:
        check_root(world)
        check_root(world, **BAD_AIR)


def test_nobody_passes_a_barrier_before_all_have_come():
    members = members_of(5)
    group = Group(members, **BAD_AIR)
    late = members[2]
    for member in members:
        if member != late:
            group.exchanges[member].barrier()
    for _ in range(40):
        group.turn()
        assert not any([e.done for m, e in group.exchanges.items() if m != late])
    group.exchanges[late].barrier()
    turns = 0
    while not all([e.done for e in group.exchanges.values()]):
        group.turn()
        turns += 1
        assert turns < 2000


def test_a_member_is_never_more_than_one_ahead():
    members = members_of(3)
    group = Group(members, shuffle=True, loss=10)
    at = dict((m, 0) for m in members)

    def begin(exchange, member, number):
        at[member] = number
        assert max(at.values()) - min(at.values()) <= 1
        exchange.barrier()

    group.run(begin, 30)


def test_a_missing_member_is_named():
    members = members_of(4)
    group = Group(members)
    group.silent = (members[1], members[3])
    for member in members:
        group.exchanges[member].all_reduce(values_of(member, 0), COUNT)

    def until_missed():
        while True:
            group.turn()

    missing = raises(MissingMember, until_missed)
    assert set(missing.args) <= set(group.silent) and missing.args


def test_a_missing_member_is_not_named_at_every_tick():
    exchange = Group([1, 2]).exchanges[1]
    exchange.all_reduce(values_of(1, 0), COUNT)
    named = 0
    for _ in range(5 * TIMEOUT // 2):
        try:
            exchange.tick(1)
        except MissingMember:
            named += 1
    assert named == 2


def test_what_comes_from_elsewhere_changes_nothing():
    group = Group([1, 2])
    exchange = group.exchanges[1]
    exchange.all_reduce(values_of(1, 0), COUNT)
    before = list(exchange.result)
    own = group.frames[0][1]
    for at, value in ((2, 9), (4, 0x12), (8, 8)):  # a stranger, another number, another epoch
        frame = bytearray(own)
        frame[2] = 2
        frame[at] = value
        length = len(own) - HEADER_SIZE - 4
        assert not exchange.take(frame, length)
    assert list(exchange.result) == before and not exchange.done


def test_damaged_contributions_are_refused():
    exchange = Group([1, 2]).exchanges[1]
    exchange.barrier()
    frame = bytearray(80)

    def contribution(piece, pieces, first, count, bits, length):
        write_header(frame, 2, CONTRIBUTION, 2, BROADCAST, 65534, length)
        put_u16(frame, 8, 7)
        frame[10], frame[11], frame[16] = piece, pieces, bits
        put_u16(frame, 12, first)
        put_u16(frame, 14, count)
        return frame, length

    good = CONTRIBUTION_FIELDS + packed_size(4, 9)
    for fields in (
        (0, 1, 0, 4, 9, good - 1),
        (0, 1, 0, 4, 9, 8),
        (1, 1, 0, 4, 9, good),
        (0, 31, 0, 4, 9, good),
        (0, 1, 37, 4, 9, good),
        (0, 1, 0, 4, 0, good),
        (0, 1, 0, 4, 33, good),
    ):
        raises(ProtocolError, exchange.take, *contribution(*fields))
    write_header(frame, 2, REPAIR, 2, 1, 65534, 5)
    raises(ProtocolError, exchange.take, frame, 5)
    assert exchange.take(*contribution(0, 1, 0, 4, 9, good)) and exchange.done


def test_random_payloads_only_raise_protocol_errors():
    exchange = Group([1, 2, 3]).exchanges[1]
    exchange.all_reduce(values_of(1, 0), COUNT)
    for _ in range(1000):
        length = below(50)
        frame = bytearray(HEADER_SIZE) + random_bytes(length)
        write_header(frame, 2, (CONTRIBUTION, REPAIR)[below(2)], below(4), 1, 65534, length)
        if length > 1 and below(4):
            put_u16(frame, 8, 7)
        try:
            exchange.take(frame, length)
        except ProtocolError:
            pass


def test_vectors_that_take_too_many_frames_are_refused():
    def send(*arguments):
        pass

    most = (60 - CONTRIBUTION_FIELDS) * 8 // 27 * MAX_PIECES
    GatherScatter(1, [1, 2], most, 27, 60, send, 500)
    raises(ValueError, GatherScatter, 1, [1, 2], most + 1, 27, 60, send, 500)
    raises(ValueError, GatherScatter, 1, [1, 2], 10, 27, CONTRIBUTION_FIELDS + 3, send, 500)


def test_values_wider_than_planned_are_refused():
    exchange = Group([1, 2], bits=8).exchanges[1]
    raises(ValueError, exchange.all_reduce, array("i", [128]), 1)
