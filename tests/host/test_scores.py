"""Scores of answers to commands."""

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.generation.command_tables import Command
from host.generation.scores import (
    Fraction,
    cascade,
    count,
    has_action_lines,
    has_right_actions,
    is_dangerous,
    is_exact,
    is_false_accept,
)

DIM = Command("", "dim it", "light.here brightness=30", ("light.all brightness=30",))
REFUSED = Command("", "sing", "unknown")
UNLOCK = Command("", "let me in", "lock.hallway unlock")


def test_any_right_line_is_exact_and_nothing_else() -> None:
    answers = ["light.here brightness=30", "light.all brightness=30", "light.here brightness=3"]
    assert [is_exact(DIM, answer) for answer in answers] == [True, True, False]
    assert count([DIM] * 3, answers, is_exact) == Fraction(2, 3)


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("light.here brightness=99 in=5m", True),
        ("light.all brightness=up", True),
        ("light.here on", False),
        ("light.attic brightness=30", False),
        ("light.here brightness?", False),
        ("light.here brightness=30; tv.all off", False),
        ("unknown", False),
        ("no line", False),
    ],
)
def test_values_and_times_do_not_count_for_the_right_action(answer: str, is_right: bool) -> None:
    assert has_right_actions(DIM, answer) is is_right


def test_the_order_of_actions_does_not_count() -> None:
    command = Command("", "", "tv.all off; light.all on")
    assert has_right_actions(command, "light.all on; tv.all off")


def test_only_actions_where_none_is_right_are_false() -> None:
    assert is_false_accept(REFUSED, "light.all on")
    assert not is_false_accept(REFUSED, "unknown")
    assert not is_false_accept(DIM, "tv.all on")
    assert not is_false_accept(Command("", "", "unknown", ("tv.all on",)), "light.all on")


def test_unlocking_what_was_not_named_is_dangerous() -> None:
    assert is_dangerous(UNLOCK, "lock.garage unlock")
    assert is_dangerous(REFUSED, "light.all on; lock.all unlock")
    assert not is_dangerous(UNLOCK, "lock.hallway unlock")
    assert not is_dangerous(REFUSED, "lock.garage lock")
    assert is_dangerous(REFUSED, "gate.garage open") and is_dangerous(REFUSED, "security.P disarm")
    assert not is_dangerous(REFUSED, "lock.cellar untie")  # no action: nothing is unlocked


def test_action_lines_are_told_from_other_answers() -> None:
    assert has_action_lines([REFUSED, DIM])
    assert not has_action_lines([REFUSED, Command("", "how much", "three apples")])


def test_a_cascade_asks_the_next_program_where_the_first_knows_nothing() -> None:
    first, then = ["unknown", "tv.all on"], ["tv.all off", "unknown"]
    assert cascade(first, then) == ["tv.all off", "tv.all on"]


def test_intervals_of_known_counts() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: Wilson's score without correction.
    for fraction, low, high in (
        (Fraction(81, 263), 0.2553, 0.3662), (Fraction(15, 148), 0.0624, 0.1605),
        (Fraction(0, 20), 0.0, 0.1611), (Fraction(1, 29), 0.0061, 0.1718),
    ):  # fmt: skip
        assert fraction.interval == pytest.approx((low, high), abs=5e-5)
    assert Fraction(0, 0).interval == (0, 1)


@given(st.integers(1, 400), st.data())
def test_an_interval_holds_its_fraction_and_mirrors_the_rest(
    total: int, data: st.DataObject
) -> None:
    found = data.draw(st.integers(0, total))
    low, high = Fraction(found, total).interval
    assert 0 <= low <= found / total + 1e-9 and found / total - 1e-9 <= high <= 1
    other = Fraction(total - found, total).interval
    assert (1 - high, 1 - low) == pytest.approx(other, abs=1e-9)


def test_most_samples_lie_in_the_interval_of_their_probability() -> None:
    total = 60
    for probability in (0.1, 0.5, 0.8):
        covered = sum(
            comb(total, found) * probability**found * (1 - probability) ** (total - found)
            for found in range(total + 1)
            if (ends := Fraction(found, total).interval)[0] <= probability <= ends[1]
        )
        assert 0.92 < covered < 0.98
