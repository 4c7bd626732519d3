"""Numbers, durations and times are written as they are said."""

import re
from collections.abc import Callable
from functools import cache
from random import Random

import pytest

from training.spoken import (
    Said,
    days,
    degrees,
    duration,
    number_words,
    percentage,
    time_of_day,
)


@cache
def drawn(draw: Callable[[Random], Said], count: int = 120_000) -> dict[str, str]:
    """Values by what is said; what is said means one thing only."""
    random, values = Random(1), {}
    for said in (draw(random) for _ in range(count)):
        assert values.setdefault(said.text, said.value) == said.value, said.text
    return values


def test_number_words() -> None:
    said = {0: "zero", 13: "thirteen", 20: "twenty", 47: "forty seven", 100: "one hundred"}
    assert {number: number_words(number) for number in said} == said
    assert len({number_words(number) for number in range(101)}) == 101


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("seven", "07:00"), ("7 o'clock", "07:00"), ("half past seven", "07:30"),
        ("half past seven pm", "19:30"), ("quarter to eight in the evening", "19:45"),
        ("five to one", "12:55"), ("twenty to twelve am", "11:40"), ("12 am", "00:00"),
        ("twelve", "12:00"), ("12:30 pm", "12:30"), ("noon", "12:00"), ("midnight", "00:00"),
        ("six oh five", "06:05"), ("19:30", "19:30"), ("ten past 9 tonight", "21:10"),
        ("eleven thirty", "11:30"), ("a quarter after six", "06:15"), ("7am", "07:00"),
    ],
)  # fmt: skip
def test_times_of_day(text: str, value: str) -> None:
    assert drawn(time_of_day)[text] == value


def test_times_of_day_are_times() -> None:
    for value in drawn(time_of_day).values():
        hour, minute = map(int, re.fullmatch(r"(\d\d):(\d\d)", value).groups())
        assert hour < 24 and minute < 60


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("half an hour", "30m"), ("ninety seconds", "90s"), ("twenty five minutes", "25m"),
        ("one minute", "1m"), ("two hours", "2h"), ("an hour and a half", "1h30m"),
        ("three and a half hours", "3h30m"), ("two hours and thirty minutes", "2h30m"),
        ("half a minute", "30s"), ("two and a half minutes", "2m30s"),
    ],
)  # fmt: skip
def test_durations(text: str, value: str) -> None:
    assert drawn(duration)[text] == value


def test_amounts() -> None:
    percent = drawn(percentage)
    assert percent["thirty percent"] == percent["30%"] == percent["30 percent"] == "30"
    assert (percent["half"], percent["a hundred percent"], percent["zero"]) == ("50", "100", "0")
    assert set(percent.values()) == set(map(str, range(101)))
    assert drawn(degrees)["twenty one degrees"] == "21"


def test_days() -> None:
    said = drawn(days, 5_000)
    assert (said["tomorrow"], said["on friday"]) == (" day=tomorrow", " day=fri")
    assert (said["every weekday"], said["every monday"]) == (" every=weekday", " every=mon")
