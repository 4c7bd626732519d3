"""Commands that are answered by "unknown": those for other assistants, and those that a home
cannot carry out."""

from __future__ import annotations

from random import Random

from training.filler import Filler
from training.home import Clause, Home
from training.split import is_held_out
from training.spoiled import Spoiled
from training.vocabulary import lines

UNKNOWN = "unknown"


class Unknown:
    """Draws clauses of one side of the split that cannot be carried out."""

    def __init__(self, random: Random, held_out: bool, home: Home) -> None:
        self.random, self.held_out = random, held_out
        self.filler = Filler(random)
        self.spoiled = spoiled = Spoiled(random, home, self.filler)
        # Kinds of texts, and their relative frequencies.
        self._kinds = {
            self._for_others: 34,
            spoiled.other_place: 22,
            spoiled.other_device: 12,
            spoiled.owned_device: 10,
            spoiled.beside_place: 8,
            spoiled.turned: 9,
            spoiled.unsupported: 11,
            spoiled.other_door: 8,
            spoiled.salad: 6,
            spoiled.all_but_one: 3,
            spoiled.strange_verb: 3,
            self._mixed: 3,
            self._play: 7,
            self._missing: 8,
            self._bad_value: 3,
            self._foreign_words: 3,
        }

    def clause(self) -> Clause:
        """Returns a clause that no device of the home can carry out."""
        draws, weights = tuple(self._kinds), tuple(self._kinds.values())
        while True:
            (draw,) = self.random.choices(draws, weights)
            text = " ".join(draw().split())
            if text and is_held_out(UNKNOWN, text) == self.held_out:
                return Clause(text, UNKNOWN, UNKNOWN, frozenset(((UNKNOWN, text),)), False)

    def _filled(self, name: str) -> str:
        return self.filler.fill(self.random.choice(lines(name)))

    def _for_others(self) -> str:
        return self._filled("elsewhere")

    def _play(self) -> str:
        return self._filled("play")

    def _missing(self) -> str:
        return self._filled("missing")

    def _bad_value(self) -> str:
        return self._filled("bad_values")

    def _foreign_words(self) -> str:
        return self.random.choice(lines("foreign"))

    def _mixed(self) -> str:
        return self.spoiled.mixed(self._for_others())
