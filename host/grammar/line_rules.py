"""Makes the automaton of action lines, for the names that a line may have.

It accepts the lines that `parse_line` accepts, but only with these names.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from host.grammar.action_lines import ALARM, MOST_ACTIONS, TIMER, UNKNOWN
from host.grammar.automaton import Automaton, Rule, one_of, optional
from host.grammar.devices import (
    ALL,
    DAYS,
    DEVICES,
    EVERYTHING,
    HERE,
    LASTING,
    ONCE,
    REPEATED,
    SCENES,
    SWITCHED_TOGETHER,
    TIMERS,
    Doing,
)


@dataclass(frozen=True)
class LineNames:
    """The names that a line may have. places: of rooms and floors; devices: kind and name of each
    device with a name, sorted, because automata are cached by them."""

    places: tuple[str, ...] = ()
    devices: tuple[tuple[str, str], ...] = ()


def _days(key: str, words: tuple[str, ...]) -> Rule:
    """Returns the rule for days, as " day=tomorrow" or " every=mon+fri": one of these words, or
    days of a week in order."""
    later: list[Rule] = []
    for day in reversed(DAYS):
        later.insert(0, Rule(((day,), *((day, "+", each) for each in later))))
    single = tuple((word,) for word in words if word not in DAYS)
    return Rule(((f" {key}=", Rule((*single, *((each,) for each in later)))),))


_DIGIT, _FIRST = one_of(range(10)), one_of(range(1, 10))
_TIME = Rule(
    (
        (one_of("01"), _DIGIT, ":", one_of(range(6)), _DIGIT),
        ("2", one_of(range(4)), ":", one_of(range(6)), _DIGIT),
    )
)
_HOURS = Rule(((_FIRST, optional(_DIGIT), "h"),))
_MINUTES, _SECONDS = (
    Rule(((_FIRST, optional(_DIGIT, optional(_DIGIT)), unit),)) for unit in "ms"
)
_DURATION = Rule(
    (
        (_HOURS, optional(_MINUTES), optional(_SECONDS)),
        (_MINUTES, optional(_SECONDS)),
        (_SECONDS,),
    )
)
_ANY_DAYS = optional(Rule(((_days("day", ONCE),), (_days("every", REPEATED),))))
_AT = (" at=", _TIME, _ANY_DAYS)
_WHEN = Rule(((" in=", _DURATION), _AT, ()))
_WHEN_LASTING = Rule(((" in=", _DURATION), (" for=", _DURATION), _AT, ()))

_TIMER = Rule(
    (
        *((f"{verb}=", _DURATION) for verb in ("start", "add", "remove")),
        *((verb,) for verb in ("cancel", "pause", "resume", "remaining?")),
    )
)
_ALL_TIMERS = one_of(("cancel", "pause", "resume"))
_ALARM = Rule(
    (
        ("at=", _TIME, _ANY_DAYS),
        ("at?", _ANY_DAYS),
        ("cancel", optional(" at=", _TIME), _ANY_DAYS),
        ("stop",),
        ("snooze", optional("=", _DURATION)),
    )
)
_NAMELESS = (
    *((f"{TIMER}.{name} ", _TIMER) for name in sorted(TIMERS)),
    (f"{TIMER} ", _TIMER),
    (f"{TIMER}.{ALL} ", _ALL_TIMERS),
    (f"{ALARM} ", _ALARM),
    *((f"scene.{name}",) for name in sorted(SCENES)),
)


def _doings(doings: dict[str, Doing]) -> Rule:
    return Rule(tuple(_list_doings(doings)))


def _list_doings(doings: dict[str, Doing]) -> Iterator[tuple[str | Rule, ...]]:
    for verb, doing in doings.items():
        when = _WHEN_LASTING if verb in LASTING else _WHEN
        if doing.stands_alone:
            yield (verb, when)
        if doing.numbers or doing.words:
            yield (f"{verb}=", one_of((*doing.numbers, *doing.words)), when)
        if doing.is_asked:
            yield (f"{verb}?",)


_DOINGS = {
    **{kind: _doings(doings) for kind, doings in DEVICES.items()},
    EVERYTHING: _doings(SWITCHED_TOGETHER),
}


@functools.lru_cache(maxsize=512)
def line_automaton(names: LineNames) -> Automaton:
    """Returns the automaton of lines with these names, `all` and `here`. It is cached, and makes
    its states as they are reached."""
    places = (*names.places, ALL, HERE)
    kinds = Rule(tuple((f"{kind}.", one_of(places), " ", do) for kind, do in _DOINGS.items()))
    named = tuple(
        (f"{kind}.{name} ", _DOINGS[kind]) if kind in _DOINGS else (f"{kind}.{name}",)
        for kind, name in names.devices
    )
    action = Rule(((kinds,), *named, *_NAMELESS))
    further = Rule(((),))
    for _ in range(MOST_ACTIONS - 1):
        further = optional("; ", action, further)
    return Automaton(Rule(((UNKNOWN,), (action, further))))
