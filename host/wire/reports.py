"""What chips say of themselves, read by the host: READY, ERROR and STATISTICS.

protocol/messages.py makes them. Each `x_from` gives a named tuple, or raises ProtocolError.
"""

import struct
from collections import namedtuple

from host.wire.structs import unpacked_fields
from protocol.frame import ProtocolError
from protocol.messages import (
    BAD_REQUEST,
    FAULT,
    MISSING,
    NEED_KV,
    NEED_STEP,
    READY_LAYOUT,
    STATE_READY,
    STATISTICS_LAYOUT,
)

Ready = namedtuple(
    "Ready",
    (
        "boot_id",
        "state",
        "nonce",
        "model_hash",
        "shard_digest",
        "heads",
        "units",
        "rows",
        "context",
        "shard_bytes",
        "heap_used",
        "heap_free",
        "firmware",
    ),
)
Error = namedtuple("Error", ("code", "layer", "position", "text"))
Statistics = namedtuple(
    "Statistics",
    (
        "heap_used",
        "heap_free",
        "frames_sent",
        "frames_received",
        "bytes_sent",
        "bytes_received",
        "frames_dropped",
        "answers_resent",
        "busy_ms",
    ),
)


def error_name(code):
    """What an ERROR's code is called."""
    names = {NEED_KV: "NEED_KV", BAD_REQUEST: "BAD_REQUEST", FAULT: "FAULT"}
    names[MISSING], names[NEED_STEP] = "MISSING", "NEED_STEP"
    return names.get(code, "code %d" % code)


def ready_from(payload):
    """The Ready in a payload."""
    fields = unpacked_fields("READY", READY_LAYOUT, payload)
    if fields[1] > STATE_READY:
        raise ProtocolError("READY payload has no such state")
    text = _text_from("READY", payload[struct.calcsize(READY_LAYOUT) :])
    return Ready(*(fields + (text,)))


def error_from(payload):
    """The Error in a payload."""
    fields = unpacked_fields("ERROR", "<BBH", payload)
    return Error(*(fields + (_text_from("ERROR", payload[4:]),)))


def statistics_from(payload):
    """The Statistics in a payload."""
    if len(payload) != struct.calcsize(STATISTICS_LAYOUT):
        raise ProtocolError("STATISTICS payload is not 36 bytes")
    return Statistics(*unpacked_fields("STATISTICS", STATISTICS_LAYOUT, payload))


def _text_from(what, payload):
    try:
        return bytes(payload).decode()
    except UnicodeError:
        pass  # not raised from here: MicroPython has no chained exceptions
    raise ProtocolError("%s text is not UTF-8" % what)
