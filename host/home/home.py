"""A home: its rooms, floors and devices, and whether an action is possible there.

An action names a place or a device by its id. The grammar (host/grammar/) adds `all` for the whole
home and `here` for the speaker's room.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from host.errors import FederationError
from host.grammar.action_lines import ALARM, SCENE, TIMER, Action
from host.grammar.devices import (
    ALL,
    DEVICE_SYMBOLS,
    DEVICES,
    EVERYTHING,
    HERE,
    PLACE_SYMBOLS,
    SCENES,
    SWITCHED_TOGETHER,
)
from host.grammar.line_rules import LineNames

# If a place has only the second kind, it does what the first is asked for: "turn the volume up"
# names neither.
_INSTEAD = {"speaker": "tv", "heating": "ac"}
CELSIUS, FAHRENHEIT = "celsius", "fahrenheit"
DEGREES = {CELSIUS: range(5, 33), FAHRENHEIT: range(41, 91)}
KINDS = (*DEVICES, SCENE)


class HomeError(FederationError):
    """A home cannot be read, or contradicts itself; the message says what is wrong."""


class NotInHome(FederationError):
    """An action is not possible in a home; the message says why."""


@dataclass(frozen=True)
class Room:
    """A room. names: what people call it; floor: an id, "" for none; has: kinds of devices without
    names of their own; satellites: ids of the voice satellites in it; home_assistant: its area
    there."""

    id: str
    names: tuple[str, ...]
    floor: str = ""
    has: tuple[str, ...] = ()
    satellites: tuple[str, ...] = ()
    home_assistant: str = ""


@dataclass(frozen=True)
class Floor:
    """A floor. names: what people call it; home_assistant: its name there."""

    id: str
    names: tuple[str, ...]
    home_assistant: str = ""


@dataclass(frozen=True)
class Device:
    """A device. kind: such as "light"; room: an id, "" for none; names: what people call it, none
    if it is known by its kind and room; can: the verbs of its kind that it supports;
    home_assistant: its entity there."""

    id: str
    kind: str
    room: str
    names: tuple[str, ...] = ()
    can: tuple[str, ...] = ()
    home_assistant: str = ""


@dataclass(frozen=True, eq=False)  # caches are by object
class Home:
    """Rooms, floors and devices by id; temperature_unit: CELSIUS or FAHRENHEIT."""

    rooms: Mapping[str, Room]
    floors: Mapping[str, Floor] = field(default_factory=dict)
    devices: Mapping[str, Device] = field(default_factory=dict)
    temperature_unit: str = CELSIUS

    @functools.cached_property
    def line_names(self) -> LineNames:
        """The names that an action line may have: ids."""
        devices = ((each.kind, each.id) for each in self.devices.values())
        return LineNames((*self.rooms, *self.floors), tuple(devices))

    def rooms_of(self, place: str) -> Collection[str]:
        """Returns the ids of the rooms in a room, a floor, or the whole home; for `here`, those of
        the whole home."""
        if place in self.floors:
            return [room.id for room in self.rooms.values() if room.floor == place]
        return [place] if place in self.rooms else [*self.rooms, ""]

    def devices_in(self, place: str) -> list[Device]:
        """Returns all devices of a place, including those without a name of their own."""
        rooms = self.rooms_of(place)
        nameless = [
            Device(f"{room}.{kind}", kind, room, can=tuple(DEVICES[kind]))
            for room in rooms
            if room
            for kind in self.rooms[room].has
        ]
        return [*nameless, *(each for each in self.devices.values() if each.room in rooms)]

    def resolve(self, actions: Iterable[Action]) -> tuple[Action, ...]:
        """Returns the actions as they are carried out: by a television if a place has no speaker,
        and by an air conditioner if it has no heating.

        Raises NotInHome if one of them is not possible, so that no command is carried out in part.
        """
        return tuple(map(self._resolve, actions))

    def _resolve(self, action: Action) -> Action:
        if action.name and action.name in (*PLACE_SYMBOLS, *DEVICE_SYMBOLS):
            raise NotInHome(f"{action}: {action.name} stands for nothing that was said")
        if action.device in (TIMER, ALARM):
            return action
        if action.device == SCENE:
            if action.name not in SCENES and not self._is_device(action):
                raise NotInHome(f"{action}: the home has no such scene")
            return action
        if action.name in self.devices:
            return self._of_device(action)
        if action.name not in (*self.rooms, *self.floors, ALL, HERE):
            raise NotInHome(f"{action}: the home has no {action.name}")
        return self._of_place(action)

    def _of_device(self, action: Action) -> Action:
        device = self.devices[action.name]
        if not self._is_device(action):
            raise NotInHome(f"{action}: {device.id} is a {device.kind}, no {action.device}")
        if action.verb not in device.can:
            raise NotInHome(f"{action}: {device.id} cannot {action.verb}")
        return self._checked(action)

    def _is_device(self, action: Action) -> bool:
        found = self.devices.get(action.name)
        return found is not None and found.kind == action.device

    def _of_place(self, action: Action) -> Action:
        devices = self.devices_in(action.name)
        if action.device == EVERYTHING:
            if not any(action.verb in each.can for each in devices):
                raise NotInHome(f"{action}: nothing there can be switched {action.verb}")
            return action
        for kind in (action.device, _INSTEAD.get(action.device)):
            found = [each for each in devices if each.kind == kind]
            if kind and any(action.verb in each.can for each in found):
                return self._checked(replace(action, device=kind))
            if found:
                raise NotInHome(f"{action}: no {kind} there can {action.verb}")
        raise NotInHome(f"{action}: there is no {action.device}")

    def _checked(self, action: Action) -> Action:
        """Returns the action if its value is possible in this home. Raises NotInHome."""
        if action.verb == "temperature" and action.value.isdigit():
            degrees = DEGREES[self.temperature_unit]
            if int(action.value) not in degrees:
                raise NotInHome(
                    f"{action}: {degrees.start} to {degrees.stop - 1} degrees are possible"
                )
        return action

    def area_of(self, satellite: str) -> str:
        """Returns the id of the room with a voice satellite, "" if no room has it."""
        rooms = (room.id for room in self.rooms.values() if satellite in room.satellites)
        return next(rooms, "")


def verbs_of(kind: str) -> Mapping[str, Any]:
    """Returns the verbs of a kind of devices; the only verb of a scene is ""."""
    if kind == EVERYTHING:
        return SWITCHED_TOGETHER
    return {"": None} if kind == SCENE else DEVICES[kind]
