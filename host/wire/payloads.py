"""Encodes and decodes the payloads of the messages that make up a generated token.

For each type, `encode_x(...)` gives the bytes and `decode_x(payload)` a named tuple;
protocol/messages.py, which a chip uses on its hot path instead, has the layouts. All integers are
little-endian and unsigned unless said otherwise. A decoder raises ProtocolError for a malformed
payload, an encoder ValueError for a number that does not fit its field.
"""

from array import array
from collections import namedtuple

from host.wire.structs import pack_fields, unpack_fields
from protocol.bitpack import bits_needed, pack, packed_size
from protocol.frame import ProtocolError
from protocol.messages import PHASE_VOCABULARY, REQUEST_SIZE

_REQUEST = "<HBBHB"
_REQUEST_NAMES = ("sequence_id", "layer", "phase", "position", "count")

Compute = namedtuple("Compute", ("sequence_id", "layer", "phase", "position", "count", "data"))
Partial = namedtuple(
    "Partial",
    ("sequence_id", "layer", "phase", "position", "count", "boot_id", "bits", "data"),
)
Logits = namedtuple(
    "Logits",
    (
        "sequence_id",
        "layer",
        "phase",
        "position",
        "count",
        "boot_id",
        "first_row",
        "shift",
        "data",
    ),
)
Best = namedtuple(
    "Best", ("sequence_id", "layer", "phase", "position", "count", "boot_id", "token", "logit")
)


def _encode_request(values: tuple[int, ...]) -> bytes:
    if values[2] > PHASE_VOCABULARY:
        raise ValueError("phase %d is not 0 to 2" % values[2])
    if values[4] < 1:
        raise ValueError("count of positions is 0")
    return pack_fields(_REQUEST, _REQUEST_NAMES, values)


def _check_request(what: str, fields: tuple[int, ...]) -> None:
    if fields[2] > PHASE_VOCABULARY or fields[4] == 0:
        raise ProtocolError("%s payload has no such phase or no positions" % what)


def encode_compute(
    sequence_id: int, layer: int, phase: int, position: int, count: int, data: bytes
) -> bytes:
    """Encodes COMPUTE: the request, then count * dim activations int16, as bytes in `data`."""
    return _encode_request((sequence_id, layer, phase, position, count)) + bytes(data)


def decode_compute(payload: bytes) -> Compute:
    """Decodes COMPUTE; data are the bytes of count * dim int16."""
    fields = unpack_fields("COMPUTE", _REQUEST, payload)
    _check_request("COMPUTE", fields)
    data = payload[REQUEST_SIZE:]
    if len(data) == 0 or len(data) % (2 * fields[4]):
        raise ProtocolError("COMPUTE payload does not have int16 for each of its positions")
    return Compute(*(fields + (data,)))


def encode_step(
    sequence_id: int, wants: int, position: int, count: int, number: int, residual: list[int]
) -> bytes:
    """Encodes STEP: the request with layer 0 and `wants` (protocol/messages.py) in place of the
    phase, the number of the first collective u16, bits u8, the residual stream packed: a list of
    count * dim integers of at most 32 bits."""
    values = array("i", residual)
    bits = bits_needed(values, len(values))
    packed = bytearray(packed_size(len(values), bits))
    pack(packed, 0, values, len(values), bits)
    request = _encode_request((sequence_id, 0, wants, position, count))
    return request + pack_fields("<HB", ("number", "bits"), (number, bits)) + packed


def decode_best(payload: bytes) -> Best:
    """Decodes BEST: the chip's best token and its logit."""
    return Best(*unpack_fields("BEST", _REQUEST + "HHh", payload))


def encode_partial(
    sequence_id: int, layer: int, phase: int, position: int, count: int, boot_id: int, bits: int,
    data: bytes,
) -> bytes:  # fmt: skip
    """Encodes PARTIAL: the request, boot id u16, bits per element u8, the packed elements."""
    if not 1 <= bits <= 32:
        raise ValueError("%d bits per element is not 1 to 32" % bits)
    request = _encode_request((sequence_id, layer, phase, position, count))
    return request + pack_fields("<HB", ("boot_id", "bits"), (boot_id, bits)) + bytes(data)


def decode_partial(payload: bytes) -> Partial:
    """Decodes PARTIAL; data are packed as protocol/bitpack.py says."""
    fields = unpack_fields("PARTIAL", _REQUEST + "HB", payload)
    _check_request("PARTIAL", fields)
    if not 1 <= fields[6] <= 32:
        raise ProtocolError("PARTIAL payload does not have 1 to 32 bits per element")
    return Partial(*(fields + (payload[10:],)))


def encode_logits(
    sequence_id: int, layer: int, phase: int, position: int, count: int, boot_id: int,
    first_row: int, shift: int, data: bytes,
) -> bytes:  # fmt: skip
    """Encodes LOGITS: the request, boot id u16, first row u16, shift u8, int16 per row."""
    request = _encode_request((sequence_id, layer, phase, position, count))
    names = ("boot_id", "first_row", "shift")
    return request + pack_fields("<HHB", names, (boot_id, first_row, shift)) + bytes(data)


def decode_logits(payload: bytes) -> Logits:
    """Decodes LOGITS; data are the bytes of int16."""
    fields = unpack_fields("LOGITS", _REQUEST + "HHB", payload)
    _check_request("LOGITS", fields)
    data = payload[12:]
    if len(data) % 2:
        raise ProtocolError("LOGITS payload ends within a row's int16")
    return Logits(*(fields + (data,)))
