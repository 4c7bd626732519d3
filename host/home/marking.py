"""Puts symbols in place of a home's names: a model that is trained on symbols needs no training
for the names of another home.

"turn off the floor lamp in the den" becomes "turn off the light P in the A", and the answer
"light.P off" becomes "light.floor_lamp off".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from host.grammar.action_lines import Action
from host.grammar.devices import DEVICE_SYMBOLS, PLACE_SYMBOLS
from host.home.home import Home
from host.home.names import find_mentions


@dataclass(frozen=True)
class Marked:
    """A text with symbols. places, devices: the id for which each symbol stands; kinds: the kinds
    of the devices, by their symbols."""

    text: str
    places: Mapping[str, str]
    devices: Mapping[str, str]
    kinds: Mapping[str, str]

    def restore(self, actions: Iterable[Action]) -> tuple[Action, ...]:
        """Returns actions with ids in place of symbols. A symbol that the text does not have
        stays; no home has such an id."""
        ids = {**self.places, **self.devices}
        return tuple(replace(each, name=ids.get(each.name, each.name)) for each in actions)


def mark_names(text: str, home: Home) -> Marked:
    """Puts symbols in place of a home's names in a text that is already normalized by the model's
    format.

    Places become A, B, C and devices their kind and P, Q, R, in the order in which they are first
    mentioned; further names stay as they are.
    """
    symbols: dict[str, str] = {}
    places, devices = iter(PLACE_SYMBOLS), iter(DEVICE_SYMBOLS)
    parts, end = [], 0
    for mention in find_mentions(text, home):
        device = home.devices.get(mention.id)
        if mention.id not in symbols:
            symbol = next(places if device is None else devices, "")
            if not symbol:
                continue
            symbols[mention.id] = symbol
        symbol = symbols[mention.id]
        parts += [text[end : mention.start], f"{device.kind} {symbol}" if device else symbol]
        end = mention.end
    named = {symbol: id for id, symbol in symbols.items() if id in home.devices}
    return Marked(
        "".join(parts) + text[end:],
        {symbol: id for id, symbol in symbols.items() if id not in home.devices},
        named,
        {symbol: home.devices[id].kind for symbol, id in named.items()},
    )
