"""The vocabulary of action lines: kinds of devices with their verbs and values, and fixed names.

A home (host/home/) says which devices there are, and where.
"""

from __future__ import annotations

from dataclasses import dataclass

ALL, HERE = "all", "here"  # the whole home, and the room that the speaker is in
EVERYTHING = "everything"  # all that can be switched in a place
PLACE_SYMBOLS, DEVICE_SYMBOLS = "ABC", "PQR"  # stand for the names in a command
SCENES = frozenset(
    ("movie", "night", "morning", "dinner", "party", "reading", "relax", "work", "away", "home",
     "romantic", "cleaning")
)  # fmt: skip
TIMERS = frozenset(
    ("pasta", "pizza", "egg", "tea", "oven", "cake", "bread", "rice", "laundry", "workout", "nap",
     "coffee", "chicken", "homework", "cookie", "potato")
)  # fmt: skip
COLOURS = (
    "red", "green", "blue", "yellow", "orange", "purple", "pink", "white", "warm_white",
    "cool_white", "turquoise", "gold",
)  # fmt: skip
MUSIC = (
    "jazz", "rock", "pop", "classical", "blues", "folk", "country", "techno", "reggae", "soul",
    "disco", "opera", "metal", "lullabies",
)  # fmt: skip
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ONCE = ("today", "tomorrow", *DAYS)  # values of `day=`
REPEATED = ("day", "weekday", "weekend", *DAYS)  # values of `every=`
LASTING = frozenset(("on", "start", "play"))  # verbs that can have a duration
_STEPS = ("up", "down")


@dataclass(frozen=True)
class Doing:
    """A verb of a device, or a property that is set or asked for.

    numbers: values that it takes, empty for none; words: further values; stands_alone: whether it
    may be without a value; is_asked: whether it may have a question mark.
    """

    numbers: range = range(0)
    words: tuple[str, ...] = ()
    stands_alone: bool = False
    is_asked: bool = False

    def takes(self, value: str) -> bool:
        """Returns whether this is one of its values; numbers are written without a leading
        zero."""
        if value.isascii() and value.isdigit() and str(int(value[:9])) == value:
            return int(value) in self.numbers
        return value in self.words


_VERB, _STATE = Doing(stands_alone=True), Doing(is_asked=True)
_SWITCHED = {"on": _VERB, "off": _VERB, "toggle": _VERB, "state": _STATE}
_PERCENT = range(101)
_LEVEL = Doing(_PERCENT, _STEPS, is_asked=True)
# Degrees Celsius or Fahrenheit: a home says which, and which values are possible.
_DEGREES = Doing(range(5, 96), (*_STEPS, "min", "max"), is_asked=True)
_PLAYED = {
    "volume": _LEVEL, "mute": _VERB, "unmute": _VERB, "pause": _VERB, "resume": _VERB,
    "stop": _VERB, "next": _VERB, "previous": _VERB,
}  # fmt: skip

DEVICES: dict[str, dict[str, Doing]] = {
    "light": {**_SWITCHED, "brightness": _LEVEL, "color": Doing(words=COLOURS)},
    "fan": {**_SWITCHED, "speed": Doing(_PERCENT, ("low", "medium", "high", *_STEPS))},
    "blinds": {
        "open": _VERB, "close": _VERB, "stop": _VERB, "toggle": _VERB, "state": _STATE,
        "position": _LEVEL,
    },
    "heating": {**_SWITCHED, "temperature": _DEGREES},
    "ac": {**_SWITCHED, "temperature": _DEGREES},
    "tv": {**_SWITCHED, **_PLAYED, "channel": Doing(range(1, 1000), _STEPS)},
    "speaker": {**_SWITCHED, **_PLAYED, "play": Doing(words=MUSIC)},
    "plug": _SWITCHED,
    "lock": {"lock": _VERB, "unlock": _VERB, "state": _STATE},
    "vacuum": {
        "start": _VERB, "stop": _VERB, "pause": _VERB, "resume": _VERB, "dock": _VERB,
        "state": _STATE,
    },
    # A garage door or a gate with a motor, and an alarm system.
    "gate": {"open": _VERB, "close": _VERB, "stop": _VERB, "state": _STATE},
    "security": {"arm": _VERB, "disarm": _VERB, "state": _STATE},
}  # fmt: skip
SWITCHED_TOGETHER = {"on": _VERB, "off": _VERB}  # the verbs of EVERYTHING

# Actions that must not be done to a device other than the one that was named.
DANGEROUS = frozenset({("lock", "unlock"), ("gate", "open"), ("security", "disarm")})
