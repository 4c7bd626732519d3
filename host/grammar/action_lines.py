"""Parses and prints action lines, the answers of the home model (docs/action-lines.md).

    line     = "unknown" | action *("; " action)
    action   = device "." name " " doing [" " when]
             | "everything." place " " ("on" | "off") [" " when]
             | "scene." name
             | "timer" ["." name] " " ("start=" duration | "add=" duration | "remove=" duration
                                      | "cancel" | "pause" | "resume" | "remaining?")
             | "alarm " ("at=" time [" " days] | "cancel" [" at=" time] [" " days]
                        | "at?" [" " days] | "stop" | "snooze" ["=" duration])
    doing    = verb | verb "=" value | verb "?"
    when     = "in=" duration | "for=" duration | "at=" time [" " days]
    days     = "day=" day *("+" day) | "every=" day *("+" day)

`devices.py` lists devices, verbs and values. A name is the id of a room, a floor or a device of a
home, or a symbol, which stands for a name in the command.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from host.grammar.devices import (
    ALL,
    DAYS,
    DEVICES,
    EVERYTHING,
    LASTING,
    ONCE,
    REPEATED,
    SWITCHED_TOGETHER,
    TIMERS,
    Doing,
)

VERSION = 2
UNKNOWN = "unknown"  # what the home cannot do
MOST_ACTIONS = 3  # in one line
SCENE, TIMER, ALARM = "scene", "timer", "alarm"

_DURATION = re.compile(r"(?:([1-9]\d?)h)?(?:([1-9]\d{0,2})m)?(?:([1-9]\d{0,2})s)?")
_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")
_ACTION = re.compile(
    r"(?P<device>[a-z]+)(?:\.(?P<name>[a-z][a-z0-9_]*|[A-Z]))?"
    r"(?: (?P<verb>[a-z]+)(?:=(?P<value>[a-z0-9_:]+)|(?P<question>\?))?)?"
    r"(?: (?P<when>in|for|at)=(?P<time>[0-9a-z:]+))?"
    r"(?: (?P<days>(?:day|every)=[a-z+]+))?"
)


class GrammarError(ValueError):
    """A text is not an action line; the message says why, in one line."""


@dataclass(frozen=True)
class Action:
    """One action of a line.

    device: as "light"; name: of its room, its floor or itself, or of a timer or scene, empty for
    none; verb: as "on" or "brightness", empty for a scene's; value: as "30", "up" or "warm_white",
    empty for none; is_question: whether the verb's value is asked for; when: "in", "for" or "at",
    with the duration or time of day that `time` is, both empty for at once; days: as
    "day=tomorrow" or "every=mon+fri", empty for the next time.
    """

    device: str
    name: str = ""
    verb: str = ""
    value: str = ""
    is_question: bool = False
    when: str = ""
    time: str = ""
    days: str = ""

    @property
    def asked(self) -> str:
        """The verb, with a question mark if its value is asked for."""
        return self.verb + "?" * self.is_question

    def __str__(self) -> str:
        text = f"{self.device}.{self.name}" if self.name else self.device
        if self.verb:
            text += f" {self.verb}"
        if self.value:
            text += f"={self.value}"
        if self.is_question:
            text += "?"
        if self.when:
            text += f" {self.when}={self.time}"
        return f"{text} {self.days}" if self.days else text


def format_line(actions: Sequence[Action]) -> str:
    """Returns the line of these actions, "unknown" for none: the inverse of `parse_line`."""
    return "; ".join(map(str, actions)) or UNKNOWN


def parse_line(line: str) -> tuple[Action, ...]:
    """Returns the actions of a line, none for "unknown"; names may be of any home. Raises
    GrammarError."""
    if line == UNKNOWN:
        return ()
    parts = line.split("; ")
    if len(parts) > MOST_ACTIONS:
        raise GrammarError(f"{len(parts)} actions, at most {MOST_ACTIONS} are possible")
    return tuple(map(parse_action, parts))


def parse_action(text: str) -> Action:
    """Returns one action. Raises GrammarError if it is not an action of any home."""
    found = _ACTION.fullmatch(text)
    if found is None:
        raise GrammarError(f"{_brief(text)} is not an action")
    fields = {name: value or "" for name, value in found.groupdict().items()}
    action = Action(is_question=bool(fields.pop("question")), **fields)
    reason = _check_device(action) or _check_when(action) or _check_days(action)
    if reason:
        raise GrammarError(f"{_brief(text)}: {reason}")
    return action


def parse_duration(text: str) -> int | None:
    """Returns the seconds of a duration such as 90s, 20m or 1h30m; None for another text."""
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        return None
    hours, minutes, seconds = (int(number or 0) for number in found.groups())
    return 3600 * hours + 60 * minutes + seconds


def _check_device(action: Action) -> str:
    """Returns what is wrong with device, name, verb and value, "" for nothing."""
    match action.device:
        case "scene":
            if not action.name:
                return "no scene"
            return f"a scene has no {action.verb}" if action.verb or action.when else ""
        case "timer":
            return _check_timer(action)
        case "alarm":
            return _check_alarm(action)
    doings = SWITCHED_TOGETHER if action.device == EVERYTHING else DEVICES.get(action.device)
    if doings is None:
        return f"no device {action.device}"
    return _check_doing(action, doings) if action.name else "no room"


def _check_timer(action: Action) -> str:
    is_all = action.name == ALL and action.asked in ("cancel", "pause", "resume")
    if action.name and action.name not in TIMERS and not is_all:
        return f"no timer {action.name}"
    if action.verb in ("start", "add", "remove") and not action.is_question:
        return "" if parse_duration(action.value) else "no duration"
    return _check_bare(action, {"cancel", "pause", "resume", "remaining?"})


def _check_alarm(action: Action) -> str:
    if action.name:
        return "an alarm has no name"
    if action.verb == "at" and not action.is_question:
        return "" if _TIME.fullmatch(action.value) else "no time of day"
    if action.verb == "snooze" and action.value:
        return "" if parse_duration(action.value) else "no duration"
    return _check_bare(action, {"at?", "cancel", "stop", "snooze"})


def _check_bare(action: Action, known: set[str]) -> str:
    """Returns what is wrong with a verb that takes no value, "" for nothing."""
    if action.asked not in known or action.value:
        verb = action.asked or "verb"
        return f"{action.device} has no {verb}{'=' * bool(action.value)}{action.value}"
    return ""


def _check_doing(action: Action, doings: dict[str, Doing]) -> str:
    doing = doings.get(action.verb)
    if doing is None:
        return f"{action.device} has no {action.verb or 'verb'}"
    if action.is_question:
        return "" if doing.is_asked else f"{action.verb} cannot be asked for"
    if action.value:
        return "" if doing.takes(action.value) else f"{action.verb} cannot be {action.value}"
    return "" if doing.stands_alone else f"{action.verb} needs a value"


def _check_when(action: Action) -> str:
    if not action.when:
        return ""
    cancels_alarm = action.device == ALARM and (action.verb, action.when) == ("cancel", "at")
    is_device = action.device in DEVICES or action.device == EVERYTHING
    if action.is_question or not (is_device or cancels_alarm):
        return f"no {action.when}= is possible here"
    if action.when == "for" and action.verb not in LASTING:
        return f"{action.verb} does not last"
    if action.when == "at":
        return "" if _TIME.fullmatch(action.time) else f"{action.time} is not a time of day"
    return "" if parse_duration(action.time) else f"{action.time} is not a duration"


def _check_days(action: Action) -> str:
    if not action.days:
        return ""
    of_alarm = action.device == ALARM and action.verb in ("at", "cancel")  # or at?
    if not of_alarm and action.when != "at":
        return f"{action.days} needs a time of day"
    key, _, text = action.days.partition("=")
    known: Sequence[str] = ONCE if key == "day" else REPEATED
    days = text.split("+")
    if len(days) > 1:  # of a week, in its order
        known = DAYS
    order = [known.index(each) for each in days if each in known]
    if len(order) < len(days) or order != sorted(set(order)):
        return f"{action.days} is not a valid day"
    return ""


def _brief(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
