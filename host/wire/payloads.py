"""Encodes and decodes the payloads of the messages that make up a generated token.

For each type, `encode_x(...)` returns the bytes and `decode_x(payload)` a named tuple. The layouts
are in protocol/messages.py, which chips use instead, on their hot path. All integers are
little-endian and unsigned unless said otherwise. A decoder raises ProtocolError for a malformed
payload, an encoder ValueError for a number that does not fit its field.
"""

import struct
from array import array
from collections import namedtuple

from host.wire.structs import pack_fields, unpack_fields
from protocol.bitpack import bits_needed, pack, packed_size
from protocol.frame import ProtocolError
from protocol.messages import (
    BEST_SIZE,
    CANDIDATE_SIZE,
    MAX_POSITIONS,
    PHASE_VOCABULARY,
    REQUEST_SIZE,
    RUN_SIZE,
    SCORED_UNIT,
    SEVERAL_RUNS,
    WANTS_BEST,
    WANTS_CANDIDATES,
    WANTS_LOGITS,
    WANTS_MASK,
    WANTS_NOTHING,
)

_REQUEST = "<HBBHB"
_REQUEST_NAMES = ("sequence_id", "layer", "phase", "position", "count")

Compute = namedtuple(
    "Compute", ("sequence_id", "layer", "phase", "position", "count", "data", "runs")
)
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
    "Best",
    (
        "sequence_id",
        "layer",
        "phase",
        "position",
        "count",
        "boot_id",
        "tokens",
        "logits",
        "next_tokens",
        "next_logits",
    ),
)


Candidates = namedtuple(
    "Candidates",
    ("sequence_id", "layer", "phase", "position", "count", "boot_id", "rows", "logits"),
)


_PHASE_MASK = 0x7F  # of a COMPUTE, without SEVERAL_RUNS


def _encode_request(values: tuple[int, ...], mask: int = _PHASE_MASK) -> bytes:
    if mask == _PHASE_MASK and values[2] & mask > PHASE_VOCABULARY:
        raise ValueError("phase %d is not 0 to 2" % values[2])
    if values[4] < 1:
        raise ValueError("count of positions is 0")
    return pack_fields(_REQUEST, _REQUEST_NAMES, values)


def _check_request(what: str, fields: tuple[int, ...], mask: int = _PHASE_MASK) -> None:
    if fields[2] & mask > PHASE_VOCABULARY or fields[4] == 0:
        raise ProtocolError("%s payload has no such phase or no positions" % what)


def encode_runs(runs: list[tuple[int, int, int]]) -> bytes:
    """Encodes a request's runs: sequence id, first position and count of each. The first run is in
    the request itself, so a single run takes no bytes."""
    others = runs[1:]
    if not others:
        return b""
    names = "sequence_id", "position", "count"
    packed = [pack_fields("<HHB", names, run) for run in others]
    return bytes([len(others)]) + b"".join(packed)


def _encode_first(
    layer: int, phase: int, runs: list[tuple[int, int, int]], mask: int = _PHASE_MASK
) -> bytes:
    sequence_id, position, _ = runs[0]
    count = sum([run[2] for run in runs])
    several = SEVERAL_RUNS if len(runs) > 1 else 0
    return _encode_request((sequence_id, layer, phase | several, position, count), mask)


def encode_compute(
    sequence_id: int, layer: int, phase: int, position: int, count: int, data: bytes
) -> bytes:
    """Encodes COMPUTE: the request, then count * dim activations int16, as bytes in `data`."""
    return _encode_request((sequence_id, layer, phase, position, count)) + bytes(data)


def encode_compute_runs(
    layer: int, phase: int, runs: list[tuple[int, int, int]], data: bytes
) -> bytes:
    """Encodes COMPUTE for positions of several sequences, as `encode_compute` does for those of
    one; runs: sequence id, first position and count of each."""
    return _encode_first(layer, phase, runs) + encode_runs(runs) + bytes(data)


def decode_compute(payload: bytes) -> Compute:
    """Decodes COMPUTE; data are the bytes of count * dim int16, runs: sequence id, first position
    and count of each."""
    fields = unpack_fields("COMPUTE", _REQUEST, payload)
    _check_request("COMPUTE", fields)
    runs, at = _decode_runs(fields, payload)
    data = payload[at:]
    if len(data) == 0 or len(data) % (2 * fields[4]):
        raise ProtocolError("COMPUTE payload does not have int16 for each of its positions")
    return Compute(*(fields + (data, runs)))


