"""Describes a home for `python -m host.home check`."""

from __future__ import annotations

from collections.abc import Iterator

from host.home.home import Device, Home, verbs_of


def describe_home(home: Home) -> Iterator[str]:
    """Yields a line for each floor, room and device."""
    for floor in home.floors.values():
        rooms = [room.id for room in home.rooms.values() if room.floor == floor.id]
        yield f"floor {floor.id}: {_quoted(floor.names)}; {', '.join(rooms) or 'no room'}"
    for room in home.rooms.values():
        parts = [_quoted(room.names)]
        parts += [f"has {', '.join(room.has)}"] if room.has else []
        parts += [f"satellites {', '.join(room.satellites)}"] if room.satellites else []
        yield f"room {room.id}: {'; '.join(parts)}"
    for device in home.devices.values():
        yield _describe_device(device)
    count = sum(len(home.rooms[id].has) for id in home.rooms) + len(home.devices)
    yield f"{len(home.rooms)} rooms, {count} devices: no name is anybody else's too"


def _describe_device(device: Device) -> str:
    where = f" in {device.room}" if device.room else ""
    lacking = [verb for verb in verbs_of(device.kind) if verb not in device.can]
    less = f"; cannot {', '.join(lacking)}" if lacking else ""
    return f"{device.kind} {device.id}{where}: {_quoted(device.names) or 'no name'}{less}"


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)
