"""Encodes and decodes messages of ruvllm-esp32 that chips of this project neither send nor take.

They serve to communicate with its chips, in frames of version 1 (protocol/frame_v1.py); nothing
else uses them. Layouts and errors are as in host/wire/payloads.py.
"""

import struct
from collections import namedtuple

from host.wire.structs import pack_fields, unpack_fields
from protocol.frame import ProtocolError

Activation = namedtuple("Activation", ("layer", "position", "data"))


def encode_activation(layer: int, position: int, data: bytes) -> bytes:
    """Encodes ACTIVATION: layer u8, position u16, then the data."""
    return pack_fields("<BH", ("layer", "position"), (layer, position)) + bytes(data)


def decode_activation(payload: bytes) -> Activation:
    """Decodes ACTIVATION."""
    return Activation(*(unpack_fields("ACTIVATION", "<BH", payload) + (payload[3:],)))


def encode_token(token: int) -> bytes:
    """Encodes TOKEN: u16."""
    return pack_fields("<H", ("token",), (token,))


def decode_token(payload: bytes) -> int:
    """Decodes TOKEN."""
    if len(payload) != 2:
        raise ProtocolError("TOKEN payload is not 2 bytes")
    return payload[0] | payload[1] << 8


def encode_barrier(barrier: int) -> bytes:
    """Encodes BARRIER: u16, the barrier's number."""
    return pack_fields("<H", ("barrier",), (barrier,))


def decode_barrier(payload: bytes) -> int:
    """Decodes BARRIER."""
    if len(payload) != 2:
        raise ProtocolError("BARRIER payload is not 2 bytes")
    return payload[0] | payload[1] << 8


def encode_draft_tokens(tokens: list[int]) -> bytes:
    """Encodes DRAFT_TOKENS: count u8, then u16 for each token."""
    layout = "<B" + "H" * len(tokens)
    names = ("count",) + ("token",) * len(tokens)
    return pack_fields(layout, names, (len(tokens),) + tuple(tokens))


def decode_draft_tokens(payload: bytes) -> list[int]:
    """Decodes DRAFT_TOKENS."""
    (count,) = unpack_fields("DRAFT_TOKENS", "<B", payload)
    if len(payload) != 1 + 2 * count:
        raise ProtocolError("DRAFT_TOKENS payload does not have the tokens that it counts")
    return list(struct.unpack("<" + "H" * count, bytes(payload[1:])))
