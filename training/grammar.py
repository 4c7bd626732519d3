"""Home commands and their action lines, for training the shipped model and for evaluating it.

    python -m training.grammar          # prints a few of each category

The text that the model sees is "command\\naction", between two BOS tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from host.grammar.action_lines import parse_line
from host.grammar.devices import DANGEROUS, LASTING
from host.home.home import NotInHome
from host.home.home_file import default_home
from host.home.marking import mark_names
from training import marks
from training.home import Clause, Combination, Home
from training.intents import Intents
from training.sayings import Sayings
from training.spoken import Said, days, duration, time_of_day
from training.style import contracted, misheard, misspelt, polite
from training.unknown import Unknown

SEED = 20261130
# Relative frequencies of categories, as people use them.
SHARES = {
    "switch": 150,
    "level": 130,
    "step": 100,
    "colour": 50,
    "media": 75,
    "question": 80,
    "toggle": 15,
    "everything": 20,
    "timer": 250,
    "scene": 45,
    "delayed": 90,
    "several": 80,
    "unknown": 480,
}
INTENTS = 0.2  # fraction of training commands that are Home Assistant's sentences
# Training has more commands of the hardest categories; the fraction to be refused stays the same.
TRAINING_SHARES = {**SHARES, "timer": 290, "delayed": 130, "several": 240, "unknown": 560}
HELD_OUT_SHARES = {**SHARES, "unknown": 220}
TYPING_ERRORS = 0.1  # fraction of training commands with one
HELD_OUT_TYPING_ERRORS = 50  # held-out commands with one, a category of its own
JOINTS = (
    " and ",
    " and ",
    " and then ",
    ", ",
    " then ",
    " and also ",
    ", and ",
    " plus ",
    " and please ",
    ", then ",
)


class Command(NamedTuple):
    """A command and its action line, both with symbols in place of names; its combinations; and
    both as people write them, empty if a device has a name of its own."""

    text: str
    action: str
    category: str
    keys: frozenset[Combination]
    raw_text: str = ""
    raw_action: str = ""


class Grammar:
    """Draws commands of one side of the split, the same ones for the same seed."""

    def __init__(self, seed: int, held_out: bool = False) -> None:
        self.random = random = Random(seed)
        self.held_out = held_out
        self.home, self.sayings = Home(random, held_out), Sayings(random, held_out)
        self.unknown = Unknown(random, held_out, self.home)
        self.intents = Intents(random, self.unknown.filler.place)

    def commands(self) -> Iterator[Command]:
        """Yields training commands, without end."""
        categories, shares = tuple(TRAINING_SHARES), tuple(TRAINING_SHARES.values())
        while True:
            if self.random.random() < INTENTS:
                yield self._finished(self.intents.clause(), "intent")
                continue
            (category,) = self.random.choices(categories, shares)
            yield self.command(category, self.random.random() < TYPING_ERRORS)

    def command(self, category: str, error: bool = False) -> Command:
        """Returns a command of `category`, one of SHARES, perhaps with a typing error."""
        while True:
            try:
                return self._finished(self._clause(category), category, error)
            except ValueError:  # more names than there are symbols
                continue

    def _finished(self, clause: Clause, category: str, error: bool = False) -> Command:
        """Returns a command made from a clause, as somebody would say it."""
        random = self.random
        urgent = category not in ("delayed", "timer", "unknown", "several")
        text = contracted(random, polite(random, clause.text, clause.imperative, urgent))
        if not self.held_out:
            text = misheard(random, text)
        text = misspelt(random, text) if error else text
        text = text.strip(" ,").replace(" ,", ",")
        marked, action = marks.mark(text, clause.action)
        at_home = marks.is_at_home(text, clause.action)
        raw = marks.name(random, text, clause.action) if at_home else ("", "")
        return Command(marked, action, category, clause.keys, *raw)

    def _clause(self, category: str) -> Clause:
        if category in self.home.categories:
            return self.home.clause(category)
        return {
            "several": self._several,
            "delayed": self._delayed,
            "timer": self.sayings.timer,
            "scene": self.sayings.scene,
            "everything": self.sayings.everything,
            "unknown": self.unknown.clause,
        }[category]()

    def _several(self) -> Clause:
        """Returns a command with two or three actions."""
        random = self.random
        on_two, of_two = (0.4, 0.92) if self.held_out else (0.25, 0.65)
        kind = random.random()
        if kind < on_two:
            return self.home.clause_on_two()
        clauses = [self._joinable() for _ in range(3 if kind > of_two else 2)]
        text = clauses[0].text
        for clause in clauses[1:]:
            text += random.choice(JOINTS) + clause.text
        keys = frozenset().union(*(clause.keys for clause in clauses))
        return Clause(text, "; ".join(clause.action for clause in clauses), "several", keys)

    def _joinable(self) -> Clause:
        """Returns a clause that can follow another one in the same command."""
        while True:
            if self.random.random() < 0.12:
                clause = (
                    self.sayings.timer()
                    if self.random.random() < 0.7
                    else self.sayings.everything()
                )
                if clause.imperative and "; " not in clause.action:
                    return clause
                continue
            category = self.random.choice(("switch", "switch", "level", "step", "colour", "media"))
            return self.home.clause(category, statement=False)

    def _delayed(self) -> Clause:
        """Returns a clause that is to take effect later, or for a while."""
        random = self.random
        if random.random() < 0.06:
            clause = self.sayings.everything()
        else:
            category = random.choice(
                ("switch", "switch", "switch", "switch", "level", "colour", "media")
            )
            clause = self.home.clause(category, statement=random.random() < 0.2)
        kind, when_days = random.random(), Said("", "")
        lasting = clause.action.split()[1].split("=")[0] in LASTING
        with_days, first = (0.25, 0.25) if self.held_out else (0.4, 0.35)
        if lasting and kind < 0.3:
            word, said = "for", duration(random)
        elif kind < 0.65:
            word, said = "in", duration(random)
        else:
            word, said = "at", time_of_day(random)
            when_days = days(random) if random.random() < with_days else when_days
        before_word = (
            random.choice(("at", "at", "by"))
            if word == "at"
            else random.choice(("in", "in", "after"))
            if word == "in"
            else word
        )
        when = (
            f"{before_word} {said.text} {when_days.text}"
            if random.random() < 0.7
            else f"{when_days.text} {before_word} {said.text}"
        )
        when = " ".join(when.split()).removeprefix("for on ")
        before = word != "for" and random.random() < first
        text = f"{when} {clause.text}" if before else f"{clause.text} {when}"
        action = f"{clause.action} {word}={said.value}{when_days.value}"
        return Clause(text, action, "delayed", clause.keys, clause.imperative and not before)


def held_out_commands(count: int = 2000) -> list[Command]:
    """Returns the commands for the evaluation of the model: their combinations are in no training
    command."""
    grammar = Grammar(SEED + 1, held_out=True)
    found: dict[str, Command] = {}
    shares = {**HELD_OUT_SHARES, "typo": HELD_OUT_TYPING_ERRORS}
    whole = sum(shares.values())
    wanted = {category: count * share // whole for category, share in shares.items()}
    wanted["switch"] += count - sum(wanted.values())
    for category, number in wanted.items():
        enough = len(found) + number
        while len(found) < enough:
            command = _held_out(grammar, category)
            if command.raw_text and _is_possible(command.raw_action) and _is_seen_so(command):
                found.setdefault(command.raw_text, command)
    return list(found.values())


def _is_possible(action: str) -> bool:
    """Returns whether the shipped home can do what an action line says."""
    try:
        default_home().resolve(parse_line(action))
    except NotInHome:
        return False
    return True


def _is_seen_so(command: Command) -> bool:
    """Returns whether the host puts symbols at the same places as the grammar: a text to be
    refused may, by chance, name a room of the shipped home, and then it is to be done."""
    return mark_names(command.raw_text, default_home()).text == command.text


def _unlocks(command: Command) -> bool:
    actions = parse_line(command.raw_action) if command.raw_action else ()
    return any((one.device, one.verb) in DANGEROUS for one in actions)


def _held_out(grammar: Grammar, category: str) -> Command:
    """Returns a command of `category`; one with a typing error is of any category that names a
    device."""
    if category != "typo":
        return grammar.command(category)
    kind = grammar.random.choice(grammar.home.categories)
    command = grammar.command(kind, error=True)._replace(category=category)
    # The host unlocks nothing by words that it does not know (host/home/caution.py).
    return command if not _unlocks(command) else _held_out(grammar, category)


def main() -> None:
    """Prints a few commands of each category."""
    grammar = Grammar(SEED)
    for category in SHARES:
        print(f"# {category}")
        for command in (grammar.command(category) for _ in range(8)):
            print(f"{command.text:<75} {command.action}")
    for command, _ in zip(grammar.commands(), range(8), strict=False):
        print(command.text, "->", command.action)


if __name__ == "__main__":
    main()
