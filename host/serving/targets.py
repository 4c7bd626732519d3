"""Finds out what Home Assistant calls the places and devices of an action."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from host.errors import FederationError
from host.grammar.action_lines import Action
from host.grammar.devices import ALL, EVERYTHING, HERE
from host.home.home import Home

Slots = dict[str, "str | int"]
# Intents that take a floor; other intents are sent for each of its rooms.
_TAKE_FLOORS = frozenset(
    ("HassTurnOn", "HassTurnOff", "HassGetState", "HassSetPosition", "HassLightSet",
     "HassClimateSetTemperature", "HassClimateGetTemperature", "HassVacuumStart",
     "HassSetVolumeRelative", "HassFanSetSpeed")
)  # fmt: skip


class NoIntent(FederationError):
    """Home Assistant has no intent for the action, or it must not be done; the message is meant
    for the speaker."""


@dataclass(frozen=True)
class Target:
    """A target of an intent. slots: those that name it; area, name: what a sentence calls it, one
    of them or neither."""

    slots: Slots = field(default_factory=dict)
    area: str = ""
    name: str = ""

    @property
    def is_device(self) -> bool:
        """Whether it is a single device, given by its name, which implies its kind."""
        return "name" in self.slots


def area_name(home: Home, room: str) -> str:
    """Returns what Home Assistant calls a room."""
    found = home.rooms[room]
    return found.home_assistant or found.names[0]


def find_targets(home: Home, action: Action, area: str, intent: str) -> list[Target]:
    """Returns the targets of an action's intent; area: what Home Assistant calls the room that the
    speaker is in, "" if unknown. Raises NoIntent."""
    name = action.name
    if name == ALL:
        return [Target()]
    if name == HERE:
        if not area:
            raise NoIntent("which room? Say its name, or start the server with --area DEVICE=ROOM")
        return [Target({"area": area}, area)]
    if device := home.devices.get(name):
        called = device.names[0] if device.names else ""
        if known := device.home_assistant or called:
            return [Target({"name": known}, name=called)]
        return [_area(home, device.room)]
    if floor := home.floors.get(name):
        if intent in _TAKE_FLOORS:
            return [Target({"floor": floor.home_assistant or floor.names[0]})]
        return [_area(home, room) for room in _rooms_with(home, name, action.device)]
    if name not in home.rooms:
        raise NoIntent(f"{action}: the home has no {name}")
    return [_area(home, name)]


def split_everything(home: Home, actions: Iterable[Action]) -> list[Action]:
    """Returns the actions, with "everything" replaced by each kind of device that the place has
    and that can be switched."""
    found: list[Action] = []
    for action in actions:
        if action.device != EVERYTHING:
            found.append(action)
            continue
        devices = home.devices_in(action.name)
        kinds = dict.fromkeys(each.kind for each in devices if action.verb in each.can)
        found += [replace(action, device=kind) for kind in kinds]
    return found


def _area(home: Home, room: str) -> Target:
    name = area_name(home, room)
    return Target({"area": name}, name)


def _rooms_with(home: Home, floor: str, kind: str) -> list[str]:
    devices = home.devices_in(floor)
    return list(dict.fromkeys(each.room for each in devices if each.kind == kind))
