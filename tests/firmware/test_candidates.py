"""The best rows of a part of a vocabulary, as both Pythons list them."""

from array import array

from firmware.compute.candidates import Candidates, list_best
from protocol.fields import u16
from protocol.messages import CANDIDATE_LOGIT, CANDIDATE_ROW, CANDIDATE_SIZE
from tests.protocol.noise import below


def expected(logits, count):
    order = sorted(range(len(logits)), key=lambda row: (-logits[row], row))
    return order[:count]


def test_the_best_come_first_and_of_equal_ones_the_lowest():
    for spread in (1, 3, 100, 65535):
        for size in (1, 2, 63, 64, 65, 500):
            logits = array("i", [below(spread) - spread // 2 for _ in range(size)])
            for count in (1, 2, 64):
                if count <= size:
                    rows = array("i", [0] * count)
                    list_best(logits, size, rows, count)
                    assert list(rows) == expected(logits, count)


def test_candidates_of_several_positions_stand_one_after_another():
    candidates = Candidates(memoryview(array("i", [3, -7, 32767, -32767, 3])), 64)
    assert candidates.count == 5  # all that there are
    answer = bytearray(200)
    assert candidates.write(answer, 0) == CANDIDATE_ROW - 8 + 5 * CANDIDATE_SIZE
    assert candidates.write(answer, 1) == CANDIDATE_ROW - 8 + 10 * CANDIDATE_SIZE
    for first in (0, 5 * CANDIDATE_SIZE):
        places = range(first, first + 5 * CANDIDATE_SIZE, CANDIDATE_SIZE)
        assert [u16(answer, CANDIDATE_ROW + at) for at in places] == [2, 0, 4, 1, 3]
        logits = [u16(answer, CANDIDATE_LOGIT + at) for at in places]
        assert logits == [32767, 3, 3, 65536 - 7, 65536 - 32767]
