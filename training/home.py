"""What is said to the devices of the home, and the action lines that answer it.

A clause is made of a combination (room, device, action) and a phrasing (action, pattern, form of
naming the device). Training has neither held-out combinations nor held-out phrasings; held-out
clauses have a held-out combination and, where the pattern names the device, a held-out phrasing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from random import Random

from training.phrases import ACTIONS, SWITCH_OFF, SWITCH_ON, Action
from training.split import is_held_out
from training.vocabulary import ALL, DEVICES, HERE, ROOMS

Combination = tuple[str, ...]

# Ways to name a device: {room} a room's name, {one} and {many} the device's names.
NAMED = (
    "the {room} {one}", "the {room} {many}", "the {one} in the {room}", "the {many} in the {room}",
    "{room} {one}", "{room} {many}", "my {room} {one}", "the {one} of the {room}",
)  # fmt: skip
EVERY = (
    "all the {many}", "all {many}", "every {one}", "the {many} everywhere",
    "all the {many} in the house", "all of the {many}", "the {many} in every room",
    "the {many} in all rooms",
)  # fmt: skip
NEAR = (
    "the {one}", "the {many}", "the {one} in here", "the {many} in here", "this {one}",
    "my {one}", "the {one} in this room", "the {one} here",
)  # fmt: skip
TWO_ROOMS = (
    "the {room} and {other} {many}", "the {many} in the {room} and the {other}",
    "the {room} and the {other} {many}", "the {many} in the {room} and {other}",
)  # fmt: skip
TWO_DEVICES = (
    "the {one} and the {second} in the {room}", "the {room} {one} and {second}",
    "the {one} and {second} in the {room}", "the {room} {one} and the {second}",
)  # fmt: skip
TWO_DEVICES_NEAR = ("the {one} and the {second}", "the {one} and {second}", "{one} and {second}")

_CHOICE = re.compile(r"\(([^()]*)\)")
# First words of patterns that do not go on from "could you".
_STATEMENTS = frozenset((
    "i", "it", "the", "is", "are", "did", "what", "how", "has", "have", "less", "no", "next",
    "brightness", "volume", "channel",
))  # fmt: skip


@dataclass(frozen=True)
class Clause:
    """Something asked for: `action` answers `text`; `keys` are the combinations it is made of."""

    text: str
    action: str
    category: str
    keys: frozenset[Combination]
    imperative: bool = True  # goes on from "could you"


def chosen(random: Random, pattern: str) -> str:
    """`pattern` with one alternative of each choice in parentheses."""
    return _CHOICE.sub(lambda found: random.choice(found[1].split("|")), pattern)


def is_imperative(text: str) -> bool:
    """Whether `text` goes on from "could you"."""
    return not text.startswith("{") and text.split()[0].strip("(").split("|")[0] not in _STATEMENTS


def combination(room: str, action: Action) -> Combination:
    """The key of a room, a device and an action."""
    return ("combination", room, action.device, action.answer)


def phrasing(action: Action, pattern: str, form: str) -> Combination:
    """The key of a way to ask for an action."""
    return ("phrasing", action.device, action.answer, pattern, form)


class Home:
    """Draws clauses of one side of the split."""

    def __init__(self, random: Random, held_out: bool) -> None:
        self.random, self.held_out = random, held_out
        rooms = (*ROOMS, ALL, HERE)
        self._rooms = {
            action: tuple(r for r in rooms if is_held_out(*combination(r, action)) == held_out)
            for action in ACTIONS
        }
        self._by_category: dict[str, list[Action]] = defaultdict(list)
        for action in ACTIONS:
            if self._rooms[action]:
                self._by_category[action.category].append(action)
        self.categories = tuple(self._by_category)

    def clause(self, category: str, statement: bool = True) -> Clause:
        """A clause of `category`, one that follows from "could you" unless `statement`."""
        random = self.random
        while True:
            action = random.choice(self._by_category[category])
            pattern = random.choice(action.patterns)
            if not statement and not is_imperative(pattern):
                continue
            room = self._room(action)
            if "{target}" not in pattern:
                phrase, keys = self._place(pattern, room), [combination(room, action)]
            else:
                form = random.choice({ALL: EVERY, HERE: NEAR}.get(room, NAMED))
                keys = [combination(room, action), phrasing(action, pattern, form)]
                if is_held_out(*keys[1]) != self.held_out:
                    continue
                target = self._named(form, action.device, room)
                phrase = chosen(random, pattern).replace("{target}", target)
            return self._filled(action, phrase, (f"{action.device}.{room}",), keys, pattern)

    def clause_on_two(self) -> Clause:
        """A clause that asks two devices for the same."""
        return self._two_rooms() if self.random.random() < 0.6 else self._two_devices()

    def _two_rooms(self) -> Clause:
        """As in "dim the kitchen and bedroom lights"."""
        random = self.random
        while True:
            action = random.choice(ACTIONS)
            rooms = [room for room in self._rooms[action] if room in ROOMS]
            patterns = [p for p in action.patterns if "{target}" in p and is_imperative(p)]
            if action.category == "question" or len(rooms) < 2 or not patterns:
                continue
            first, second = random.sample(rooms, 2)
            pattern = random.choice(patterns)
            target = self._named(random.choice(TWO_ROOMS), action.device, first, other=second)
            phrase = chosen(random, pattern).replace("{target}", target)
            devices = tuple(f"{action.device}.{room}" for room in (first, second))
            keys = [combination(room, action) for room in (first, second)]
            return self._filled(action, phrase, devices, keys, pattern)

    def _two_devices(self) -> Clause:
        """As in "turn off the tv and the fan in the kitchen"."""
        random = self.random
        while True:
            answer, patterns = random.choice((("on", SWITCH_ON), ("off", SWITCH_OFF)))
            pattern = random.choice(patterns)
            first, second = random.sample([a for a in ACTIONS if a.answer == answer], 2)
            rooms = [r for r in self._rooms[first] if r in self._rooms[second] and r != ALL]
            if not rooms or not is_imperative(pattern):
                continue
            room = HERE if HERE in rooms and random.random() < 0.2 else random.choice(rooms)
            other = random.choice(DEVICES[second.device].singular)
            form = random.choice(TWO_DEVICES_NEAR if room == HERE else TWO_DEVICES)
            target = self._named(form, first.device, room, second=other)
            phrase = chosen(random, pattern).replace("{target}", target)
            devices = (f"{first.device}.{room}", f"{second.device}.{room}")
            keys = [combination(room, action) for action in (first, second)]
            return self._filled(first, phrase, devices, keys, pattern)

    def _room(self, action: Action) -> str:
        """A room, the one that the speaker is in being asked for more often."""
        rooms = self._rooms[action]
        return HERE if HERE in rooms and self.random.random() < 0.1 else self.random.choice(rooms)

    def _named(self, form: str, device: str, room: str, **names: str) -> str:
        """`form` with the names of a device and its room."""
        random, nouns = self.random, DEVICES[device]
        if "other" in names:
            names["other"] = random.choice(ROOMS[names["other"]])
        return form.format(
            one=random.choice(nouns.singular),
            many=random.choice(nouns.plural),
            room=random.choice(ROOMS.get(room, ("",))),
            **names,
        )

    def _place(self, pattern: str, room: str) -> str:
        """A pattern that names the room alone."""
        random = self.random
        name = random.choice(ROOMS.get(room, ("",)))
        where = {
            ALL: ("everywhere", "in the whole house", "in every room"),
            HERE: ("in here", "here", "in this room"),
        }.get(room, (f"in the {name}", f"in the {name}", f"in my {name}"))
        floor = {ALL: ("the whole house", "every room"), HERE: ("this room", "the floor")}.get(
            room, (f"the {name}", f"the {name} floor")
        )
        phrase = chosen(random, pattern).replace("{where}", random.choice(where))
        return phrase.replace("{floor}", random.choice(floor))

    def _filled(
        self,
        action: Action,
        phrase: str,
        devices: tuple[str, ...],
        keys: list[Combination],
        pattern: str,
    ) -> Clause:
        """The clause, its value drawn."""
        answer = action.answer
        if action.value:
            said = action.value(self.random)
            phrase = phrase.replace("{value}", said.text)
            answer = answer.replace("{value}", said.value)
        line = "; ".join(f"{device} {answer}" for device in devices)
        return Clause(phrase, line, action.category, frozenset(keys), is_imperative(pattern))
