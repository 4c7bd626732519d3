"""Numbers, durations and times of day, as people say them and as an action line writes them."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)  # fmt: skip
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# A misspelt number would be another number or none.
NUMBER_WORDS = frozenset((*ONES, *TENS[2:], "hundred", "half", "quarter"))


class Said(NamedTuple):
    """What is said, and what an action line has for it."""

    text: str
    value: str


def number_words(number: int) -> str:
    """0 to 100 in words."""
    if number < 20:
        return ONES[number]
    if number == 100:
        return "one hundred"
    tens, ones = divmod(number, 10)
    return f"{TENS[tens]} {ONES[ones]}" if ones else TENS[tens]


def number(random: Random, value: int) -> str:
    """`value` (0 to 100) in words or in digits."""
    return number_words(value) if random.random() < 0.6 else str(value)


def percentage(random: Random) -> Said:
    """0 to 100 percent; round numbers are the more frequent."""
    value = random.choice(
        (random.randint(0, 100), 5 * random.randint(0, 20), 10 * random.randint(0, 10))
    )
    if value == 100 and random.random() < 0.4:
        return Said(random.choice(("maximum", "full", "a hundred percent")), "100")
    if value == 50 and random.random() < 0.3:
        return Said(random.choice(("half", "fifty fifty")), "50")
    unit = random.choice((" percent", " percent", ""))
    if random.random() < 0.4:
        return Said(f"{value}{random.choice(('%', '%', unit))}", str(value))
    return Said(number_words(value) + unit, str(value))


def degrees(random: Random) -> Said:
    """5 to 32 degrees."""
    value = random.randint(5, 32)
    unit = random.choice((" degrees", " degrees", "", " degrees celsius"))
    return Said(number(random, value) + unit, str(value))


def duration(random: Random) -> Said:
    """Ten seconds to twelve hours, as 90s, 20m, 2h or 1h30m."""
    kind = random.random()
    if kind < 0.15:
        seconds = 5 * random.randint(2, 18)
        return Said(f"{number(random, seconds)} seconds", f"{seconds}s")
    if kind < 0.65:
        minutes = random.randint(1, 59)
        if random.random() < 0.4:
            minutes = 5 * random.randint(1, 11)
        unit = "minute" if minutes == 1 else random.choice(("minutes", "minutes", "mins"))
        return Said(f"{number(random, minutes)} {unit}", f"{minutes}m")
    if kind < 0.75:
        return random.choice(FIXED_DURATIONS)
    hours = random.randint(1, 12)
    said = f"{number(random, hours)} hour{'s' if hours > 1 else ''}"
    if kind < 0.85:
        return Said(said, f"{hours}h")
    if kind < 0.92:
        if hours == 1:
            return Said("an hour and a half", "1h30m")
        return Said(f"{number_words(hours)} and a half hours", f"{hours}h30m")
    minutes = random.choice((random.randint(1, 59), 5 * random.randint(1, 11)))
    return Said(f"{said} and {number(random, minutes)} minutes", f"{hours}h{minutes}m")


FIXED_DURATIONS = (
    Said("half an hour", "30m"),
    Said("a quarter of an hour", "15m"),
    Said("an hour", "1h"),
    Said("a minute", "1m"),
    Said("three quarters of an hour", "45m"),
)


def time_of_day(random: Random) -> Said:
    """A time as HH:MM. Without am, pm or a part of the day, the hour is the one that is said."""
    if random.random() < 0.06:
        return random.choice((Said("noon", "12:00"), Said("midnight", "00:00")))
    if random.random() < 0.12:
        hour, minute = random.randint(0, 23), 5 * random.randint(0, 11)
        return Said(f"{hour}:{minute:02}", f"{hour:02}:{minute:02}")
    hour = random.randint(1, 12)
    text, hour, minute = _clock(random, hour)
    suffix, afternoon = random.choice(_DAY_PARTS if hour != 12 else _DAY_PARTS[:6])
    if afternoon is None:
        return Said(text, f"{hour:02}:{minute:02}")
    return Said(f"{text} {suffix}", f"{hour % 12 + 12 * afternoon:02}:{minute:02}")


# Whether it is the afternoon; the last three are not said of twelve.
_DAY_PARTS: tuple[tuple[str, bool | None], ...] = (
    ("", None), ("", None), ("", None), ("am", False), ("pm", True), ("pm", True),
    ("in the morning", False), ("in the evening", True), ("tonight", True),
)  # fmt: skip


def _clock(random: Random, hour: int) -> tuple[str, int, int]:
    """A twelve-hour time: how it is said, its hour and its minute."""
    form = random.randrange(7)
    if form == 0:
        return random.choice((number_words(hour), str(hour))), hour, 0
    if form == 1:
        return f"{number(random, hour)} o'clock", hour, 0
    if form == 2:
        return f"half past {number(random, hour)}", hour, 30
    if form == 3:
        amount, minute = random.choice(_MINUTES)
        return f"{amount} past {number(random, hour)}", hour, minute
    if form == 4:
        amount, minute = random.choice(_MINUTES)
        before = (hour - 2) % 12 + 1
        return f"{amount} to {number(random, hour)}", before, 60 - minute
    minute = random.choice((random.randint(0, 59), 5 * random.randint(0, 11), 30))
    if form == 5 or minute == 0:
        return f"{hour}:{minute:02}", hour, minute
    said = f"oh {ONES[minute]}" if minute < 10 else number_words(minute)
    return f"{number_words(hour)} {said}", hour, minute


_MINUTES = (("quarter", 15), ("a quarter", 15), ("five", 5), ("ten", 10), ("twenty", 20))
