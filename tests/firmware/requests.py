"""Requests as a host sends them, and the answers that the plain model gives."""

from array import array

from host.wire.payloads import encode_compute
from protocol import message_types
from protocol.bitunpack import unpack
from protocol.frame import HEADER_SIZE, HOST, write_header
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY

ATTENTION, FEED_FORWARD, VOCABULARY = PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY


def int16_bytes(values):
    """Little-endian int16."""
    data = bytearray()
    for value in values:
        data += (value & 0xFFFF).to_bytes(2, "little")
    return bytes(data)


def compute(inputs, layer=0, phase=ATTENTION, position=0, sequence_id=1):
    """The payload of a COMPUTE for activations [positions][dim]."""
    data = b"".join(int16_bytes(x) for x in inputs)
    return encode_compute(sequence_id, layer, phase, position, len(inputs), data)


def opened_frame(payload, kind=message_types.COMPUTE, src=HOST, dst=0, sequence=1):
    """A frame buffer with header and payload, as it is after it has been checked."""
    frame = bytearray(HEADER_SIZE + len(payload))
    write_header(frame, 2, kind, src, dst, sequence, len(payload))
    frame[HEADER_SIZE:] = payload
    return frame


def unpacked(partial, count):
    """The `count` elements of a Partial."""
    values = array("i", bytes(4 * count))
    unpack(bytearray(partial.data), 0, values, count, partial.bits)
    return list(values)


def expected_sums(model, part, inputs, layer=0, phase=ATTENTION, position=0):
    """The partial sums of a part of a plain model, those of all positions one after another."""
    sums = []
    for i, x in enumerate(inputs):
        if phase == ATTENTION:
            sums += model.attention(layer, position + i, x, part.heads)
        else:
            sums += model.feed_forward(layer, x, part.units)
    return sums


def int16s(data):
    """The values of little-endian int16."""
    values = []
    for at in range(0, len(data), 2):
        value = data[at] | data[at + 1] << 8
        values.append(value - 65536 if value > 32767 else value)
    return values
