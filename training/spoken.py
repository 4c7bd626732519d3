"""Numbers, durations and times of day, as people say them and as action lines write them."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen",
)  # fmt: skip
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NOONS = 0.06  # fraction of times of day that are noon or midnight
# Words without typing errors: a misspelt number would be another number or none.
NUMBER_WORDS = frozenset((*ONES, *TENS[2:], "hundred", "half", "quarter"))


class Said(NamedTuple):
    """A value as people say it, and as in an action line."""

    text: str
    value: str


def number_words(number: int) -> str:
    """Returns a number from 0 to 100 in words."""
    if number < 20:
        return ONES[number]
    if number == 100:
        return "one hundred"
    tens, ones = divmod(number, 10)
    return f"{TENS[tens]} {ONES[ones]}" if ones else TENS[tens]


def number(random: Random, value: int) -> str:
    """Returns `value` (0 to 100) in words or in digits."""
    return number_words(value) if random.random() < 0.6 else str(value)


def percent(random: Random) -> Said:
    """Draws 0 to 100 percent, with the word "percent"; round numbers are more frequent."""
    value = random.choice(
        (random.randint(0, 100), 5 * random.randint(0, 20), 10 * random.randint(0, 10))
    )
    if value == 100 and random.random() < 0.3:
        return Said("a hundred percent", "100")
    if random.random() < 0.6:
        return Said(
            f"{value}{random.choice(('%', '%', ' %', ' percent', ' percent'))}", str(value)
        )
    return Said(f"{number_words(value)} percent", str(value))


def percentage(random: Random) -> Said:
    """Draws 0 to 100 percent, with or without the word."""
    if random.random() < 0.55:
        return percent(random)
    value = random.choice((random.randint(0, 100), 10 * random.randint(0, 10)))
    if value == 50 and random.random() < 0.4:
        return Said(random.choice(("half", "fifty fifty", "halfway", "the middle")), "50")
    return Said(number(random, value), str(value))


def highest(random: Random) -> Said:
    """Draws a way to say the maximum."""
    word = random.choice(
        ("maximum", "max", "full", "the max", "the maximum", "the highest", "highest")
    )
    return Said(word, "100")


def lowest(random: Random) -> Said:
    """Draws a way to say the minimum that is not off."""
    word = random.choice(("minimum", "min", "the minimum", "the lowest", "lowest", "the min"))
    return Said(word, "1")


def silent(random: Random) -> Said:
    """Draws a way to say no sound."""
    return Said(random.choice(("minimum", "min", "the minimum", "the lowest", "zero", "0")), "0")


def hottest(random: Random) -> Said:
    """Draws a way to say the highest temperature."""
    word = random.choice(
        ("maximum", "max", "the maximum", "the highest", "the max", "the hottest")
    )
    return Said(word, "max")


def coldest(random: Random) -> Said:
    """Draws a way to say the lowest temperature."""
    word = random.choice(("minimum", "min", "the minimum", "the lowest", "the min", "the coldest"))
    return Said(word, "min")


def degrees_with_unit(random: Random) -> Said:
    """Draws 5 to 32 or 45 to 95 degrees, with the word "degrees"."""
    value = random.randint(5, 32) if random.random() < 0.75 else random.randint(45, 95)
    unit = random.choice((" degrees", " degrees", " degree", " degrees celsius", "\u00b0"))
    if value > 32 and unit == " degrees celsius":
        unit = " degrees fahrenheit"
    return Said((str(value) if unit == "\u00b0" else number(random, value)) + unit, str(value))


def degrees(random: Random) -> Said:
    """Draws 5 to 32 or 45 to 95 degrees, with or without the word."""
    if random.random() < 0.6:
        return degrees_with_unit(random)
    value = random.randint(5, 32) if random.random() < 0.75 else random.randint(45, 95)
    return Said(number(random, value), str(value))


def duration(random: Random) -> Said:
    """Draws one second to twelve hours, as 90s, 20m, 2h or 1h30m."""
    kind = random.random()
    if kind < 0.15:
        seconds = random.choice((5 * random.randint(1, 18), random.randint(2, 99)))
        unit = random.choice(("seconds", "seconds", "secs"))
        return Said(f"{number(random, seconds)} {unit}", f"{seconds}s")
    if kind < 0.6:
        minutes = random.choice(
            (random.randint(1, 59), 5 * random.randint(1, 11), random.randint(60, 100))
        )
        minutes = 45 if minutes == 60 else minutes
        unit = "minute" if minutes == 1 else random.choice(("minutes", "minutes", "mins"))
        return Said(f"{number(random, minutes)} {unit}", f"{minutes}m")
    if kind < 0.76:
        return random.choice(FIXED_DURATIONS)
    if kind < 0.8:
        minutes = random.randint(1, 30)
        seconds = 5 * random.randint(1, 11)
        unit = "minute" if minutes == 1 else "minutes"
        said = f"{number(random, minutes)} {unit}{random.choice((' and', ''))}"
        said = f"{said} {number(random, seconds)} seconds"
        if random.random() < 0.4:
            return Said(f"{number_words(minutes)} and a half minutes", f"{minutes}m30s")
        return Said(said, f"{minutes}m{seconds}s")
    hours = random.randint(1, 12)
    said = f"{number(random, hours)} hour{'s' if hours > 1 else ''}"
    if kind < 0.88:
        return Said(said, f"{hours}h")
    if kind < 0.93:
        if hours == 1:
            return random.choice(
                (Said("an hour and a half", "1h30m"), Said("one and a half hours", "1h30m"))
            )
        return Said(f"{number_words(hours)} and a half hours", f"{hours}h30m")
    minutes = random.choice((random.randint(1, 59), 5 * random.randint(1, 11)))
    joint = random.choice((" and", " and", ""))
    return Said(
        f"{said}{joint} {number(random, minutes)} {'minute' if minutes == 1 else 'minutes'}",
        f"{hours}h{minutes}m",
    )


FIXED_DURATIONS = (
    Said("half an hour", "30m"), Said("half an hour", "30m"), Said("a half hour", "30m"),
    Said("1/2 an hour", "30m"), Said("1/2 hour", "30m"), Said("a quarter of an hour", "15m"),
    Said("an hour", "1h"), Said("a minute", "1m"), Said("three quarters of an hour", "45m"),
    Said("half a minute", "30s"), Said("half a minute", "30s"), Said("1/2 a minute", "30s"),
    Said("a couple of minutes", "2m"), Said("an hour and a quarter", "1h15m"),
    Said("a minute and a half", "1m30s"), Said("one hour", "1h"), Said("a half minute", "30s"),
)  # fmt: skip

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def days(random: Random, repeated: bool = True) -> Said:
    """Draws days, as "on monday", and what an action line has for them, with the space before
    it."""
    kind = random.random()
    if kind < 0.4:
        day = random.choice(("tomorrow", "tomorrow", "today"))
        return Said(day, f" day={day}")
    one = random.randrange(7)
    if kind < 0.75 or not repeated:
        name = _DAY_NAMES[one]
        return Said(
            random.choice(
                (f"on {name}", f"on {name}", f"next {name}", f"this {name}", f"for {name}", name)
            ),
            f" day={_DAYS[one]}",
        )
    if kind < 0.88:
        said = random.choice(_REPEATED)
        return Said(said.text, f" every={said.value}")
    return Said(f"every {_DAY_NAMES[one]}", f" every={_DAYS[one]}")


_REPEATED = (
    Said("every day", "day"), Said("daily", "day"), Said("each day", "day"),
    Said("every weekday", "weekday"), Said("on weekdays", "weekday"),
    Said("on weekends", "weekend"), Said("every weekend", "weekend"),
    Said("each weekday", "weekday"),
)  # fmt: skip


def time_of_day(random: Random, noons: float = NOONS) -> Said:
    """Draws a time as HH:MM; noons: the fraction that is noon or midnight. Without am, pm or a
    part of the day, the hour is the one that is said."""
    if random.random() < noons:
        return random.choice(
            (Said("noon", "12:00"), Said("midnight", "00:00"), Said("midday", "12:00"))
        )
    if random.random() < 0.12:
        hour, minute = random.randint(0, 23), 5 * random.randint(0, 11)
        return Said(
            random.choice((f"{hour}:{minute:02}", f"{hour:02}:{minute:02}")),
            f"{hour:02}:{minute:02}",
        )
    hour = random.randint(1, 12)
    text, hour, minute = _clock(random, hour)
    suffix, afternoon = random.choice(_DAY_PARTS if hour != 12 else _DAY_PARTS[:6])
    if (afternoon and suffix == "at night" and hour < 7) or (
        suffix == "in the afternoon" and hour > 6
    ):
        suffix = "pm"
    if afternoon and suffix in ("in the evening", "tonight") and hour < 4:
        suffix = "pm"
    if afternoon is None:
        return Said(text, f"{hour:02}:{minute:02}")
    joint = "" if suffix in ("am", "pm") and text[-1].isdigit() and random.random() < 0.4 else " "
    return Said(f"{text}{joint}{suffix}", f"{hour % 12 + 12 * afternoon:02}:{minute:02}")


# Whether it is the afternoon; the last three are not said of twelve.
_DAY_PARTS: tuple[tuple[str, bool | None], ...] = (
    ("", None), ("", None), ("", None), ("am", False), ("pm", True), ("pm", True),
    ("in the morning", False), ("in the evening", True), ("tonight", True),
    ("a m", False), ("p m", True),
    ("in the afternoon", True), ("at night", True),
)  # fmt: skip


def _clock(random: Random, hour: int) -> tuple[str, int, int]:
    """Draws a twelve-hour time: how it is said, its hour and its minute."""
    form = random.randrange(8)
    if form in (0, 7):
        return random.choice((number_words(hour), str(hour))), hour, 0
    if form == 1:
        clock = random.choice(("o'clock", "o'clock", "o clock", "oclock"))
        return f"{number(random, hour)} {clock}", hour, 0
    if form == 2:
        return f"half past {number(random, hour)}", hour, 30
    if form == 3:
        amount, minute = random.choice(_MINUTES)
        return (
            f"{amount} {random.choice(('past', 'past', 'after'))} {number(random, hour)}",
            hour,
            minute,
        )
    if form == 4:
        amount, minute = random.choice(_MINUTES)
        before = (hour - 2) % 12 + 1
        return (
            f"{amount} {random.choice(('to', 'to', 'till', 'before'))} {number(random, hour)}",
            before,
            60 - minute,
        )
    minute = random.choice((random.randint(0, 59), 5 * random.randint(0, 11), 30))
    if form == 5 or minute == 0:
        mark = random.choice((":", ":", ":", " ", "")) if minute >= 10 else ":"
        return f"{hour}{mark}{minute:02}", hour, minute
    said = f"oh {ONES[minute]}" if minute < 10 else number_words(minute)
    return f"{number_words(hour)} {said}", hour, minute


_MINUTES = (("quarter", 15), ("a quarter", 15), ("five", 5), ("ten", 10), ("twenty", 20))
