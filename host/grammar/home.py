"""The home that action lines speak of: its devices and what each does, its rooms and names."""

from __future__ import annotations

from dataclasses import dataclass

ALL, HERE = "all", "here"  # every room, and the room that the speaker is in
ROOMS = frozenset(
    ("kitchen", "bedroom", "living_room", "bathroom", "hallway", "garage", "office", "dining_room",
     "garden", "basement", "attic", "nursery", "guest_room", "laundry", ALL, HERE)
)  # fmt: skip
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
LASTING = frozenset(("on", "start", "play"))  # what can be asked for as long as something
_STEPS = ("up", "down")


@dataclass(frozen=True)
class Doing:
    """What stands after a device: a verb, or a property that is set or asked for.

    numbers: values that it takes, empty for none; words: further ones; stands_alone: whether it
    may have no value; is_asked: whether it may have a question mark.
    """

    numbers: range = range(0)
    words: tuple[str, ...] = ()
    stands_alone: bool = False
    is_asked: bool = False

    def takes(self, value: str) -> bool:
        """Whether this is one of its values; numbers are written without a leading zero."""
        if value.isascii() and value.isdigit() and str(int(value[:9])) == value:
            return int(value) in self.numbers
        return value in self.words


_VERB, _STATE = Doing(stands_alone=True), Doing(is_asked=True)
_SWITCHED = {"on": _VERB, "off": _VERB, "state": _STATE}
_PERCENT = range(101)
_VOLUME = Doing(_PERCENT, _STEPS, is_asked=True)
_DEGREES = range(5, 33)

DEVICES: dict[str, dict[str, Doing]] = {
    "light": {
        **_SWITCHED,
        "brightness": Doing(_PERCENT, _STEPS, is_asked=True),
        "color": Doing(words=COLOURS),
    },
    "fan": {**_SWITCHED, "speed": Doing(words=("low", "medium", "high", *_STEPS))},
    "blinds": {
        "open": _VERB, "close": _VERB, "state": _STATE, "position": Doing(_PERCENT, is_asked=True),
    },
    "heating": {**_SWITCHED, "temperature": Doing(_DEGREES, _STEPS, is_asked=True)},
    "ac": {**_SWITCHED, "temperature": Doing(_DEGREES, _STEPS)},
    "tv": {**_SWITCHED, "volume": _VOLUME, "channel": Doing(range(1, 100)), "mute": _VERB},
    "speaker": {
        **_SWITCHED, "volume": _VOLUME, "play": Doing(words=MUSIC), "pause": _VERB, "next": _VERB,
    },
    "plug": _SWITCHED,
    "lock": {"lock": _VERB, "unlock": _VERB, "state": _STATE},
    "vacuum": {"start": _VERB, "stop": _VERB, "state": _STATE},
}  # fmt: skip

# What must not be done to another device than the one that was named. The home has no doors that
# open by a motor, and no alarm system that could be disarmed.
DANGEROUS = frozenset({("lock", "unlock")})
