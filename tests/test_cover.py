"""Every matrix that is covered by pairs has all of them; and what it lacks would be noticed."""

import itertools

import pytest

from tests.cover import Cover
from tests.system import (
    test_combined,
    test_every_mode,
    test_flash_weights,
    test_frame_sizes,
    test_matrix,
    test_staged,
)

MATRICES = [
    (test_combined.CLUSTERS, test_combined.test_without_loss),
    (test_combined.LOSSY, test_combined.test_with_a_fifth_of_all_frames_lost),
    (test_every_mode.TABLE, test_every_mode.test_the_whole_table),
    (test_every_mode.TABLE, test_flash_weights.test_every_strategy),
    (test_frame_sizes.GROUPS, test_frame_sizes.test_all_frame_sizes),
    (test_matrix.CLUSTERS, test_matrix.test_without_loss),
    (test_matrix.LOSSY, test_matrix.test_with_a_fifth_of_all_frames_lost),
    (test_staged.TABLE, test_staged.test_without_loss),
    (test_staged.LOSSY, test_staged.test_with_a_fifth_of_all_frames_lost),
]
FACTORS = {"a": range(2), "b": range(3), "c": range(4), "d": range(5)}


@pytest.mark.parametrize(
    ("cover", "matrix"), MATRICES, ids=[f"{m.__module__}.{m.__name__}" for _, m in MATRICES]
)
def test_a_matrix_has_every_pair(cover, matrix):
    (mark,) = (each for each in matrix.pytestmark if each.name == "parametrize")
    names, rows = mark.args
    assert names == cover.names and len(set(rows)) == len(rows)
    assert not cover.missing(rows)


def test_every_pair_in_fewer_rows_than_combinations():
    rows = Cover(FACTORS).rows
    for one, other in itertools.combinations(range(4), 2):
        found = {(row[one], row[other]) for row in rows}
        values = list(FACTORS.values())
        assert found == set(itertools.product(values[one], values[other]))
    assert 20 <= len(rows) <= 25  # of 120; the last two settings alone have 20 pairs


def test_all_combinations_of_what_is_named():
    rows = Cover(FACTORS, whole=("a", "b", "c")).rows
    assert {row[:3] for row in rows} == set(itertools.product(range(2), range(3), range(4)))
    assert len(rows) < 30


def test_only_rows_that_are_allowed():
    """Pairs that no such row has are not asked for."""
    cover = Cover(FACTORS, is_allowed=lambda row: row[2] != row[3])
    assert all(row[2] != row[3] for row in cover.rows)
    assert not cover.missing(cover.rows)
    assert {(row[2], row[3]) for row in cover.rows} == {
        (c, d) for c in range(4) for d in range(5) if c != d
    }


def test_what_no_row_has_is_named():
    cover = Cover({"a": "xy", "b": "uvw"})
    rows = [row for row in cover.rows if row != ("y", "w")]
    assert cover.missing(rows) == {(0, 1, 1, 2)}
    assert cover.missing([]) == {(0, 1, a, b) for a in range(2) for b in range(3)}
