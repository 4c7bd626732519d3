"""Packs and unpacks unsigned fields with range checks, for payloads outside the hot path."""

import struct

from protocol.frame import ProtocolError

_LARGEST = {"B": 0xFF, "H": 0xFFFF, "I": 0xFFFFFFFF}


def pack_fields(layout: str, names: tuple[str, ...], values: tuple[int, ...]) -> bytes:
    """Packs unsigned fields as struct does; raises ValueError, naming the field, if one overflows.

    MicroPython's own struct truncates such values silently.
    """
    for code, name, value in zip(layout[1:], names, values):
        if not 0 <= value <= _LARGEST[code]:
            raise ValueError("%s %d is not 0 to %d" % (name, value, _LARGEST[code]))
    return struct.pack(layout, *values)


def unpack_fields(what: str, layout: str, payload: bytes) -> tuple[int, ...]:
    """Unpacks the beginning of a payload; raises ProtocolError, naming `what`, if it is too
    short."""
    if len(payload) < struct.calcsize(layout):
        raise ProtocolError("%s payload is too short" % what)
    return struct.unpack_from(layout, payload)
