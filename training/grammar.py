"""Home commands and their action lines: what the shipped model learns, and what it is judged by.

    python -m training.grammar          # prints a few of each category

The text that the model sees is "command\\naction", between two BOS tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import NamedTuple

from training.home import Clause, Combination, Home
from training.sayings import Sayings
from training.spoken import duration, time_of_day
from training.style import misspelt, polite, written

SEED = 20240501
# How many of each category, in proportion, in training and among the held-out commands.
SHARES = {
    "switch": 150, "level": 150, "step": 70, "colour": 60, "media": 60, "question": 90,
    "timer": 90, "scene": 40, "delayed": 90, "several": 110, "unknown": 90,
}  # fmt: skip
TYPING_ERRORS = 0.12  # of the training commands
HELD_OUT_TYPING_ERRORS = 50  # of the held-out ones, a category of its own
JOINTS = (" and ", " and ", " and then ", ", ", " then ", " and also ", ", and ")
LASTING = ("on", "start", "play")  # actions that can be asked for as long as something


class Command(NamedTuple):
    """A command, the action line that answers it, and the combinations that it is made of."""

    text: str
    action: str
    category: str
    keys: frozenset[Combination]


class Grammar:
    """Draws commands of one side of the split, the same ones for the same seed."""

    def __init__(self, seed: int, held_out: bool = False) -> None:
        self.random = random = Random(seed)
        self.home, self.sayings = Home(random, held_out), Sayings(random, held_out)

    def commands(self) -> Iterator[Command]:
        """Training commands, without end."""
        categories, shares = tuple(SHARES), tuple(SHARES.values())
        while True:
            (category,) = self.random.choices(categories, shares)
            error = self.random.random() < TYPING_ERRORS
            yield self.command(category, error)

    def command(self, category: str, error: bool = False) -> Command:
        """A command of `category`, one of SHARES, perhaps with a typing error."""
        clause = self._clause(category)
        urgent = category not in ("delayed", "timer", "unknown", "several")
        text = polite(self.random, clause.text, clause.imperative, urgent)
        text = misspelt(self.random, text) if error else text
        return Command(written(self.random, text), clause.action, category, clause.keys)

    def _clause(self, category: str) -> Clause:
        if category in self.home.categories:
            return self.home.clause(category)
        if category == "several":
            return self._several()
        if category == "delayed":
            return self._delayed()
        return {
            "timer": self.sayings.timer,
            "scene": self.sayings.scene,
            "unknown": self.sayings.unknown,
        }[category]()

    def _several(self) -> Clause:
        """Two or three actions in one command."""
        random = self.random
        kind = random.random()
        if kind < 0.45:
            return self.home.clause_on_two()
        clauses = [self._joinable() for _ in range(3 if kind > 0.9 else 2)]
        text = clauses[0].text
        for clause in clauses[1:]:
            text += random.choice(JOINTS) + clause.text
        keys = frozenset().union(*(clause.keys for clause in clauses))
        return Clause(text, "; ".join(clause.action for clause in clauses), "several", keys)

    def _joinable(self) -> Clause:
        """A clause that says by itself where it begins."""
        while True:
            if self.random.random() < 0.1:
                clause = self.sayings.timer()
                if clause.imperative:
                    return clause
                continue
            category = self.random.choice(("switch", "switch", "level", "step", "colour", "media"))
            return self.home.clause(category, statement=False)

    def _delayed(self) -> Clause:
        """A clause that is to take effect later, or for a while."""
        random = self.random
        category = random.choice(("switch", "switch", "switch", "level", "colour", "media"))
        clause = self.home.clause(category, statement=random.random() < 0.2)
        kind = random.random()
        lasting = clause.action.split()[1].split("=")[0] in LASTING
        if lasting and kind < 0.3:
            word, said = "for", duration(random)
        elif kind < 0.65:
            word, said = "in", duration(random)
        else:
            word, said = "at", time_of_day(random)
        when = f"{word} {said.text}"
        before = word != "for" and random.random() < 0.25
        text = f"{when} {clause.text}" if before else f"{clause.text} {when}"
        action = f"{clause.action} {word}={said.value}"
        return Clause(text, action, "delayed", clause.keys, clause.imperative and not before)


def held_out_commands(count: int = 2000) -> list[Command]:
    """The commands that the model is judged by: their combinations are in no training command."""
    grammar = Grammar(SEED + 1, held_out=True)
    found: dict[str, Command] = {}
    shares = {**SHARES, "typo": HELD_OUT_TYPING_ERRORS}
    whole = sum(shares.values())
    wanted = {category: count * share // whole for category, share in shares.items()}
    wanted["switch"] += count - sum(wanted.values())
    for category, number in wanted.items():
        enough = len(found) + number
        while len(found) < enough:
            command = _held_out(grammar, category)
            found.setdefault(command.text, command)
    return list(found.values())


def _held_out(grammar: Grammar, category: str) -> Command:
    """A command of `category`; one with a typing error is of any kind that names a device."""
    if category != "typo":
        return grammar.command(category)
    kind = grammar.random.choice(grammar.home.categories)
    return grammar.command(kind, error=True)._replace(category=category)


def main() -> None:
    """Prints a few commands of each category."""
    grammar = Grammar(SEED)
    for category in SHARES:
        print(f"# {category}")
        for command in (grammar.command(category) for _ in range(8)):
            print(f"{command.text:<75} {command.action}")
    for command in islice(grammar.commands(), 5):
        print(command.text, "->", command.action)


if __name__ == "__main__":
    main()
