"""Answers commands by Home Assistant's own recognizer and English sentences, as a baseline.

    python -m training.hassil_answers TABLE >answers.txt
    python -m host.evaluate --commands TABLE --answers answers.txt

The recognizer is given a home with the rooms and devices of action lines, each device by the names
that "the kitchen light" is one of. What it recognizes is printed as an action line, and "unknown"
where it recognizes nothing or what action lines cannot say.
"""

from __future__ import annotations

import argparse
import importlib.resources
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from hassil import Intents, recognize_best
from hassil.intents import TextSlotList, TextSlotValue

from host.cli.arguments import Parser, exit_code
from host.errors import ModelError
from host.generation.command_tables import load_commands
from host.grammar.action_lines import UNKNOWN, GrammarError, parse_line
from host.grammar.devices import ALL, HERE, SCENES
from host.home.home_file import default_home
from host.home.words import KIND_WORDS
from training.vocabulary import DEVICES

_DATA = importlib.resources.files("home_assistant_intents")
# Home Assistant's domain of each kind of device. A domain by itself means its first kind.
_DOMAINS = {
    "light": "light", "fan": "fan", "blinds": "cover", "heating": "climate", "ac": "climate",
    "speaker": "media_player", "tv": "media_player", "plug": "switch", "lock": "lock",
    "vacuum": "vacuum",
}  # fmt: skip
_SWITCHED = {"blinds": ("open", "close"), "lock": ("lock", "unlock"), "vacuum": ("start", "stop")}
_UNITS = (("hours", "h"), ("minutes", "m"), ("seconds", "s"))

Slots = Mapping[str, Any]


def _switch(device: str, which: int) -> str:
    return _SWITCHED.get(device, ("on", "off"))[which]


def _light(device: str, slots: Slots) -> str:
    if "temperature" in slots:  # of a colour, in kelvins
        return f"color={'warm_white' if slots['temperature'] < 3500 else 'cool_white'}"
    return f"color={slots['color']}" if "color" in slots else f"brightness={slots['brightness']}"


def _volume_step(_: str, slots: Slots) -> str:
    step = slots["volume_step"]
    return f"volume={step if step in ('up', 'down') else 'up' if step > 0 else 'down'}"


# The action of each intent, given its slots; and the device that is meant if none is named.
_INTENTS: dict[str, tuple[str, Callable[[str, Slots], str]]] = {
    "HassTurnOn": ("", lambda device, _: _switch(device, 0)),
    "HassTurnOff": ("", lambda device, _: _switch(device, 1)),
    "HassGetState": ("", lambda *_: "state?"),
    "HassLightSet": ("light", _light),
    "HassFanSetSpeed": (
        "fan", lambda _, slots: f"speed={slots['percentage']}"
    ),
    "HassSetPosition": ("blinds", lambda _, slots: f"position={slots['position']}"),
    "HassClimateSetTemperature": (
        "heating", lambda _, slots: f"temperature={slots['temperature']}"
    ),
    "HassClimateGetTemperature": ("heating", lambda *_: "temperature?"),
    "HassSetVolume": ("speaker", lambda _, slots: f"volume={slots['volume_level']}"),
    "HassSetVolumeRelative": ("speaker", _volume_step),
    "HassMediaPlayerMute": ("speaker", lambda *_: "mute"),
    "HassMediaPlayerUnmute": ("speaker", lambda *_: "unmute"),
    "HassMediaPause": ("speaker", lambda *_: "pause"),
    "HassMediaUnpause": ("speaker", lambda *_: "resume"),
    "HassMediaNext": ("speaker", lambda *_: "next"),
    "HassMediaPrevious": ("speaker", lambda *_: "previous"),
    "HassVacuumStart": ("vacuum", lambda *_: "start"),
    "HassVacuumCleanArea": ("vacuum", lambda *_: "start"),
    "HassVacuumReturnToBase": ("vacuum", lambda *_: "dock"),
}  # fmt: skip
_TIMERS = {
    "HassCancelTimer": "cancel", "HassTimerStatus": "remaining?", "HassPauseTimer": "pause",
    "HassUnpauseTimer": "resume",
}  # fmt: skip
_LASTING_TIMERS = {
    "HassStartTimer": "start", "HassIncreaseTimer": "add", "HassDecreaseTimer": "remove",
}  # fmt: skip


