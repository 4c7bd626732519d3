"""Invents words that do not exist."""

from random import Random

_BEGINNINGS = (
    "b", "d", "fl", "g", "gr", "k", "m", "n", "p", "qu", "sn", "t", "v", "z", "sh", "ch", "st",
    "tr", "bl", "r", "l", "h", "w", "j", "f", "s", "br", "c", "",
)  # fmt: skip
_VOWELS = ("a", "e", "i", "o", "u", "oo", "ee", "ai", "ou", "ea", "ie")
_ENDS = (
    "b", "ck", "ff", "g", "ll", "m", "n", "rp", "x", "zz", "", "", "", "r", "s", "t", "nt", "rd",
    "nd", "l", "th", "sh",
)  # fmt: skip


def nonsense(random: Random) -> str:
    """Returns a word that does not exist."""
    syllables = (
        random.choice(_BEGINNINGS) + random.choice(_VOWELS) + random.choice(_ENDS)
        for _ in range(random.randint(1, 3))
    )
    return "".join(syllables)
