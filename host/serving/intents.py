"""Translates action lines into intents of Home Assistant, by the table in intents.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from host.grammar.action_lines import ALARM, SCENE, TIMER, Action, parse_duration, parse_line
from host.grammar.devices import ALL
from host.home.home import Home
from host.home.home_file import default_home
from host.serving.targets import (
    NoIntent,
    Slots,
    Target,
    area_name,
    find_targets,
    split_everything,
)

TABLE = Path(__file__).with_name("intents.toml")
_DAY = 86_400
_WHEN_AT = "at"
_LASTS = "for"
_TIMER_INTENTS = {
    "cancel": "HassCancelTimer", "pause": "HassPauseTimer", "resume": "HassUnpauseTimer",
    "add": "HassIncreaseTimer", "remove": "HassDecreaseTimer",
}  # fmt: skip

# Sentences that Home Assistant's own agent understands for a device of this name.
_SAY_OF_DEVICE = {
    "on": "turn on {name}", "off": "turn off {name}", "open": "open {name}",
    "close": "close {name}", "lock": "lock {name}",
}  # fmt: skip


@dataclass(frozen=True)
class HomeIntent:
    """An intent by Home Assistant's name, with its slots."""

    name: str
    slots: Slots = field(default_factory=dict)


@dataclass(frozen=True)
class _Row:
    """A row of the table; the top of intents.toml explains the fields."""

    intent: str
    slots: Slots = field(default_factory=dict)
    value: str = ""
    words: Mapping[str, Any] = field(default_factory=dict)
    say: str = ""
    undo: str = ""
    confirm: bool = False
    named: bool = False


class IntentTable:
    """Translates action lines."""

    def __init__(
        self,
        rows: Mapping[tuple[str, str], _Row],
        may_unlock: bool = False,
        clock: Callable[[], datetime] = datetime.now,
        home: Home | None = None,
    ) -> None:
        """may_unlock: whether rows with `confirm` are translated; clock: returns the local time;
        home: knows what Home Assistant calls rooms and devices, None for the shipped one."""
        self.rows, self._may_unlock, self._clock = rows, may_unlock, clock
        self._home = home or default_home()

    @classmethod
    def load(
        cls,
        may_unlock: bool = False,
        clock: Callable[[], datetime] = datetime.now,
        home: Home | None = None,
    ) -> IntentTable:
        """Reads the table that comes with the program."""
        rows = {}
        for device, verbs in tomllib.loads(TABLE.read_text(encoding="utf-8")).items():
            for verb, fields in verbs.items():
                rows[device, verb] = _Row(**fields)
        return cls(rows, may_unlock, clock, home)

    def translate(self, line: str, area: str = "") -> list[HomeIntent]:
        """Returns the intents of all actions in a line, none for "unknown".

        area: the room that the speaker is in, "" if unknown. Raises NoIntent if one of the actions
        has no intent, since a command must not be done by half; and GrammarError.
        """
        actions = split_everything(self._home, parse_line(line))
        return [intent for action in actions for intent in self._intents(action, area)]

    def area_of(self, satellite: str) -> str:
        """Returns what Home Assistant calls the room of a satellite, or the room with this id; ""
        if the home has neither."""
        room = self._home.area_of(satellite) or satellite
        return area_name(self._home, room) if room in self._home.rooms else ""

    def _intents(self, action: Action, area: str) -> list[HomeIntent]:
        if action.device == SCENE:
            return [HomeIntent("HassTurnOn", self._scene(action))]
        if action.device in (TIMER, ALARM):
            return [self._timer(action)]
        row = self._row(action)
        name, slots = self._say(action, row)
        targets = find_targets(self._home, action, area, name)
        now = [HomeIntent(name, {**each.slots, **_for_target(slots, each)}) for each in targets]
        if row.named and not all(each.is_device for each in targets):
            raise NoIntent(f"Home Assistant has no intent for {action}: name a device")
        if not action.when:
            return now
        if action.days:
            raise NoIntent(f"Home Assistant cannot do {action}")
        seconds = self._seconds(action.when, action.time)
        if action.when != _LASTS:
            return [
                _start_timer(seconds, conversation_command=self._sentence(action, each))
                for each in targets
            ]
        end = replace(action, verb=row.undo, value="", when="", time="")
        if not end.verb:
            raise NoIntent(f"Home Assistant cannot {action.verb} for some time only")
        sentences = [self._sentence(end, each) for each in targets]
        return [*now, *(_start_timer(seconds, conversation_command=each) for each in sentences)]

    def _scene(self, action: Action) -> Slots:
        device = self._home.devices.get(action.name)
        if device is None:
            return {"name": action.name, "domain": "scene"}
        return {"name": device.home_assistant or device.names[0]}

    def _row(self, action: Action) -> _Row:
        row = self.rows.get((action.device, action.asked))
        if row is None:
            raise NoIntent(f"Home Assistant has no intent for {action}")
        if row.confirm and not self._may_unlock:
            raise NoIntent(f"{action} is not done by voice here: start the server with --unlock")
        return row

    def _say(self, action: Action, row: _Row) -> tuple[str, Slots]:
        """Returns the intent's name, and its slots without those for the target."""
        name, slots = row.intent, dict(row.slots)
        if not action.value:
            return name, slots
        value = row.words.get(action.value, action.value)
        if isinstance(value, Mapping):
            slots.update(value)
            return str(slots.pop("intent", name)), slots
        if not row.value or value in ("up", "down", "min", "max"):
            raise NoIntent(f"Home Assistant has no intent for {action}")
        slots[row.value] = int(value) if str(value).isdigit() else str(value)
        return name, slots

    def _sentence(self, action: Action, target: Target) -> str:
        """Returns the sentence that a timer shall say for the action later."""
        row = self._row(action)
        if target.name and not action.value and action.verb in _SAY_OF_DEVICE:
            return _SAY_OF_DEVICE[action.verb].format(name=target.name)
        if not row.say or not target.area or (action.value and not action.value.isdigit()):
            raise NoIntent(f"Home Assistant cannot do {action} later")
        return row.say.format(area=target.area, value=action.value)

    def _timer(self, action: Action) -> HomeIntent:
        """Returns the intent of a timer, or of an alarm, which is a timer with that name."""
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
        """Returns the seconds to wait: a duration, or until the next time that it is this time of
        day."""
        if when != _WHEN_AT:
            return parse_duration(time) or 0
        hours, minutes = map(int, time.split(":"))
        now = self._clock()
        passed = 3600 * now.hour + 60 * now.minute + now.second
        return (3600 * hours + 60 * minutes - passed) % _DAY or _DAY


def _for_target(slots: Slots, target: Target) -> Slots:
    """Returns the slots of an intent for one target; a device's name implies its kind."""
    left_out = ("domain", "device_class") if target.is_device else ()
    return {name: value for name, value in slots.items() if name not in left_out}


def _start_timer(seconds: int, **slots: str | int) -> HomeIntent:
    return HomeIntent("HassStartTimer", {**_split_time(seconds), **slots})


def _split_time(seconds: int) -> Slots:
    parts = {"hours": seconds // 3600, "minutes": seconds // 60 % 60, "seconds": seconds % 60}
    return {name: count for name, count in parts.items() if count}