def _decode_runs(
    fields: tuple[int, ...], payload: bytes
) -> tuple[list[tuple[int, ...]], int]:
    """Returns the runs of a COMPUTE, and where its data begin."""
    at = REQUEST_SIZE
    others: list[tuple[int, ...]] = []
    if fields[2] & SEVERAL_RUNS:
        count, at = payload[at] if len(payload) > at else 0, at + 1
        for _ in range(count):
            others.append(unpack_fields("COMPUTE", "<HHB", payload[at:]))
            at += RUN_SIZE
    left = fields[4] - sum([run[2] for run in others])
    if left < 1:
        raise ProtocolError("COMPUTE payload has more positions in its runs than in all")
    return [(fields[0], fields[3], left)] + others, at


def encode_step(
    sequence_id: int, wants: int, position: int, count: int, number: int, residual: list[int]
) -> bytes:
    """Encodes STEP: the request with layer 0 and `wants` (protocol/messages.py) in place of the
    phase, the number of the first collective u16, bits u8, the residual stream packed: a list of
    count * dim integers of at most 32 bits."""
    return encode_step_runs(wants, [(sequence_id, position, count)], number, residual)


def encode_step_runs(
    wants: int, runs: list[tuple[int, int, int]], number: int, residual: list[int]
) -> bytes:
    """Encodes STEP for positions of several sequences; runs: sequence id, first position and
    count of each."""
    values = array("i", residual)
    bits = bits_needed(values, len(values))
    packed = bytearray(packed_size(len(values), bits))
    pack(packed, 0, values, len(values), bits)
    head = _encode_first(0, wants, runs, WANTS_MASK)
    numbers = pack_fields("<HB", ("number", "bits"), (number, bits))
    return head + numbers + encode_runs(runs) + packed


def want_scores(positions: int, greedy: bool, candidates: bool = False) -> int:
    """Returns what stands in a STEP that wants the candidates, the best tokens, or else the
    logits, of its last so many positions."""
    if not positions:
        return WANTS_NOTHING
    if positions > MAX_POSITIONS:
        raise ValueError("%d positions are not at most %d" % (positions, MAX_POSITIONS))
    wants = WANTS_CANDIDATES if candidates else WANTS_BEST if greedy else WANTS_LOGITS
    return wants + SCORED_UNIT * (positions - 1)


def decode_best(payload: bytes) -> Best:
    """Decodes BEST: the chip's best tokens and their logits, of a position each, and its next best
    ones; a chip with one row repeats it, with a logit that is less than any."""
    fields = unpack_fields("BEST", _REQUEST + "H", payload)
    data = payload[REQUEST_SIZE + 2 :]
    if len(data) == 0 or len(data) % BEST_SIZE:
        raise ProtocolError("BEST payload has no token, or ends within one")
    places = range(0, len(data), BEST_SIZE)
    found = [struct.unpack_from("<HhHh", data, at) for at in places]
    return Best(*(fields + tuple([each[i] for each in found] for i in range(4))))


def decode_candidates(payload: bytes) -> Candidates:
    """Decodes CANDIDATES: the chip's best rows and their logits, of one position after another."""
    fields = unpack_fields("CANDIDATES", _REQUEST + "H", payload)
    data = payload[REQUEST_SIZE + 2 :]
    if len(data) == 0 or len(data) % CANDIDATE_SIZE:
        raise ProtocolError("CANDIDATES payload has no row, or ends within one")
    found = list(struct.iter_unpack("<Hh", data))
    return Candidates(*(fields + ([row for row, _ in found], [logit for _, logit in found])))


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
    request = _encode_request((sequence_id, layer, phase, position, count), WANTS_MASK)
    names = ("boot_id", "first_row", "shift")
    return request + pack_fields("<HHB", names, (boot_id, first_row, shift)) + bytes(data)


def decode_logits(payload: bytes) -> Logits:
    """Decodes LOGITS; data are the bytes of int16, of one position after another."""
    fields = unpack_fields("LOGITS", _REQUEST + "HHB", payload)
    _check_request("LOGITS", fields, WANTS_MASK)
    data = payload[12:]
    if len(data) % 2:
        raise ProtocolError("LOGITS payload ends within a row's int16")
    return Logits(*(fields + (data,)))
