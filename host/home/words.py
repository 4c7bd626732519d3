"""Words that mean a kind of device, or have a function in commands, and so cannot be a name."""

from __future__ import annotations

from host.grammar.devices import COLOURS, MUSIC

# Words for a device of each kind, which a home need not list as names.
KIND_WORDS: dict[str, tuple[str, ...]] = {
    "light": ("light", "lamp", "lighting", "bulb"),
    "fan": ("fan", "ventilator"),
    "blinds": ("blind", "shade", "curtain", "shutter"),
    "heating": ("heating", "heater", "thermostat", "radiator", "heat"),
    "ac": ("ac", "air conditioner", "air conditioning", "aircon", "air con"),
    "tv": ("tv", "television", "telly"),
    "speaker": ("speaker", "stereo", "radio", "music"),
    "plug": ("plug", "socket", "outlet", "switch"),
    "lock": ("door", "lock"),
    "vacuum": ("vacuum", "vacuum cleaner", "robot vacuum", "roomba", "hoover"),
    "gate": ("gate",),
    "security": ("security", "security system", "alarm system"),
    "scene": ("scene",),
}
# A name of only one of these words would be found where it is not meant.
_RESERVED = """
    a all also am an and are at be by can close color could day do down every everything
    everywhere for from get half hello here hey home hour house how i if in is it less lock make
    max maximum me min minimum minute more mute my next no not now of off ok on open or our out
    pause percent play please previous put resume room second set start stop that the then there
    they this time timer to today toggle tomorrow turn unknown unlock unmute up volume wake was we
    what when where which who with yes you alarm brightness temperature degrees monday tuesday
    wednesday thursday friday saturday sunday
"""
NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen", "twenty",
)  # fmt: skip


def pluralize(word: str) -> str:
    """Returns the plural of a word in the singular."""
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return f"{word}es"
    if word.endswith("y") and word[-2:-1] not in ("", *"aeiou"):
        return f"{word[:-1]}ies"
    return f"{word}s"


def singularize(word: str) -> str:
    """Returns the singular of a word in the plural, and any other word unchanged."""
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("xes", "zes", "ches", "shes", "sses")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _generic() -> frozenset[str]:
    words = {each for words in KIND_WORDS.values() for each in words}
    colours = {each.replace("_", " ") for each in COLOURS}
    plurals = map(pluralize, words)
    return frozenset({*words, *plurals, *_RESERVED.split(), *NUMBERS, *colours, *MUSIC})


GENERIC = _generic()
