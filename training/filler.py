"""Fills the slots of sentences that no device can carry out: people, cities, food and the like."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from training.home import PLACES, chosen
from training.nonsense import nonsense
from training.spoken import degrees, duration, number, percentage, time_of_day
from training.vocabulary import COLOURS, DEVICES, words

MOST_SLOTS = 12  # of a sentence
_LISTS = {
    "person": "people",
    "city": "cities",
    "food": "foods",
    "topic": "topics",
    "noun": "nouns",
    "adj": "adjectives",
    "verb": "verbs",
    "thing": "things",
    "title": "media_titles",
    "word": "place_words",
    "light_name": "light_names",
    "company": "companies",
    "day": "dates",
}
_DOORS = ("door", "doors", "lock", "window", "gate", "entrance", "garage door", "door lock")
_LIGHTS = ("lights", "light", "lamp", "@kitchen lights", "lights in the @kitchen")
_EXCEPT = ("except", "except for", "but not", "but", "apart from", "besides", "other than", "not")
_DO = ("turn off", "turn on", "switch off", "close", "open", "lock", "unlock", "dim", "shut off")
_OWNED = ("room", "bedroom", "office", "place", "bathroom", "den", "corner", "house")
_ROOMS = ("room", "corner", "area", "hall", "house", "floor")


class Filler:
    """Draws words for slots."""

    def __init__(self, random: Random) -> None:
        self.random = random
        draw = random.choice
        self._slots: dict[str, Callable[[], str]] = {
            "place": self.place,
            "known": lambda: f"@{draw(PLACES)}",
            "room": lambda: f"@{draw(PLACES)}" if random.random() < 0.7 else self.place(),
            "device": lambda: draw(DEVICES[draw(tuple(DEVICES))].singular),
            "devices": lambda: draw(DEVICES[draw(tuple(DEVICES))].plural),
            "time": lambda: time_of_day(random).text,
            "duration": lambda: duration(random).text,
            "on": lambda: draw(("on", "off")),
            "number": lambda: number(random, random.randint(1, 100)),
            "n": lambda: str(random.randint(1, 99)),
            "money": lambda: f"{draw(('', '$'))}{random.randint(1, 999)} dollars",
            "nonsense": lambda: nonsense(random),
            "amount": lambda: percentage(random).text,
            "degrees": lambda: degrees(random).text,
            "colour": lambda: draw(draw(tuple(COLOURS.values()))),
            "big": lambda: str(random.randint(101, 5000)),
            "hot": lambda: str(random.randint(100, 500)),
            "hour25": lambda: str(random.randint(25, 99)),
            "target_light": lambda: draw(_LIGHTS),
            "door": lambda: draw(_DOORS),
            "the": lambda: draw(("the ", "the ", "", "my ")),
            "where": self._where,
            "do": lambda: draw(_DO),
            "except": lambda: draw(_EXCEPT),
            "one": self._one,
        }

    def fill(self, pattern: str) -> str:
        """Returns `pattern` with a choice of each of its alternatives and a word in each slot."""
        text = chosen(self.random, pattern)
        for _ in range(MOST_SLOTS):
            if "{" not in text:
                break
            slot = text[text.index("{") + 1 : text.index("}")]
            text = text.replace(f"{{{slot}}}", self.word(slot), 1)
        return text

    def word(self, slot: str) -> str:
        """Returns a word for a slot."""
        if slot in _LISTS:
            return self.random.choice(words(_LISTS[slot]))
        return self._slots[slot]()

    def place(self) -> str:
        """Returns a place that the home lacks."""
        random, kind = self.random, self.random.random()
        if kind < 0.55:
            return random.choice(words("place_nouns"))
        if kind < 0.8:
            return f"{self.word('word')} {random.choice(words('place_nouns'))}"
        if kind < 0.87:
            return f"{self.word('person')}'s {random.choice(_OWNED)}"
        if kind < 0.95:
            return f"{nonsense(random)}{random.choice((' room', '', '', ' corner', ' hall'))}"
        return f"{self.word('noun')} {random.choice(_ROOMS)}"

    def _where(self) -> str:
        room = f"@{self.random.choice(PLACES)}"
        on_tv = f"on the tv in the {room}"
        return self.random.choice(("", "", f"in the {room}", on_tv, "on the tv"))

    def _one(self) -> str:
        """Returns the part of a command that is an exception: "all lights but ..."."""
        room = f"@{self.random.choice(PLACES)}"
        device = self.random.choice(("lamp", "tv", "fan", "door", "speaker", "lights", "one"))
        named = (f"the {room} {device}", f"the {device} in the {room}")
        return self.random.choice((f"the {room}", f"the {device}", "mine", *named))
