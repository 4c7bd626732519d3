"""The payloads of the messages that make up a generated token, and of those around it.

For each type: its layout, `X_payload(...)` giving the bytes and `x_from(payload)` giving a
named tuple. All integers are little-endian and unsigned unless said otherwise. A decoder
raises ProtocolError for bytes that are not such a payload, an encoder ValueError for a number
that does not fit its field. On its hot path a chip uses protocol/messages.py instead.
"""

import struct
from array import array
from collections import namedtuple

from host.wire.structs import packed_fields, unpacked_fields
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
Activation = namedtuple("Activation", ("layer", "position", "data"))


def _request_payload(values):
    if values[2] > PHASE_VOCABULARY:
        raise ValueError("phase %d is not 0 to 2" % values[2])
    if values[4] < 1:
        raise ValueError("count of positions is 0")
    return packed_fields(_REQUEST, _REQUEST_NAMES, values)


def _check_request(what, fields):
    if fields[2] > PHASE_VOCABULARY or fields[4] == 0:
        raise ProtocolError("%s payload has no such phase or no positions" % what)


def compute_payload(sequence_id, layer, phase, position, count, data):
    """COMPUTE: the request, then count * dim activations int16, as bytes in `data`."""
    return _request_payload((sequence_id, layer, phase, position, count)) + bytes(data)


def compute_from(payload):
    """The Compute in a payload; data are the bytes of count * dim int16."""
    fields = unpacked_fields("COMPUTE", _REQUEST, payload)
    _check_request("COMPUTE", fields)
    data = payload[REQUEST_SIZE:]
    if len(data) == 0 or len(data) % (2 * fields[4]):
        raise ProtocolError("COMPUTE payload does not have int16 for each of its positions")
    return Compute(*(fields + (data,)))


def step_payload(sequence_id, wants, position, count, number, residual):
    """STEP: the request with layer 0 and `wants` (protocol/messages.py) in place of the phase, the
    number of the first collective u16, bits u8, the residual stream packed: a list of count * dim
    integers of at most 32 bits."""
    values = array("i", residual)
    bits = bits_needed(values, len(values))
    packed = bytearray(packed_size(len(values), bits))
    pack(packed, 0, values, len(values), bits)
    request = _request_payload((sequence_id, 0, wants, position, count))
    return request + packed_fields("<HB", ("number", "bits"), (number, bits)) + packed


def best_from(payload):
    """The Best in a payload: the chip's best token and its logit."""
    return Best(*unpacked_fields("BEST", _REQUEST + "HHh", payload))


def partial_payload(sequence_id, layer, phase, position, count, boot_id, bits, data):
    """PARTIAL: the request, boot id u16, bits per element u8, then the packed elements."""
    if not 1 <= bits <= 32:
        raise ValueError("%d bits per element is not 1 to 32" % bits)
    request = _request_payload((sequence_id, layer, phase, position, count))
    return request + packed_fields("<HB", ("boot_id", "bits"), (boot_id, bits)) + bytes(data)


def partial_from(payload):
    """The Partial in a payload; data are packed as protocol/bitpack.py says."""
    fields = unpacked_fields("PARTIAL", _REQUEST + "HB", payload)
    _check_request("PARTIAL", fields)
    if not 1 <= fields[6] <= 32:
        raise ProtocolError("PARTIAL payload does not have 1 to 32 bits per element")
    return Partial(*(fields + (payload[10:],)))


def logits_payload(sequence_id, layer, phase, position, count, boot_id, first_row, shift, data):
    """LOGITS: the request, boot id u16, first row u16, shift u8, then int16 per row."""
    request = _request_payload((sequence_id, layer, phase, position, count))
    names = ("boot_id", "first_row", "shift")
    return request + packed_fields("<HHB", names, (boot_id, first_row, shift)) + bytes(data)


def logits_from(payload):
    """The Logits in a payload; data are the bytes of int16."""
    fields = unpacked_fields("LOGITS", _REQUEST + "HHB", payload)
    _check_request("LOGITS", fields)
    data = payload[12:]
    if len(data) % 2:
        raise ProtocolError("LOGITS payload ends within a row's int16")
    return Logits(*(fields + (data,)))


def activation_payload(layer, position, data):
    """ACTIVATION, for interoperation: layer u8, position u16, then the data."""
    return packed_fields("<BH", ("layer", "position"), (layer, position)) + bytes(data)


def activation_from(payload):
    """The Activation in a payload."""
    return Activation(*(unpacked_fields("ACTIVATION", "<BH", payload) + (payload[3:],)))


def token_payload(token):
    """TOKEN: u16."""
    return packed_fields("<H", ("token",), (token,))


def token_from(payload):
    """The token in a TOKEN payload."""
    if len(payload) != 2:
        raise ProtocolError("TOKEN payload is not 2 bytes")
    return struct.unpack("<H", payload)[0]


def barrier_payload(barrier):
    """BARRIER: u16, the barrier's number."""
    return packed_fields("<H", ("barrier",), (barrier,))


def barrier_from(payload):
    """The number in a BARRIER payload."""
    if len(payload) != 2:
        raise ProtocolError("BARRIER payload is not 2 bytes")
    return struct.unpack("<H", payload)[0]


def draft_tokens_payload(tokens):
    """DRAFT_TOKENS: count u8, then u16 for each token."""
    layout = "<B" + "H" * len(tokens)
    names = ("count",) + ("token",) * len(tokens)
    return packed_fields(layout, names, (len(tokens),) + tuple(tokens))


def draft_tokens_from(payload):
    """The list of tokens in a DRAFT_TOKENS payload."""
    (count,) = unpacked_fields("DRAFT_TOKENS", "<B", payload)
    if len(payload) != 1 + 2 * count:
        raise ProtocolError("DRAFT_TOKENS payload does not have the tokens that it counts")
    return list(struct.unpack("<" + "H" * count, bytes(payload[1:])))
