"""Commands to the devices of a home, and the action lines that answer them.

In texts and lines a place of the home is written as @kitchen, a device with a name of its own as
@light1: `marks.py` replaces them by symbols or names.

A clause is made of phrasings: the action, the pattern, and the way to name the device or place.
Training has no held-out phrasing; held-out clauses have no other.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from random import Random

from training.actions import SWITCH_OFF, SWITCH_ON, Action
from training.home_patterns import (
    EVERY,
    NAMED,
    NEAR,
    OWN,
    PLACE,
    PLACE_NAMED,
    TWO_DEVICES,
    TWO_DEVICES_NEAR,
    TWO_ROOMS,
    WHERE,
    WHERE_NAMED,
)
from training.phrases import ACTIONS
from training.split import is_held_out
from training.vocabulary import ALL, DEVICES, HERE, ROOMS

Combination = tuple[str, ...]

PLACES = (*ROOMS,)
OWN_DEVICES = tuple(f"{device}{number}" for device in DEVICES for number in (1, 2, 3))

_CHOICE = re.compile(r"\(([^()]*)\)")
_SLOT = re.compile("{target}|{where}|{place}|{r}")
_ASKS_ALL = re.compile(
    r"\(?(any|which|how many|are all|are any|are there any|is \(a|are\|is\) \(any)"
)
# First words of patterns that cannot follow "could you".
_STATEMENTS = frozenset((
    "i", "it", "the", "is", "are", "did", "what", "how", "has", "have", "less", "no", "next",
    "what's", "this", "you", "(it",
    "brightness", "volume", "channel", "lights", "heat", "any", "which", "status", "there", "time",
    "let", "more", "not", "louder",
    "quieter", "previous", "sound", "music", "temperature", "current", "some", "another", "dimmer",
    "brighter", "a", "on",
    "be", "quiet", "last", "softer", "that", "who", "we", "was", "been", "state",
))  # fmt: skip


@dataclass(frozen=True)
class Clause:
    """A part of a command: `action` answers `text`; `keys` are the combinations in it."""

    text: str
    action: str
    category: str
    keys: frozenset[Combination]
    imperative: bool = True  # can follow "could you"


def chosen(random: Random, pattern: str) -> str:
    """Returns `pattern` with one alternative of each choice in parentheses."""
    while "(" in pattern:
        pattern = _CHOICE.sub(lambda found: random.choice(found[1].split("|")), pattern)
    return " ".join(pattern.split())


def is_imperative(text: str) -> bool:
    """Returns whether `text` can follow "could you"."""
    return not text.startswith("{") and text.split()[0].strip("(").split("|")[0] not in _STATEMENTS


def phrasing(action: Action, pattern: str, form: str) -> Combination:
    """Returns the key of a way to ask for an action."""
    return ("phrasing", action.device, action.answer, pattern, form)


class Home:
    """Draws clauses of one side of the split."""

    def __init__(self, random: Random, held_out: bool) -> None:
        self.random, self.held_out = random, held_out
        self._by_category: dict[str, list[Action]] = defaultdict(list)
        for action in ACTIONS:
            often = 5 if "play=" in action.answer else 2 if action.device == "plug" else 1
            self._by_category[action.category] += [action] * often
        self.categories = tuple(self._by_category)

    def clause(self, category: str, statement: bool = True) -> Clause:
        """Returns a clause of `category`, one that can follow "could you" unless `statement`."""
        random = self.random
        while True:
            action = random.choice(self._by_category[category])
            pattern = random.choice(action.patterns)
            if not statement and not is_imperative(pattern):
                continue
            clause = self.say(action, pattern)
            if clause:
                return clause

    def say(self, action: Action, pattern: str, scope: str = "") -> Clause | None:
        """Returns a clause of an action by a pattern; None if the two do not go together, or
        belong to the other side of the split. scope: a room, ALL, HERE or a device's own name; ""
        for any."""
        random = self.random
        scope = scope or self._scope(action.device, pattern)
        if not _SLOT.search(pattern):
            scope = HERE
        if scope == ALL and ("{r}" in pattern or action.device in ("gate", "security")):
            return None
        form = self._form(pattern, scope)
        if scope == HERE and not form and _ASKS_ALL.match(pattern):
            scope = ALL
        key = phrasing(action, pattern, form)
        never = scope in (HERE, ALL) and not form  # what has few other words
        if (not never and is_held_out(*key) != self.held_out) or (never and self.held_out):
            return None
        text, name = self._filled(action.device, pattern, form, scope)
        answer = action.answer
        if action.value:
            said = action.value(random)
            text = text.replace("{value}", said.text)
            answer = answer.replace("{value}", said.value)
        keys = frozenset(() if never else (key,))
        return Clause(
            " ".join(text.split()), f"{action.device}.{name} {answer}", action.category, keys,
            is_imperative(pattern)
        )  # fmt: skip

    def _scope(self, device: str, pattern: str) -> str:
        kind = self.random.random()
        if kind < 0.1 and "{target}" in pattern:
            return f"{device}{self.random.randint(1, 2)}"
        if kind < 0.46:
            return HERE
        return ALL if kind < 0.57 else self.random.choice(PLACES)

    def _form(self, pattern: str, scope: str) -> str:
        """Returns how the device or the place is named, as it is held out or not."""
        random = self.random
        if "{target}" in pattern:
            forms = {ALL: EVERY, HERE: NEAR}.get(scope, NAMED if scope in ROOMS else OWN)
            return random.choice(forms)
        if "{where}" in pattern:
            return random.choice(WHERE.get(scope, WHERE_NAMED))
        if "{place}" in pattern:
            return random.choice(PLACE.get(scope, PLACE_NAMED))
        return "" if scope == HERE else "{room} "

    def _filled(self, device: str, pattern: str, form: str, scope: str) -> tuple[str, str]:
        """Returns the text without its value, and the name in the line."""
        random, nouns = self.random, DEVICES[device]
        room, name = f"@{scope}", scope if scope in (ALL, HERE) else f"@{scope}"
        if scope not in ROOMS and scope not in (ALL, HERE):
            room = f"@{random.choice(PLACES)}"
        phrase = chosen(random, form).format(
            one=random.choice(nouns.singular),
            many=random.choice(nouns.plural),
            room=room,
            own=name,
        )
        text = chosen(random, pattern)
        front = ""
        if scope in ROOMS and random.random() < 0.06:
            found = re.fullmatch(r"(.*?)\s*(in (?:the |my |)@\w+)", phrase)
            if found:
                phrase, front = found[1], found[2] + random.choice((" ", " ", ", "))
        for slot in ("{target}", "{where}", "{place}"):
            text = text.replace(slot, phrase)
        return front + text.replace("{r}", f"{room} " if scope in ROOMS else ""), name

    def clause_on_two(self) -> Clause:
        """Returns a clause that asks two devices for the same action."""
        return self._two_rooms() if self.random.random() < 0.6 else self._two_devices()

    def _two_rooms(self) -> Clause:
        """Returns a clause such as "dim the kitchen and bedroom lights"."""
        random = self.random
        while True:
            action = random.choice(ACTIONS)
            pattern, form = random.choice(action.patterns), random.choice(TWO_ROOMS)
            if (
                action.category in ("question", "toggle")
                or "{target}" not in pattern
                or not is_imperative(pattern)
            ):
                continue
            key = phrasing(action, pattern, form)
            if is_held_out(*key) != self.held_out:
                continue
            rooms, nouns = random.sample(PLACES, 2), DEVICES[action.device]
            target = chosen(random, form).format(
                one=random.choice(nouns.singular), many=random.choice(nouns.plural),
                room=f"@{rooms[0]}", other=f"@{rooms[1]}",
            )  # fmt: skip
            text, answer = chosen(random, pattern).replace("{target}", target), action.answer
            if action.value:
                said = action.value(random)
                text, answer = (
                    text.replace("{value}", said.text),
                    answer.replace("{value}", said.value),
                )
            line = "; ".join(f"{action.device}.@{room} {answer}" for room in rooms)
            return Clause(text, line, action.category, frozenset((key,)))

    def _two_devices(self) -> Clause:
        """Returns a clause such as "turn off the tv and the fan in the kitchen"."""
        random = self.random
        while True:
            answer, patterns = random.choice((("on", SWITCH_ON), ("off", SWITCH_OFF)))
            pattern = random.choice(patterns)
            if not is_imperative(pattern):
                continue
            first, second = random.sample(
                [a for a in ACTIONS if a.answer == answer and a.patterns is patterns], 2
            )
            here = random.random() < 0.25
            form = random.choice(TWO_DEVICES_NEAR if here else TWO_DEVICES)
            key = ("phrasing", answer, pattern, form)
            if is_held_out(*key) != self.held_out:
                continue
            room = HERE if here else f"@{random.choice(PLACES)}"
            target = form.format(
                one=random.choice(DEVICES[first.device].singular), room=room,
                second=random.choice(DEVICES[second.device].singular),
            )  # fmt: skip
            text = chosen(random, pattern).replace("{target}", target)
            line = f"{first.device}.{room} {answer}; {second.device}.{room} {answer}"
            return Clause(text, line, "several", frozenset((key,)))
