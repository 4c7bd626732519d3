"""The payloads around generation: READY, ERROR and STATISTICS.

As in protocol/payloads.py: `x_payload` gives the bytes, `x_from` the named tuple or
ProtocolError; integers are little-endian and unsigned.
"""

from collections import namedtuple

from protocol.compat import const
from protocol.message import ProtocolError
from protocol.payloads import HASH_SIZE, MAX_ERROR_TEXT, packed_fields, unpacked_fields
from protocol.session import CHIP_NONCE_SIZE, STATE_READY

NEED_KV = const(1)  # a position beyond what the chip has filled for that sequence id
BAD_REQUEST = const(2)  # a request that contradicts the chip's shard
FAULT = const(3)  # an exception in the firmware; the text is its message

_READY_HEAD = "<HB"
_READY_HEAD_NAMES = ("boot_id", "state")
_READY_TAIL = "<BHHHIII"
_READY_TAIL_NAMES = ("heads", "units", "rows", "context", "shard_bytes", "used", "free")
_READY_SIZE = const(3 + 8 + 8 + 19)

Ready = namedtuple(
    "Ready",
    (
        "boot_id",
        "state",
        "nonce",
        "model_hash",
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
        "peak_allocated",  # bytes allocated in the course of one token, at most
        "frames_sent",
        "frames_received",
        "bytes_sent",
        "bytes_received",
        "frames_dropped",
        "answers_resent",
    ),
)
_STATISTICS = "<IIIIIIIII"
_STATISTICS_NAMES = ("statistic",) * 9


def error_name(code):
    """What an ERROR's code is called."""
    names = {NEED_KV: "NEED_KV", BAD_REQUEST: "BAD_REQUEST", FAULT: "FAULT"}
    return names.get(code, "code %d" % code)


def _text_from(what, payload):
    try:
        return bytes(payload).decode()
    except UnicodeError:
        pass  # not raised from here: MicroPython has no chained exceptions
    raise ProtocolError("%s text is not UTF-8" % what)


def ready_payload(ready):
    """READY: boot id u16, state u8 (0 asks for a proof, 1 ready), chip nonce 8 bytes, model
    hash 8 bytes, heads u8, feed-forward units u16, vocabulary rows u16, context u16, shard
    bytes u32, heap used u32, heap free u32, then the firmware's version in UTF-8.
    """
    if ready.state > STATE_READY:
        raise ValueError("state %d is not 0 or 1" % ready.state)
    if len(ready.nonce) != CHIP_NONCE_SIZE or len(ready.model_hash) != HASH_SIZE:
        raise ValueError("nonce and model hash must have 8 bytes each")
    return (
        packed_fields(_READY_HEAD, _READY_HEAD_NAMES, ready[:2])
        + bytes(ready.nonce)
        + bytes(ready.model_hash)
        + packed_fields(_READY_TAIL, _READY_TAIL_NAMES, ready[4:11])
        + ready.firmware.encode()
    )


def ready_from(payload):
    """The Ready in a payload."""
    if len(payload) < _READY_SIZE:
        raise ProtocolError("READY payload is too short")
    head = unpacked_fields("READY", _READY_HEAD, payload)
    if head[1] > STATE_READY:
        raise ProtocolError("READY payload has no such state")
    hashes = (bytes(payload[3:11]), bytes(payload[11:19]))
    tail = unpacked_fields("READY", _READY_TAIL, payload[19:])
    return Ready(*(head + hashes + tail + (_text_from("READY", payload[_READY_SIZE:]),)))


def error_payload(code, layer, position, text):
    """ERROR: code u8, layer u8, position u16, then UTF-8 text, cut to 200 bytes."""
    names = ("code", "layer", "position")
    words = text.encode()
    end = min(len(words), MAX_ERROR_TEXT)
    while end < len(words) and words[end] & 0xC0 == 0x80:  # do not cut a character in two
        end -= 1
    return packed_fields("<BBH", names, (code, layer, position)) + words[:end]


def error_from(payload):
    """The Error in a payload."""
    fields = unpacked_fields("ERROR", "<BBH", payload)
    return Error(*(fields + (_text_from("ERROR", payload[4:]),)))


def statistics_payload(statistics):
    """STATISTICS, the answer: nine u32 in the order of the Statistics tuple."""
    return packed_fields(_STATISTICS, _STATISTICS_NAMES, statistics)


def statistics_from(payload):
    """The Statistics in a payload."""
    if len(payload) != 36:
        raise ProtocolError("STATISTICS payload is not 36 bytes")
    return Statistics(*unpacked_fields("STATISTICS", _STATISTICS, payload))
