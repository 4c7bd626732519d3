"""Writes commands of the grammar as the model sees them, and as people write them.

In the grammar a place is written as @kitchen and a device with a name of its own as @light1. The
model sees symbols, in the order in which they are first mentioned: places are A, B, C; devices are
their kind and P, Q, R.
"""

from __future__ import annotations

import re
from random import Random

from host.grammar.devices import DEVICE_SYMBOLS, PLACE_SYMBOLS
from training.vocabulary import ROOMS

_NAME = re.compile(r"@([a-z_]+)(\d?)")
_POSSESSIVE = re.compile(r"(@[a-z_]+\d?)'s")  # the host removes it together with the name


def mark(text: str, action: str) -> tuple[str, str]:
    """Returns `text` and `action` with symbols. Raises ValueError if there are too many names, or
    if the action has one that the text lacks."""
    symbols: dict[str, str] = {}
    places, devices = iter(PLACE_SYMBOLS), iter(DEVICE_SYMBOLS)

    def seen(found: re.Match[str]) -> str:
        symbol = symbols.get(found[0]) or next(devices if found[2] else places, "")
        if not symbol:
            raise ValueError(f"too many names: {text}")
        symbols[found[0]] = symbol
        return f"{found[1]} {symbol}" if found[2] else symbol

    marked = _NAME.sub(seen, _POSSESSIVE.sub(r"\1", text))
    try:
        return marked, _NAME.sub(lambda found: symbols[found[0]], action)
    except KeyError as name:
        raise ValueError(f"{name} of the action is not in: {text}") from None


def name(random: Random, text: str, action: str) -> tuple[str, str]:
    """Returns `text` and `action` with names of the shipped home, each place by one of its
    names."""

    def named(found: re.Match[str]) -> str:
        if found[1] not in ROOMS:
            raise ValueError(f"{found[0]} has no name in that home: {text}")
        return random.choice(ROOMS[found[1]])

    return _NAME.sub(named, text), action.replace("@", "")


def is_at_home(text: str, action: str) -> bool:
    """Returns whether the shipped home has what a command names; it has no devices with names of
    their own."""
    lacks = ("gate.", "security.")
    own = any(found[2] for found in _NAME.finditer(text))
    return not own and not any(kind in action for kind in lacks)
