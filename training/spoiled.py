"""Commands that a home cannot carry out: right ones spoiled by one change. The place or the device
is one that the home lacks, the device cannot do the action, or words reverse the meaning, as "do
not" and "if it rains".

Nothing else distinguishes them from right commands, so that nothing else can be learnt. A place of
the home is marked; one that it lacks is a word like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from training.filler import Filler
from training.home import HERE, PLACES, Clause, Home, chosen
from training.movers import LOCK
from training.vocabulary import DEVICES, lines, words

_PLACE = re.compile(r"@[a-z_]+(?!\w)")
_NOUN = (
    r"\b(?:the|my|this) (?=light|lamp|fan|door|tv|speaker|radio|plug|vacuum|blind|curtain|heater"
    r"|thermostat|stereo|socket|outlet)"
)
# Words that make another place of the one before them, as "kitchen counter".
_PARTS = (
    "table", "desk", "counter", "island", "sink", "closet", "stairs", "shelf", "window", "mirror",
    "corner", "cabinet", "pantry", "oven", "entrance", "wall", "bed", "hood", "bar", "house",
    "roof", "pool",
)  # fmt: skip
_OTHER_FORMS = (
    "the {n}", "the {n}", "{n}", "my {n}", "the {known} {n}", "the {n} in the {known}",
    "{known} {n}", "all the {n}", "the {n} in here", "every {n}",
)  # fmt: skip
_FORMS = (
    "the {one}", "the {many}", "the @{r} {one}", "the {one} in the @{r}", "@{r} {many}",
    "my {one}", "all the {many}", "the {one} in here", "{many}", "all {many} in the @{r}",
)  # fmt: skip
_OWNERS = (
    "{person}'s", "{person}'s", "the {place}", "the {noun}", "the {word}", "{nonsense}'s",
    "the {nonsense}",
)  # fmt: skip


class Spoiled:
    """Draws texts of one side of the split."""

    def __init__(self, random: Random, home: Home, filler: Filler) -> None:
        self.random, self._home, self._filler = random, home, filler

    def other_place(self) -> str:
        """Returns a command to a place that the home lacks."""
        clause = self._clause(lambda one: bool(_PLACE.search(one.text)) and not _own(one))
        return _PLACE.sub(self._filler.place(), clause.text)

    def other_device(self) -> str:
        """Returns a command to a device that the home lacks."""
        kind = self.random.random()
        slot = "light_name" if kind < 0.35 else "thing" if kind < 0.88 else "nonsense"
        form = self.random.choice(_OTHER_FORMS).replace("{n}", f"{{{slot}}}")
        pattern = self.random.choice(lines("other_device"))
        return self._filler.fill(pattern.replace("{x}", form))

    def owned_device(self) -> str:
        """Returns a command to a device that the name before it makes another one."""
        clause = self._clause(
            lambda one: f".{HERE} " in one.action and bool(re.search(_NOUN, one.text))
        )
        owner = self._filler.fill(self.random.choice(_OWNERS))
        return re.sub(_NOUN, f"{owner} ", clause.text, count=1)

    def beside_place(self) -> str:
        """Returns a command to a place that the word beside it makes another one."""
        clause = self._clause(lambda one: bool(_PLACE.search(one.text)) and not _own(one))
        if self.random.random() < 0.35:
            part = self.random.choice((*_PARTS, self._filler.word("nonsense")))
            return _PLACE.sub(lambda found: f"{found[0]} {part}", clause.text, count=1)
        slot = "{word}" if self.random.random() < 0.6 else "{person}'s"
        word = self._filler.fill(slot)
        return _PLACE.sub(lambda found: f"{word} {found[0]}", clause.text, count=1)

    def turned(self) -> str:
        """Returns a command with words that reverse its meaning."""
        text = self._clause(lambda one: one.imperative, statement=False).text
        if self.random.random() < 0.72:
            before, after = self.random.choice(lines("around")).split("{0}")
            return f"{self._filler.fill(before)} {text} {self._filler.fill(after)}"
        condition = self._filler.fill(self.random.choice(lines("conditions")))
        return f"{condition} {text}" if self.random.random() < 0.4 else f"{text} {condition}"

    def all_but_one(self) -> str:
        """Returns a command with an exception."""
        return self._filler.fill(self.random.choice(lines("exceptions")))

    def unsupported(self) -> str:
        """Returns a command that the device cannot do."""
        random = self.random
        pattern, kinds = random.choice(lines("unsupported")).split(": ")
        nouns = DEVICES[random.choice(kinds.split(", "))]
        target = random.choice(_FORMS).format(
            one=random.choice(nouns.singular),
            many=random.choice(nouns.plural),
            r=random.choice(PLACES),
        )
        return self._filler.fill(pattern.replace("{target}", target))

    def strange_verb(self) -> str:
        """Returns a command that no device can do."""
        return self._filler.fill(self.random.choice(lines("strange_verbs")))

    def other_door(self) -> str:
        """Returns a command to lock or unlock a door that the home lacks."""
        random = self.random
        action = random.choice((LOCK[0], LOCK[1], LOCK[1]))
        pattern = chosen(random, random.choice(action.patterns))
        pattern = "unlock {target}" if "{r}" in pattern else pattern
        place = self._filler.place()
        target = self._filler.fill(random.choice(lines("spoiled_doors")))
        return (
            pattern.replace("{target}", target)
            .replace("{where}", f"in the {place}")
            .replace("{place}", f"the {place}")
        )

    def mixed(self, for_others: str) -> str:
        """Returns a possible command together with an impossible one."""
        text = self._clause(lambda one: one.imperative, statement=False).text
        draws = (self.other_place, self.other_device, self.unsupported, lambda: for_others)
        parts = [text, self.random.choice(draws)()]
        if self.random.random() < 0.3:
            parts.reverse()
        return self.random.choice((" and ", " and then ", ", ", " and also ")).join(parts)

    def salad(self) -> str:
        """Returns words in any order."""
        random = self.random
        slots = ("noun", "adj", "verb", "person", "thing", "city", "food", "topic", "place")
        drawn = []
        for _ in range(random.randint(2, 9)):
            kind = random.random()
            if kind < 0.4:
                drawn.append(random.choice(words("small_words")))
            else:
                drawn.append(self._filler.word("nonsense" if kind < 0.5 else random.choice(slots)))
        return " ".join(drawn)

    def _clause(self, wanted: Callable[[Clause], bool], statement: bool = True) -> Clause:
        """Returns a clause to a matching device; half of them switch it."""
        categories = self._home.categories
        while True:
            switches = self.random.random() < 0.35
            category = "switch" if switches else self.random.choice(categories)
            clause = self._home.clause(category, statement)
            if wanted(clause):
                return clause


def _own(clause: Clause) -> bool:
    """Returns whether a device has a name of its own."""
    return re.search(r"@[a-z_]+\d", clause.text) is not None
