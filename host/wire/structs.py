"""struct with unsigned fields that are checked, for payloads off the hot path."""

import struct

from protocol.frame import ProtocolError

_LARGEST = {"B": 0xFF, "H": 0xFFFF, "I": 0xFFFFFFFF}


def packed_fields(layout, names, values):
    """struct.pack of unsigned fields; ValueError names one that does not fit.

    MicroPython's own struct cuts off silently what does not fit.
    """
    for code, name, value in zip(layout[1:], names, values):
        if not 0 <= value <= _LARGEST[code]:
            raise ValueError("%s %d is not 0 to %d" % (name, value, _LARGEST[code]))
    return struct.pack(layout, *values)


def unpacked_fields(what, layout, payload):
    """struct.unpack of the payload's beginning; ProtocolError if it is too short."""
    if len(payload) < struct.calcsize(layout):
        raise ProtocolError("%s payload is too short" % what)
    return struct.unpack_from(layout, payload)
