"""Makes a home's file from Home Assistant's data: areas, floors, devices, entities, aliases.

It reads the folder `.storage`, or some of its files (core.area_registry, core.floor_registry,
core.device_registry, core.entity_registry, core.config), or one JSON object with lists called
areas, floors, devices and entities, as its websocket API gives each.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from host import text_input
from host.errors import TextError
from host.home.entities import Entity, find_abilities, find_kind
from host.home.home import FAHRENHEIT, HomeError
from host.home.names import MOST_WORDS, key_of
from host.home.words import GENERIC, KIND_WORDS, pluralize

_LISTS = ("areas", "floors", "devices", "entities")
_STORED = ("area_registry", "floor_registry", "device_registry", "entity_registry", "config")
_MOST_BYTES = 200_000_000

Fields = dict[str, Any]


@dataclass
class Registries:
    """The lists of Home Assistant, as far as they were given."""

    areas: list[Fields] = field(default_factory=list)
    floors: list[Fields] = field(default_factory=list)
    devices: list[Fields] = field(default_factory=list)
    entities: list[Fields] = field(default_factory=list)
    is_fahrenheit: bool = False


@dataclass
class Imported:
    """fields: of a home's file; left_out: what is not in it and why, one line each."""

    fields: Fields
    left_out: list[str]


def read_registries(paths: Sequence[str | Path]) -> Registries:
    """Reads files and folders. Raises HomeError, naming the file that is wrong."""
    found = Registries()
    for path in map(Path, paths):
        if path.is_dir():
            files = [path / f"core.{name}" for name in _STORED]
            files = [file for file in files if file.exists()]
            if not files:
                raise HomeError(f"{path}: there is no core.area_registry in it")
        else:
            files = [path]
        for file in files:
            _read_file(file, found)
    if not found.areas:
        raise HomeError(
            "no areas were found: give Home Assistant's folder .storage, or core.area_registry,"
            " core.floor_registry, core.device_registry and core.entity_registry of it"
        )
    return found


