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

_DATA = importlib.resources.files("home_assistant_intents")
# Home Assistant's domain of each device, and what people call it. What names a domain alone is the
# first device of it.
_DEVICES = {
    "light": ("light", ("light", "lights", "lamp")),
    "fan": ("fan", ("fan",)),
    "blinds": ("cover", ("blinds", "curtains")),
    "heating": ("climate", ("heating", "thermostat")),
    "ac": ("climate", ("ac", "air conditioner")),
    "speaker": ("media_player", ("speaker",)),
    "tv": ("media_player", ("tv",)),
    "plug": ("switch", ("plug", "outlet")),
    "lock": ("lock", ("lock", "door")),
    "vacuum": ("vacuum", ("vacuum",)),
}
_SWITCHED = {"blinds": ("open", "close"), "lock": ("lock", "unlock"), "vacuum": ("start", "stop")}
_UNITS = (("hours", "h"), ("minutes", "m"), ("seconds", "s"))

Slots = Mapping[str, Any]


def _switch(device: str, which: int) -> str:
    return _SWITCHED.get(device, ("on", "off"))[which]


def _light(device: str, slots: Slots) -> str:
    return f"color={slots['color']}" if "color" in slots else f"brightness={slots['brightness']}"


# What each intent is to a device with slots; the device that is meant where none is named.
_INTENTS: dict[str, tuple[str, Callable[[str, Slots], str]]] = {
    "HassTurnOn": ("", lambda device, _: _switch(device, 0)),
    "HassTurnOff": ("", lambda device, _: _switch(device, 1)),
    "HassGetState": ("", lambda *_: "state?"),
    "HassLightSet": ("light", _light),
    "HassFanSetSpeed": (
        "fan", lambda _, slots: f"speed={('low', 'medium', 'high')[slots['percentage'] // 34]}"
    ),
    "HassSetPosition": ("blinds", lambda _, slots: f"position={slots['position']}"),
    "HassClimateSetTemperature": (
        "heating", lambda _, slots: f"temperature={slots['temperature']}"
    ),
    "HassClimateGetTemperature": ("heating", lambda *_: "temperature?"),
    "HassSetVolume": ("speaker", lambda _, slots: f"volume={slots['volume_level']}"),
    "HassSetVolumeRelative": ("speaker", lambda _, slots: f"volume={slots['volume_step']}"),
    "HassMediaPlayerMute": ("tv", lambda *_: "mute"),
    "HassMediaPause": ("speaker", lambda *_: "pause"),
    "HassMediaNext": ("speaker", lambda *_: "next"),
    "HassVacuumStart": ("vacuum", lambda *_: "start"),
    "HassVacuumReturnToBase": ("vacuum", lambda *_: "stop"),
}  # fmt: skip


class Recognizer:
    """Home Assistant's recognizer, for a home with the rooms and devices of action lines."""

    def __init__(self) -> None:
        data = json.loads(_DATA.joinpath("data", "en.json").read_text(encoding="utf-8"))
        rooms = {room: room.replace("_", " ") for room in sorted(default_home().rooms)}
        names = [
            _value(f"{text} {name}", f"{device}.{room}", domain)
            for room, text in rooms.items()
            for device, (domain, names) in _DEVICES.items()
            for name in names
        ]
        names += [_value(scene, f"scene.{scene}", "scene") for scene in sorted(SCENES)]
        self._intents = Intents.from_dict(data)
        self._lists = {
            "area": TextSlotList(
                "area", [_value(text, room) for room, text in rooms.items()]
            ),
            "name": TextSlotList("name", names),
            "floor": TextSlotList.from_strings([], name="floor"),
        }  # fmt: skip

    def answer(self, command: str) -> str:
        """Returns the action line of a command, "unknown" where there is none."""
        found = recognize_best(
            command, self._intents, slot_lists=self._lists, best_slot_name="name"
        )
        if found is None:
            return UNKNOWN
        slots = {entity.name: entity.value for entity in found.entities_list}
        try:
            line = _line(found.intent.name, slots)
            parse_line(line)
        except (GrammarError, KeyError):
            return UNKNOWN
        return line


def _value(text: str, value: str, domain: str = "") -> TextSlotValue:
    context = {"domain": domain} if domain else None
    return TextSlotValue.from_tuple((text, value, context), allow_template=False)


def _line(intent: str, slots: Slots) -> str:
    """Returns the action line of an intent. Raises KeyError where it has none."""
    if intent in ("HassStartTimer", "HassCancelTimer", "HassTimerStatus"):
        return _timer(intent, slots)
    meant, action = _INTENTS[intent]
    named = str(slots.get("name", ""))
    if named.startswith("scene."):
        return named
    device, _, room = named.partition(".")
    if not named:
        domain = slots.get("domain")
        of_domain = (one for one, (known, _) in _DEVICES.items() if known == domain)
        device = next(of_domain, meant)
        room = slots.get("area", HERE if meant or domain is None else ALL)
    return f"{device}.{room} {action(device, slots)}"


def _timer(intent: str, slots: Slots) -> str:
    timer = f"timer.{slots['name']}" if "name" in slots else "timer"
    if intent == "HassCancelTimer":
        return f"{timer} cancel"
    if intent == "HassTimerStatus":
        return f"{timer} remaining?"
    parts = (f"{slots[unit]}{letter}" for unit, letter in _UNITS if slots.get(unit))
    return f"{timer} start={''.join(parts)}"


def run(options: argparse.Namespace) -> int:
    """Prints an answer a line. Raises ModelError."""
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
