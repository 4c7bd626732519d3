"""Decodes what chips report of themselves: READY, ERROR and STATISTICS.

protocol/messages.py encodes them. Each `decode_x` returns a named tuple, or raises ProtocolError.
"""

import struct
from collections import namedtuple

from host.wire.structs import unpack_fields
from protocol.frame import ProtocolError
from protocol.messages import (
    BAD_REQUEST,
    FAULT,
    MISSING,
    NEED_KV,
    NEED_STEP,
    RADIO,
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
        "mtu",
        "firmware",
        "kernels",
        "mapping",
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


def error_name(code: int) -> str:
    """Names an ERROR's code."""
    names = {NEED_KV: "NEED_KV", BAD_REQUEST: "BAD_REQUEST", FAULT: "FAULT"}
    names[MISSING], names[NEED_STEP], names[RADIO] = "MISSING", "NEED_STEP", "RADIO"
    return names.get(code, "code %d" % code)


def decode_ready(payload: bytes) -> Ready:
    """Decodes READY. kernels: the ones that run, "" from firmware that does not report them;
    mapping: whether weights in flash are mapped, "" where they are not to be."""
    fields = unpack_fields("READY", READY_LAYOUT, payload)
    if fields[1] > STATE_READY:
        raise ProtocolError("READY payload has no such state")
    text = _decode_text("READY", payload[struct.calcsize(READY_LAYOUT) :])
    firmware, _, said = text.partition("\0")
    kernels, _, mapping = said.partition("\0")
    return Ready(*(fields + (firmware, kernels, mapping)))


def describe_mapping(ready: Ready) -> str:
    """Returns how a chip reads weights that are to be mapped, to follow other text; "" where they
    are not to be."""
    return f", weights: flash, {ready.mapping}" if ready.mapping else ""


def decode_error(payload: bytes) -> Error:
    """Decodes ERROR."""
    fields = unpack_fields("ERROR", "<BBH", payload)
    return Error(*(fields + (_decode_text("ERROR", payload[4:]),)))


def decode_statistics(payload: bytes) -> Statistics:
    """Decodes STATISTICS."""
    if len(payload) != struct.calcsize(STATISTICS_LAYOUT):
        raise ProtocolError("STATISTICS payload is not 36 bytes")
    return Statistics(*unpack_fields("STATISTICS", STATISTICS_LAYOUT, payload))


def _decode_text(what: str, payload: bytes) -> str:
    try:
        return bytes(payload).decode()
    except UnicodeError:
        pass  # not raised from here: MicroPython has no chained exceptions
    raise ProtocolError("%s text is not UTF-8" % what)
