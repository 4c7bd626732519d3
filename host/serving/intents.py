"""Action lines as intents of Home Assistant; intents.toml has the table."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from host.errors import FederationError
from host.grammar.action_lines import ALARM, SCENE, TIMER, Action, parse_duration, parse_line
from host.grammar.devices import ALL, HERE

TABLE = Path(__file__).with_name("intents.toml")
_DAY = 86_400
_WHEN_AT = "at"
_LASTS = "for"
_TIMER_INTENTS = {
    "cancel": "HassCancelTimer", "pause": "HassPauseTimer", "resume": "HassUnpauseTimer",
    "add": "HassIncreaseTimer", "remove": "HassDecreaseTimer",
}  # fmt: skip

Slots = dict[str, "str | int"]


class NoIntent(FederationError):
    """An action that Home Assistant has no intent for, or that is not to be done; the message is
    for whoever spoke."""


@dataclass(frozen=True)
class HomeIntent:
    """An intent by Home Assistant's name, with its slots."""

    name: str
    slots: Slots = field(default_factory=dict)


@dataclass(frozen=True)
class _Row:
    """A row of the table; its head says what each is."""

    intent: str
    slots: Slots = field(default_factory=dict)
    value: str = ""
    words: Mapping[str, Any] = field(default_factory=dict)
    say: str = ""
    undo: str = ""
    confirm: bool = False


class IntentTable:
    """Translates action lines."""

    def __init__(
        self,
        rows: Mapping[tuple[str, str], _Row],
        may_unlock: bool = False,
        clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        """may_unlock: whether rows with `confirm` are translated; clock: the local time."""
        self.rows, self._may_unlock, self._clock = rows, may_unlock, clock

    @classmethod
    def load(
        cls, may_unlock: bool = False, clock: Callable[[], datetime] = datetime.now
    ) -> IntentTable:
        """Reads the table that comes with the program."""
        rows = {}
        for device, verbs in tomllib.loads(TABLE.read_text(encoding="utf-8")).items():
            for verb, fields in verbs.items():
                rows[device, verb] = _Row(**fields)
        return cls(rows, may_unlock, clock)

    def translate(self, line: str, area: str = "") -> list[HomeIntent]:
        """Returns the intents of all actions of a line, none for "unknown".

        area: the room that the speaker is in, "" where that is not known. Raises NoIntent where
        one of them has no intent: half of what was said is not to be done; GrammarError.
        """
        return [intent for action in parse_line(line) for intent in self._intents(action, area)]

    def _intents(self, action: Action, area: str) -> list[HomeIntent]:
        if action.device == SCENE:
            return [HomeIntent("HassTurnOn", {"name": action.name, "domain": "scene"})]
        if action.device in (TIMER, ALARM):
            return [self._timer(action)]
        room = _room(action, area)
        now = self._intent(action, room)
        if not action.when:
            return [now]
        if action.days:
            raise NoIntent(f"Home Assistant cannot do {action}")
        seconds = self._seconds(action.when, action.time)
        if action.when != _LASTS:
            return [_start_timer(seconds, conversation_command=self._sentence(action, room))]
        end = replace(action, verb=self._row(action).undo, value="", when="", time="")
        if not end.verb:
            raise NoIntent(f"Home Assistant cannot {action.verb} for some time only")
        return [now, _start_timer(seconds, conversation_command=self._sentence(end, room))]

    def _row(self, action: Action) -> _Row:
        row = self.rows.get((action.device, action.verb + "?" * action.is_question))
        if row is None:
            raise NoIntent(f"Home Assistant has no intent for {action}")
        if row.confirm and not self._may_unlock:
            raise NoIntent(f"{action} is not done by voice here: start the server with --unlock")
        return row

    def _intent(self, action: Action, room: str) -> HomeIntent:
        row = self._row(action)
        name, slots = row.intent, {**({"area": room} if room else {}), **row.slots}
        if not action.value:
            return HomeIntent(name, slots)
        value = row.words.get(action.value, action.value)
        if isinstance(value, Mapping):
            slots.update(value)
            return HomeIntent(str(slots.pop("intent", name)), slots)
        if not row.value or value in ("up", "down", "min", "max"):
            raise NoIntent(f"Home Assistant has no intent for {action}")
        slots[row.value] = int(value) if str(value).isdigit() else str(value)
        return HomeIntent(name, slots)

    def _sentence(self, action: Action, room: str) -> str:
        """What a timer is to say for it later."""
        row = self._row(action)
        if not row.say or not room or (action.value and not action.value.isdigit()):
            raise NoIntent(f"Home Assistant cannot do {action} later")
        return row.say.format(area=room, value=action.value)

    def _timer(self, action: Action) -> HomeIntent:
        """The intent of a timer, or of an alarm, which is a timer of that name."""
        if action.days or action.when or (action.name == ALL and action.verb != "cancel"):
            raise NoIntent(f"Home Assistant has no intent for {action}")
        if action.name == ALL:
            return HomeIntent("HassCancelAllTimers")
        name = ALARM if action.device == ALARM else action.name.replace("_", " ")
        named: Slots = {"name": name} if name else {}
        if action.is_question:
            return HomeIntent("HassTimerStatus", named)
        if action.device == ALARM and action.verb == "at":
            return _start_timer(self._seconds(_WHEN_AT, action.value), **named)
        if action.verb == "start":
            return _start_timer(self._seconds("in", action.value), **named)
        intent = _TIMER_INTENTS.get(action.verb)
        if intent is None:
            raise NoIntent(f"Home Assistant has no intent for {action}")
        lasts = _split_time(self._seconds("in", action.value)) if action.value else {}
        return HomeIntent(intent, {**lasts, **named})

    def _seconds(self, when: str, time: str) -> int:
        """How long to wait: a duration, or until it is that time of day again."""
        if when != _WHEN_AT:
            return parse_duration(time) or 0
        hours, minutes = map(int, time.split(":"))
        now = self._clock()
        passed = 3600 * now.hour + 60 * now.minute + now.second
        return (3600 * hours + 60 * minutes - passed) % _DAY or _DAY


def _room(action: Action, area: str) -> str:
    """The area, "" for the whole house."""
    if action.name == ALL:
        return ""
    if action.name != HERE:
        return action.name.replace("_", " ")
    if not area:
        raise NoIntent("which room? Say its name, or start the server with --area DEVICE=ROOM")
    return area


def _start_timer(seconds: int, **slots: str | int) -> HomeIntent:
    return HomeIntent("HassStartTimer", {**_split_time(seconds), **slots})


def _split_time(seconds: int) -> Slots:
    parts = {"hours": seconds // 3600, "minutes": seconds // 60 % 60, "seconds": seconds % 60}
    return {name: count for name, count in parts.items() if count}
