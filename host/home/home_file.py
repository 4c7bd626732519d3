"""A home's file, home.toml (docs/home.md):

    temperature_unit = "celsius"

    [floors.upstairs]
    names = ["upstairs", "first floor"]

    [rooms.nursery]
    names = ["nursery", "kids room"]        # without this line: its id
    floor = "upstairs"
    has = ["light", "blinds"]               # devices without a name of their own
    satellites = ["satellite-3"]            # voice satellites in it
    home_assistant = "Nursery"              # its area there

    [devices.floor_lamp]
    kind = "light"
    room = "living_room"
    names = ["floor lamp", "standing lamp"] # without this line: its id; [] for none
    can = ["on", "off"]                     # without this line: all that its kind does
    home_assistant = "light.floor_lamp"
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from host.grammar.action_lines import SCENE
from host.grammar.devices import ALL, HERE
from host.home.home import DEGREES, KINDS, Device, Floor, Home, HomeError, Room, verbs_of
from host.home.names import list_conflicts
from host.toml_file import TomlError, read_toml, record_from

DEFAULT = Path(__file__).with_name("default.toml")
_ID = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class _Room:
    names: tuple[str, ...] | None = None
    floor: str = ""
    has: tuple[str, ...] = ()
    satellites: tuple[str, ...] = ()
    home_assistant: str = ""


@dataclass(frozen=True)
class _Floor:
    names: tuple[str, ...] | None = None
    home_assistant: str = ""


@dataclass(frozen=True)
class _Device:
    kind: str
    room: str = ""
    names: tuple[str, ...] | None = None
    can: tuple[str, ...] | None = None
    home_assistant: str = ""


@dataclass(frozen=True)
class _File:
    temperature_unit: str = "celsius"
    floors: dict[str, Any] = field(default_factory=dict)
    rooms: dict[str, Any] = field(default_factory=dict)
    devices: dict[str, Any] = field(default_factory=dict)


def load_home(path: str | Path) -> Home:
    """Loads the file of a home. Raises HomeError, naming the file and everything that is wrong
    with it."""
    try:
        home = parse_home(read_toml(Path(path)))
    except OSError as error:
        raise HomeError(f"{path}: cannot read the home: {error.strerror}") from error
    except (TomlError, HomeError) as error:
        raise HomeError(f"{path}: {error}") from None
    return home


@functools.cache
def default_home() -> Home:
    """Returns the home that comes with the program."""
    return load_home(DEFAULT)


def parse_home(fields: dict[str, Any]) -> Home:
    """Makes a home from the fields of its file. Raises HomeError."""
    home = read_home(fields)
    if problems := [*_list_problems(home), *list_conflicts(home)]:
        raise HomeError("; ".join(problems))
    return home


def read_home(fields: dict[str, Any]) -> Home:
    """Makes a home from fields of the right types, without further checks. Raises HomeError for
    wrong types."""
    try:
        file = record_from(fields, _File)
        floors = {id: _record("floors", id, table, _Floor) for id, table in file.floors.items()}
        rooms = {id: _record("rooms", id, table, _Room) for id, table in file.rooms.items()}
        devices = {id: _record("devices", id, table, _Device)
                   for id, table in file.devices.items()}  # fmt: skip
    except TomlError as error:
        raise HomeError(str(error)) from None
    return Home(
        {id: Room(id, _names(id, room.names), room.floor, room.has, room.satellites,
                  room.home_assistant) for id, room in rooms.items()},
        {id: Floor(id, _names(id, floor.names), floor.home_assistant)
         for id, floor in floors.items()},
        {id: Device(id, each.kind, each.room, _names(id, each.names), _can(each),
                    each.home_assistant) for id, each in devices.items()},
        file.temperature_unit,
    )  # fmt: skip


def _record(table: str, id: str, fields: object, kind: type[Any]) -> Any:
    if not isinstance(fields, dict):
        raise HomeError(f"{table}.{id} must be a table, as [{table}.{id}]")
    try:
        return record_from(fields, kind)
    except TomlError as error:
        raise HomeError(f"{table}.{id}: {error}") from None


def _names(id: str, names: tuple[str, ...] | None) -> tuple[str, ...]:
    return (id.replace("_", " "),) if names is None else names


def _can(device: _Device) -> tuple[str, ...]:
    if device.can is None:
        return tuple(verbs_of(device.kind)) if device.kind in KINDS else ()
    return device.can


def _list_problems(home: Home) -> Iterable[str]:
    """Yields contradictions in a home, except those between names."""
    if home.temperature_unit not in DEGREES:
        yield f"temperature_unit must be {' or '.join(DEGREES)}, got {home.temperature_unit!r:.40}"
    if not home.rooms:
        yield "there are no rooms: give at least one, as [rooms.kitchen]"
    yield from _list_wrong_ids(home)
    for room in home.rooms.values():
        if room.floor and room.floor not in home.floors:
            yield f"rooms.{room.id}: there is no floor {room.floor!r:.40}"
        for kind in room.has:
            if kind not in KINDS or kind == SCENE:
                yield f"rooms.{room.id}: has {kind!r:.40}, which is not a kind: {_kinds()}"
        if not room.names:
            yield f"rooms.{room.id}: it needs a name"
    for floor in home.floors.values():
        if not floor.names:
            yield f"floors.{floor.id}: it needs a name"
    for device in home.devices.values():
        yield from _list_device_problems(device, home)


def _list_device_problems(device: Device, home: Home) -> Iterable[str]:
    where = f"devices.{device.id}"
    if device.kind not in KINDS:
        yield f"{where}: kind {device.kind!r:.40} is none of {_kinds()}"
        return
    if device.room and device.room not in home.rooms:
        yield f"{where}: there is no room {device.room!r:.40}"
    if not device.names and (not device.room or device.kind == SCENE):
        yield f"{where}: it needs a name"
    for verb in device.can:
        if verb not in verbs_of(device.kind):
            known = ", ".join(verbs_of(device.kind))
            yield f"{where}: a {device.kind} cannot {verb!r:.40}, only {known}"


def _kinds() -> str:
    return ", ".join(KINDS)


def _list_wrong_ids(home: Home) -> Iterable[str]:
    seen: dict[str, str] = {}
    tables: dict[str, Mapping[str, Any]] = {
        "floors": home.floors, "rooms": home.rooms, "devices": home.devices,
    }  # fmt: skip
    for table, ids in tables.items():
        for id in ids:
            if not _ID.fullmatch(id) or id in (ALL, HERE):
                yield (
                    f"{table}.{id!s:.40}: an id is small letters, digits and _, begins with a"
                    f" letter, and is not {ALL} or {HERE}"
                )
            if id in seen:
                yield f"{table}.{id} and {seen[id]}.{id}: give one of them another id"
            seen[id] = table
