"""Packs and unpacks unsigned fields, checked, for payloads off the hot path."""

import struct

from protocol.frame import ProtocolError

_LARGEST = {"B": 0xFF, "H": 0xFFFF, "I": 0xFFFFFFFF}


def pack_fields(layout: str, names: tuple[str, ...], values: tuple[int, ...]) -> bytes:
    """Packs unsigned fields as struct does; ValueError names one that does not fit.

    MicroPython's own struct cuts off silently what does not fit.
    """
    for code, name, value in zip(layout[1:], names, values):
        if not 0 <= value <= _LARGEST[code]:
            raise ValueError("%s %d is not 0 to %d" % (name, value, _LARGEST[code]))
    return struct.pack(layout, *values)


def unpack_fields(what: str, layout: str, payload: bytes) -> tuple[int, ...]:
    """Unpacks the payload's beginning; ProtocolError, naming `what`, if it is too short."""
    if len(payload) < struct.calcsize(layout):
        raise ProtocolError("%s payload is too short" % what)
    return struct.unpack_from(layout, payload)
