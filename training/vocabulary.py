"""The words of homes: rooms, devices, colours, and things that the home lacks."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

# The name of a room in action lines, and what people call it.
ROOMS: dict[str, tuple[str, ...]] = {
    "kitchen": ("kitchen",),
    "bedroom": ("bedroom", "master bedroom"),
    "living_room": ("living room", "lounge", "sitting room"),
    "bathroom": ("bathroom", "washroom"),
    "hallway": ("hallway", "hall", "corridor"),
    "garage": ("garage",),
    "office": ("office", "study"),
    "dining_room": ("dining room",),
    "garden": ("garden", "backyard", "yard"),
    "basement": ("basement", "cellar"),
    "attic": ("attic", "loft"),
    "nursery": ("nursery", "kids room", "baby room"),
    "guest_room": ("guest room", "spare room"),
    "laundry": ("laundry", "laundry room", "utility room"),
}
ALL, HERE = "all", "here"  # every room, and the room that the speaker is in


class Nouns(NamedTuple):
    """Names of one kind of device."""

    singular: tuple[str, ...]
    plural: tuple[str, ...]


DEVICES: dict[str, Nouns] = {
    "light": Nouns(
        ("light", "light", "light", "lamp", "lamp", "lighting", "overhead light", "ceiling light",
         "main light"),
        ("lights", "lights", "lights", "lamps", "overhead lights", "ceiling lights"),
    ),
    "fan": Nouns(("fan", "fan", "ceiling fan"), ("fans", "fans", "ceiling fans")),
    "blinds": Nouns(
        ("blind", "shade", "curtain", "shutter"), ("blinds", "shades", "curtains", "shutters")
    ),
    "heating": Nouns(
        ("heating", "heater", "thermostat", "radiator"), ("heaters", "radiators", "thermostats")
    ),
    "ac": Nouns(
        ("ac", "air conditioner", "air conditioning", "aircon", "a c"), ("air conditioners", "acs")
    ),
    "tv": Nouns(("tv", "tv", "television", "telly"), ("tvs", "televisions")),
    "speaker": Nouns(
        ("speaker", "speaker", "stereo", "radio", "sound system", "audio system", "media player",
         "soundbar", "music player"),
        ("speakers", "speakers", "radios", "media players"),
    ),
    "plug": Nouns(
        ("plug", "socket", "outlet", "smart plug", "power outlet", "smart socket"),
        ("plugs", "sockets", "outlets", "smart plugs"),
    ),
    "lock": Nouns(
        ("door", "door", "lock", "door lock"), ("doors", "doors", "locks", "door locks")
    ),
    "vacuum": Nouns(
        ("vacuum", "vacuum", "robot vacuum", "vacuum cleaner", "roomba", "robot vacuum cleaner",
         "vacuum robot", "robot cleaner"),
        ("vacuums", "robot vacuums", "vacuum cleaners"),
    ),
    "gate": Nouns(("gate",), ("gates",)),
    "security": Nouns(
        ("security system", "alarm system", "burglar alarm", "security", "house alarm"),
        ("security systems", "alarm systems"),
    ),
}  # fmt: skip

COLOURS: dict[str, tuple[str, ...]] = {
    "red": ("red",),
    "green": ("green",),
    "blue": ("blue",),
    "yellow": ("yellow",),
    "orange": ("orange",),
    "purple": ("purple", "violet"),
    "pink": ("pink",),
    "white": ("white",),
    "warm_white": ("warm white", "soft white"),
    "cool_white": ("cool white", "daylight"),
    "turquoise": ("turquoise", "teal"),
    "gold": ("gold", "golden"),
}

MUSIC = (
    "jazz", "rock", "pop", "classical", "blues", "folk", "country", "techno", "reggae", "soul",
    "disco", "opera", "metal", "lullabies",
)  # fmt: skip

FAN_SPEEDS: dict[str, tuple[str, ...]] = {
    "low": ("low", "slow"),
    "medium": ("medium",),
    "high": ("high", "fast"),
}

SCENES: dict[str, tuple[str, ...]] = {
    "movie": ("movie", "movie night", "cinema", "film"),
    "night": ("night", "bedtime", "sleep", "nighttime", "night time"),
    "morning": ("morning", "wake up"),
    "dinner": ("dinner",),
    "party": ("party",),
    "reading": ("reading",),
    "relax": ("relax", "relaxing", "chill"),
    "work": ("work", "focus"),
    "away": ("away", "vacation", "holiday"),
    "home": ("home", "welcome home"),
    "romantic": ("romantic", "date night"),
    "cleaning": ("cleaning",),
}

# What people say instead of naming a scene.
SCENE_SAYINGS: dict[str, tuple[str, ...]] = {
    "movie": (
        "we are watching a movie",
        "let us watch a film",
        "it is movie time",
        "it is movie night",
    ),
    "night": (
        "good night",
        "goodnight",
        "i am going to bed",
        "time to sleep",
        "i am going to sleep",
        "it is time for bed",
        "time for bed",
        "i am going to sleep now",
        "we are going to bed",
        "bedtime",
        "i want to sleep",
    ),
    "morning": (
        "good morning",
        "i am awake",
        "i just woke up",
        "i am getting up",
        "rise and shine",
    ),
    "dinner": ("dinner is ready", "we are having dinner", "time to eat"),
    "party": ("let us party", "it is party time", "the guests are here", "time to party"),
    "reading": ("i want to read", "i am going to read a book"),
    "relax": ("i want to relax", "i need to relax"),
    "work": ("i need to concentrate", "i am starting work", "time to work"),
    "away": (
        "i am leaving",
        "we are leaving",
        "i am going out",
        "goodbye",
        "we are going away",
        "i am off to work",
        "i am leaving the house",
        "we are leaving now",
        "bye bye",
        "bye",
    ),
    "home": (
        "i am home",
        "we are home",
        "i am back",
        "we are back",
        "i just got home",
        "we got home",
    ),
    "romantic": ("set a romantic mood",),
    "cleaning": ("i am going to clean", "time to clean up"),
}

TIMERS = (
    "pasta", "pizza", "egg", "tea", "oven", "cake", "bread", "rice", "laundry", "workout", "nap",
    "coffee", "chicken", "homework", "cookie", "potato",
)  # fmt: skip

_WORDS = Path(__file__).with_name("words")


@cache
def words(name: str) -> tuple[str, ...]:
    """Returns the words of a file in training/words, separated by commas or line ends."""
    text = (_WORDS / f"{name}.txt").read_text(encoding="utf-8")
    return tuple(dict.fromkeys(filter(None, (one.strip() for one in re.split("[,\n]", text)))))


@cache
def lines(name: str) -> tuple[str, ...]:
    """Returns the lines of a file in training/words, without comments."""
    text = (_WORDS / f"{name}.txt").read_text(encoding="utf-8")
    return tuple(one for one in text.splitlines() if one and not one.startswith("#"))
