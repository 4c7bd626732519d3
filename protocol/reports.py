"""What a chip says of itself: READY, ERROR and STATISTICS. protocol/control.py reads them.

All integers are little-endian and unsigned.
"""

import struct

from protocol.compat import const

NEED_KV = const(1)  # a position beyond what the chip has filled for that sequence id
BAD_REQUEST = const(2)  # a request that contradicts the chip's shard
MISSING = const(4)  # members of the chip's group are silent; the text says which
NEED_STEP = const(5)  # others of the chip's group are at a step that it knows nothing of
FAULT = const(3)  # an exception in the firmware; the text is its message

STATE_ASKS_PROOF = const(0)  # see protocol/session.py
STATE_READY = const(1)
CHIP_NONCE_SIZE = const(8)
HASH_SIZE = const(8)
MAX_ERROR_TEXT = const(200)  # bytes: with header and trailer still one 250-byte frame

READY_LAYOUT = "<HB8s8s8sBHHHIII"
STATISTICS_LAYOUT = "<IIIIIIIII"


def ready_payload(*fields):
    """READY: boot id u16, state u8 (0 asks for a proof, 1 ready), chip nonce 8 bytes, model
    hash 8 bytes, the first 8 bytes of the shard file's SHA-256, heads u8, feed-forward units
    u16, vocabulary rows u16, context u16, shard bytes u32, heap used u32, heap free u32, then
    the firmware's version in UTF-8.
    """
    return struct.pack(READY_LAYOUT, *fields[:-1]) + fields[-1].encode()


def error_payload(code, layer, position, text):
    """ERROR: code u8, layer u8, position u16, then UTF-8 text, cut to 200 bytes."""
    words = text.encode()
    end = min(len(words), MAX_ERROR_TEXT)
    while end < len(words) and words[end] & 0xC0 == 0x80:  # do not cut a character in two
        end -= 1
    return struct.pack("<BBH", code, layer, position) + words[:end]


def statistics_payload(*counts):
    """STATISTICS, the answer, u32 each: heap used and free in bytes, frames sent and received,
    bytes sent and received, frames dropped, answers sent again, and of a stage of a pipeline
    milliseconds at work."""
    return struct.pack(STATISTICS_LAYOUT, *counts)
