"""What a chip does to vectors of which each member contributes a part."""

import random

from firmware.roles.all_gather import copy, take_row, widen
from protocol.collective import Collective
from protocol.fields import int32s


def contributed(edges, rows):
    """A vector as a collective gives it: of each member all positions, one after another."""
    flat = []
    for first, end in zip(edges, edges[1:]):
        for row in rows:
            flat += row[first:end]
    return filled(flat)


def filled(values):
    made = int32s(len(values))
    for i, value in enumerate(values):
        made[i] = value
    return made


def test_rows_of_several_positions_are_put_together():
    random.seed(3)
    for edges in ([0, 5], [0, 3, 7], [0, 0, 4, 4, 9], [0, 1, 2, 3, 4]):
        for count in (1, 2, 5):
            rows = [
                [random.randint(-(1 << 24), 1 << 24) for _ in range(edges[-1])]
                for _ in range(count)
            ]
            total, row = contributed(edges, rows), int32s(edges[-1] + 1)
            for i in range(count):
                take_row(total, row, filled(edges), len(edges) - 1, count, i)
                assert list(row) == rows[i] + [0]  # and nothing beyond


def test_values_are_copied_to_their_place():
    src, dst = filled([3, -4, 5]), filled([9] * 6)
    copy(src, dst, 2, 3)
    assert list(dst) == [9, 9, 3, -4, 5, 9]
    copy(src, dst, 0, 0)
    assert dst[0] == 9


def test_vectors_may_be_longer_than_any_contribution():
    sent = []

    def send(frame, kind, dst, number, length):
        sent.append((bytes(frame[: 8 + length]), length))

    members = [Collective(i, [0, 1], 3, 25, 200, send, 1000) for i in range(2)]
    for member in members:
        widen(member, 7)
        member.start(1, 5)
    members[0]._begin(filled([1, -2, 3]), 0, 3)
    members[1]._begin(filled([1 << 23, 5]), 5, 2)
    for (frame, length), to, source in zip(sent, members[::-1], (0, 1)):
        frame = bytearray(frame)
        frame[2], frame[4] = source, 5  # source and number, which whoever sends writes
        assert to.take(frame, length)
    for member in members:
        assert member.done and list(member.result) == [1, -2, 3, 0, 0, 1 << 23, 5]