class Recognizer:
    """Home Assistant's recognizer, for a home with the rooms and devices of action lines. Devices
    are known by people's words for their kind, in a room or in the speaker's: "the kitchen light",
    "the light"."""

    def __init__(self) -> None:
        data = json.loads(_DATA.joinpath("data", "en.json").read_text(encoding="utf-8"))
        rooms = {text: room.id for room in default_home().rooms.values() for text in room.names}
        nouns = {
            noun: kind
            for kind in _DOMAINS
            for noun in (*DEVICES[kind].singular, *DEVICES[kind].plural, *KIND_WORDS[kind])
        }
        names = [
            _value(f"{text}{noun}", f"{kind}.{room}", _DOMAINS[kind])
            for text, room in (("", ""), *((f"{text} ", room) for text, room in rooms.items()))
            for noun, kind in nouns.items()
        ]
        names += [_value(scene, f"scene.{scene}", "scene") for scene in sorted(SCENES)]
        self._intents = Intents.from_dict(data)
        self._lists = {
            "area": TextSlotList("area", [_value(text, room) for text, room in rooms.items()]),
            "name": TextSlotList("name", names),
            "floor": TextSlotList.from_strings([], name="floor"),
        }

    def answer(self, command: str) -> str:
        """Returns the action line of a command, "unknown" if there is none."""
        found = recognize_best(
            command,
            self._intents,
            slot_lists=self._lists,
            intent_context={"area": HERE},  # of the satellite that somebody speaks to
            best_slot_name="name",
        )
        if found is None:
            return UNKNOWN
        slots = {entity.name: _plain(entity.value) for entity in found.entities_list}
        try:
            line = _line(found.intent.name, slots)
            parse_line(line)
        except (GrammarError, KeyError):
            return UNKNOWN
        return line


def _plain(value: Any) -> Any:
    """Returns a slot's value as in action lines: whole numbers, and no blanks around a text."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value.strip() if isinstance(value, str) else value


def _value(text: str, value: str, domain: str = "") -> TextSlotValue:
    context = {"domain": domain} if domain else None
    return TextSlotValue.from_tuple((text, value, context), allow_template=False)


def _line(intent: str, slots: Slots) -> str:
    """Returns the action line of an intent. Raises KeyError if it has none."""
    if "Timer" in intent:
        return _timer(intent, slots)
    meant, action = _INTENTS[intent]
    named = str(slots.get("name", ""))
    if named.startswith("scene."):
        return named
    device, _, room = named.partition(".")
    if not named:
        domain = slots.get("domain")
        of_domain = (kind for kind, known in _DOMAINS.items() if known == domain)
        device = next(of_domain, meant)
        room = ALL if domain is not None else HERE
    room = slots.get("area", room) if not named or not room else room
    return f"{device}.{room or HERE} {action(device, slots)}"


def _timer(intent: str, slots: Slots) -> str:
    timer = f"timer.{slots['name']}" if "name" in slots else "timer"
    if intent == "HassCancelAllTimers":
        return "timer.all cancel"
    if intent in _TIMERS:
        return f"{timer} {_TIMERS[intent]}"
    parts = (f"{slots[unit]}{letter}" for unit, letter in _UNITS if slots.get(unit))
    return f"{timer} {_LASTING_TIMERS[intent]}={''.join(parts)}"


def run(options: argparse.Namespace) -> int:
    """Prints an answer per line. Raises ModelError."""
    recognizer = Recognizer()
    for command in load_commands(options.table):
        print(recognizer.answer(command.text))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    parser = Parser(prog="python -m training.hassil_answers", description=__doc__)
    parser.add_argument("table", metavar="TABLE", help="commands, as host.evaluate reads them")
    options = parser.parse_args(arguments)
    return exit_code(lambda: run(options), (ModelError,))


if __name__ == "__main__":
    sys.exit(main())