def _read_file(path: Path, found: Registries) -> None:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise HomeError(f"{path}: {_MOST_BYTES} bytes at most can be read")
        content = json.loads(text_input.read_text(path))
    except OSError as error:
        raise HomeError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError, TextError) as error:
        raise HomeError(f"{path}: not a JSON file: {error}") from None
    data = content.get("data", content) if isinstance(content, dict) else None
    if not isinstance(data, dict):
        raise HomeError(f"{path}: not a registry of Home Assistant")
    for name in _LISTS:
        rows = data.get(name, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise HomeError(f"{path}: {name} must be a list of objects")
        getattr(found, name).extend(rows)
    if "us_customary" in (data.get("unit_system"), data.get("unit_system_v2")):
        found.is_fahrenheit = True


def import_home(registries: Registries) -> Imported:
    """Returns the fields of a home's file, and what is left out: names that cannot be
    distinguished or are words of commands, and entities of kinds that the grammar does not
    have."""
    return _Import(registries).run()


class _Import:
    def __init__(self, registries: Registries) -> None:
        self._given = registries
        self._ids: set[str] = {"all", "here"}
        self._keys: dict[tuple[str, ...], str] = {}
        self._left_out: list[str] = []
        self._rooms: dict[str, tuple[str, Fields]] = {}  # by area

    def run(self) -> Imported:
        floors, floor_ids = self._floors()
        rooms = self._import_rooms(floor_ids)
        devices = dict(self._import_devices())
        fields: Fields = {}
        if self._given.is_fahrenheit:
            fields["temperature_unit"] = FAHRENHEIT
        if floors:
            fields["floors"] = floors
        fields["rooms"] = rooms
        if devices:
            fields["devices"] = devices
        return Imported(fields, self._left_out)

    def _import_rooms(self, floors: dict[str, str]) -> Fields:
        rooms: Fields = {}
        for area in self._given.areas:
            name = _text(area.get("name"))
            names = self._names(f"area {name}", [name, *_texts(area.get("aliases"))])
            if not names:
                self._left_out.append(f"area {name}: none of its names can be used")
                continue
            id = self._id(name)
            room: Fields = {"names": names, "home_assistant": name}
            if floor := floors.get(_text(area.get("floor_id"))):
                room["floor"] = floor
            rooms[id] = room
            self._rooms[_text(area.get("id") or area.get("area_id"))] = id, room
        return rooms

    def _floors(self) -> tuple[Fields, dict[str, str]]:
        floors, ids = {}, {}
        for floor in self._given.floors:
            name = _text(floor.get("name"))
            names = self._names(f"floor {name}", [name, *_texts(floor.get("aliases"))])
            if names:
                ids[_text(floor.get("floor_id"))] = id = self._id(f"{name} floor")
                floors[id] = {"names": names, "home_assistant": name}
        return floors, ids

    def _import_devices(self) -> Iterator[tuple[str, Fields]]:
        devices = {_text(each.get("id")): each for each in self._given.devices}
        for row in self._given.entities:
            entity = Entity(row, devices.get(_text(row.get("device_id")), {}))
            area = _text(row.get("area_id")) or _text(entity.device.get("area_id"))
            room_id, room = self._rooms.get(area, ("", {}))
            if entity.domain == "assist_satellite" and room:
                room.setdefault("satellites", []).extend(
                    filter(None, (entity.id, _text(row.get("device_id"))))
                )
            if not entity.is_exposed:
                continue
            if not (kind := find_kind(entity)):
                continue
            fields: Fields = {"kind": kind}
            if room_id:
                fields["room"] = room_id
            wanted = [entity.name, *_texts(row.get("aliases"))]
            given = [each for each in wanted if not _is_generic(each, kind, room.get("names", []))]
            fields["names"] = self._names(entity.id, given, room.get("names", [""])[0])
            if not fields["names"] and (not room_id or kind == "scene"):
                self._left_out.append(f"{entity.id}: it has no area and no name that can be used")
                continue
            if can := find_abilities(entity, kind):
                fields["can"] = can
            fields["home_assistant"] = entity.id
            yield self._id(entity.name or entity.id), fields

    def _names(self, owner: str, names: Iterable[str], room: str = "") -> list[str]:
        """Returns those of the names that are nobody's yet, with the room before one that is."""
        found = []
        for name in names:
            for each in (name, f"{room} {name}" if room else ""):
                key = key_of(each)
                if self._keys.get(key) == owner:
                    break
                if key and key not in self._keys and not _is_word(key):
                    self._keys[key] = owner
                    found.append(each)
                    break
            else:
                other = self._keys.get(key_of(name))
                why = f"that of {other}" if other else "a word of commands, or too long"
                if name:
                    self._left_out.append(f"{owner}: the name {name!r} is {why}")
        return found

    def _id(self, name: str) -> str:
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
        id = re.sub(r"[^a-z0-9]+", "_", plain).strip("_") or "device"
        id = id if id[0].isalpha() else f"n{id}"
        found, count = id, 1
        while found in self._ids or len(found) == 1:
            count += 1
            found = f"{id}_{count}"
        self._ids.add(found)
        return found


def _is_generic(name: str, kind: str, rooms: Sequence[str]) -> bool:
    """Returns whether a name only repeats the kind and its room: "lamp", "kitchen lights"."""
    words = [*KIND_WORDS[kind], *map(pluralize, KIND_WORDS[kind])]
    keys = {key_of(word) for word in words}
    keys |= {key_of(f"{room} {word}") for room in rooms for word in words}
    return key_of(name) in keys


def _is_word(key: tuple[str, ...]) -> bool:
    return " ".join(key) in GENERIC or len("".join(key)) == 1 or len(key) > MOST_WORDS


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    return [each.strip() for each in value if isinstance(each, str) and each.strip()] if (
        isinstance(value, list)
    ) else []
