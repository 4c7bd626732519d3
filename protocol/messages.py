"""The payload of each message type: its fields, their offsets, and how a chip writes and reads it.

| type | from | payload |
| --- | --- | --- |
| DISCOVERY | host | session nonce; then a proof of the cluster key (protocol/session.py), or within a session u16: bytes of the longest frame that the group can send |
| READY | chip | boot id u16, state u8 (0 asks for a proof, 1 ready), chip nonce 8 bytes, model hash 8 bytes, the first 8 bytes of the shard file's SHA-256, heads u8, feed-forward units u16, vocabulary rows u16, context u16, shard bytes u32, heap used u32, heap free u32, bytes of the longest frame that it can send u16, in UTF-8 the firmware version, 0, and which kernels run (`native`, or `viper (why)`) |
| COMPUTE | host | request, count * dim activations int16 |
| PARTIAL | chip | request, boot id u16, bits per element u8, count * dim elements packed (protocol/bitpack.py) |
| LOGITS | chip | request, boot id u16, first row u16, shift u8 (logit = integer / 2**shift), int16 per row of each position |
| STEP | host, chip | request, number of the first collective u16, bits u8, count * dim of the residual stream packed |
| BEST | chip | request, boot id u16, for each position, of the chip's rows: the best token u16, its logit int16, and the same of the next best |
| CANDIDATES | chip | request, boot id u16, for each position the MOST_CANDIDATES best of the chip's rows, the best first: row u16, from the chip's first on, its logit int16 |
| ACK | chip, host | request, boot id u16 |
| CONTRIBUTION, REPAIR | chip | protocol/collective.py |
| FRAGMENT | any | protocol/fragment.py |
| LINE | host, chip | bits per second u32, 0 to leave the speed as it is; any bytes, which the answer repeats |
| STATISTICS | host | u8: whether to collect garbage first |
| STATISTICS | chip | u32 each: heap used and free in bytes, frames sent and received, bytes sent and received, frames dropped, answers sent again, milliseconds at work (of a pipeline's stage) |
| ERROR | chip | code u8, layer u8, position u16, text in UTF-8, cut to 200 bytes |

A request is seven bytes that name the work, and that its answers repeat: sequence id u16, layer u8,
phase u8, first position u16, count of positions u8. In a STEP the layer is the group's first, and
the phase's byte says which answer is wanted: 0 none, 1 the best token, 2 logits, 3 candidates. To
it is added SCORED_UNIT * (n - 1), where the answer is for the last n positions.

The positions may belong to several sequences: each run has consecutive positions of one sequence.
Then SEVERAL_RUNS is added to the phase, and before the positions' data come u8, the number of runs
after the first, and for each of these sequence id u16, first position u16, count u8. The first run
has the remaining positions of the request's count. Only attention needs to tell sequences apart, so
COMPUTEs of other phases have no runs.

All integers are little-endian, and unsigned unless stated otherwise. host/wire/ decodes what chips
send.
"""  # noqa: E501  a row of the table is a line

import struct

from protocol.compat import const, micropython, ptr8, ptr32
from protocol.fields import put_u16, same, u16
from protocol.frame import (
    DST,
    HEADER_SIZE,
    LENGTH,
    SEQUENCE,
    SRC,
    TRAILER_SIZE,
    VERSION,
)

PHASE_ATTENTION = const(0)
PHASE_FEED_FORWARD = const(1)
PHASE_VOCABULARY = const(2)

# Offsets into a frame, whose payload begins at 8.
SEQUENCE_ID = const(8)
LAYER = const(10)
PHASE = const(11)
POSITION = const(12)
COUNT = const(14)
COMPUTE_DATA = const(15)
BOOT_ID = const(15)
PARTIAL_BITS = const(17)
PARTIAL_DATA = const(18)
LOGITS_FIRST_ROW = const(17)
LOGITS_SHIFT = const(19)
LOGITS_DATA = const(20)

STEP_WANTS = const(11)
STEP_NUMBER = const(15)
STEP_BITS = const(17)
STEP_DATA = const(18)
BEST_TOKEN = const(17)
BEST_LOGIT = const(19)
BEST_PLACE = const(4)  # bytes of a token and its logit
BEST_SIZE = const(8)  # bytes of a position's best two
CANDIDATE_ROW = const(17)
CANDIDATE_LOGIT = const(19)
CANDIDATE_SIZE = const(4)  # bytes of a row and its logit

WANTS_NOTHING = const(0)
WANTS_BEST = const(1)
WANTS_LOGITS = const(2)
WANTS_CANDIDATES = const(3)
WANTS_MASK = const(3)
SCORED_UNIT = const(4)
# An answer has the logits of one position, or of as many as take no more bytes than this.
MOST_LOGITS = const(1024)
# With a large vocabulary, each chip sends only so many of its best rows to sample from.
MOST_CANDIDATES = const(64)
MAX_POSITIONS = const(32)  # of one request: the field of scored positions has room for no more
SEVERAL_RUNS = const(0x80)
RUN_SIZE = const(5)

REQUEST_SIZE = const(7)
ACK_SIZE = const(9)

NEED_KV = const(1)  # positions before the request's are missing in the chip's KV cache
BAD_REQUEST = const(2)  # a request that contradicts the chip's shard
MISSING = const(4)  # members of the chip's group are silent; the text says which
NEED_STEP = const(5)  # the chip's group is at a step that this chip has not received
RADIO = const(6)  # the chip's radio failed and was restarted; the text says how
FAULT = const(3)  # an exception in the firmware; the text is its message

STATE_ASKS_PROOF = const(0)  # see protocol/session.py
STATE_READY = const(1)
CHIP_NONCE_SIZE = const(8)
HASH_SIZE = const(8)
# Bytes of text in ERROR and READY: with header and trailer they fit a 250-byte frame.
MAX_ERROR_TEXT = const(200)
_READY_TEXT = const(176)

READY_LAYOUT = "<HB8s8s8sBHHHIIIH"
STATISTICS_LAYOUT = "<IIIIIIIII"


def encode_ready(*fields):
    """Returns the payload of READY, given its fields in order; the last one is text, of which at
    most _READY_TEXT characters, all ASCII, are sent."""
    return struct.pack(READY_LAYOUT, *fields[:-1]) + fields[-1][:_READY_TEXT].encode()


def encode_error(code, layer, position, text):
    """Returns the payload of ERROR, its text cut to at most MAX_ERROR_TEXT bytes of UTF-8."""
    words = text.encode()
    end = min(len(words), MAX_ERROR_TEXT)
    while end < len(words) and words[end] & 0xC0 == 0x80:  # do not cut a character in two
        end -= 1
    return struct.pack("<BBH", code, layer, position) + words[:end]


def encode_statistics(*counts):
    """Returns the payload of a chip's STATISTICS, given its fields in order."""
    return struct.pack(STATISTICS_LAYOUT, *counts)


# The last answer stays in the buffer in which it was built, as header and payload, so that it can
# be retransmitted without computing it again, with a new trailer (frame.append_trailer). While
# there is none, or it is incomplete, the version in the buffer is 0. An answer matches a request
# by source, sequence number and the request's seven bytes, so that a request of another
# generation with the same number does not get it.


def make_answer_buffer(capacity):
    """Returns a buffer for answers of at most `capacity` bytes of payload; it holds none yet."""
    return bytearray(HEADER_SIZE + capacity + max(TRAILER_SIZE.values()))


def is_answered(request, answer):
    """Returns whether the buffer `answer` holds the answer to this verified request frame."""
    return (
        answer[VERSION] != 0
        and answer[DST] == request[SRC]
        and u16(request, LENGTH) >= REQUEST_SIZE
        and same(answer, SEQUENCE, request, SEQUENCE, 2) == 1
        and same(answer, HEADER_SIZE, request, HEADER_SIZE, REQUEST_SIZE) == 1
    )


@micropython.viper
def begin_compute(
    request: ptr8, answer: ptr8, length: int, boot_id: int, fields: ptr32
) -> int:  # fmt: skip
    """Reads a verified COMPUTE frame of `length` >= 7 bytes of payload in place, and begins its
    answer in the buffer `answer` as begin_answer does.

    Returns the number of int16 activations; -1 if the request is malformed; -2, with everything
    left as it is, if the buffer holds the answer already (is_answered). Unless the request is
    malformed, fields [6] int32 gets the sequence id, layer, phase, first position, count, and the
    offset of the activations in the frame.
    """
    i = 8
    if answer[0] and answer[3] == request[2]:
        if answer[4] == request[4] and answer[5] == request[5]:
            while i < 15 and answer[i] == request[i]:
                i += 1
            if i == 15:
                return -2
    answer[0] = 0
    answer[3] = request[2]
    answer[4] = request[4]
    answer[5] = request[5]
    i = 8
    while i < 15:
        answer[i] = request[i]
        i += 1
    answer[15] = boot_id & 255
    answer[16] = boot_id >> 8 & 255
    count = request[14]
    phase = request[11]
    at = 15
    if phase & 0x80 and length > 7:
        phase = phase & 0x7F
        at = request[15] * 5 + 16
    length = length + 8 - at
    if count == 0 or phase > 2 or length < 2 or length & 1:
        return -1
    fields[0] = request[8] | request[9] << 8
    fields[1] = request[10]
    fields[2] = phase
    fields[3] = request[12] | request[13] << 8
    fields[4] = count
    fields[5] = at
    length = length >> 1
    # The caller compares this with count * dim, so that no division is needed.
    return length


def begin_answer(request, answer, boot_id):
    """Writes what all answers have: destination, sequence, the request's seven bytes, the boot id.

    The caller writes the rest.
    """
    answer[DST] = request[SRC]
    put_u16(answer, SEQUENCE, u16(request, SEQUENCE))
    for i in range(HEADER_SIZE, HEADER_SIZE + REQUEST_SIZE):
        answer[i] = request[i]
    put_u16(answer, BOOT_ID, boot_id)


def read_rows(request, at, end, rows):
    """Reads the sequence id and position of each row of a request into rows, int32 [count, 2].

    at: the offset of the request's runs, if it has several, else of its data; end: of the payload.
    Returns the offset of the rows' data, or -1 if the runs are malformed.
    """
    left, data = request[COUNT], at
    if request[PHASE] & SEVERAL_RUNS:
        if at >= end:
            return -1
        at += 1
        data = at + RUN_SIZE * request[at - 1]
    if data > end:
        return -1
    for run in range(at, data, RUN_SIZE):
        left -= request[run + 4]
    if left < 1:
        return -1
    sequence_id, position = u16(request, SEQUENCE_ID), u16(request, POSITION)
    row = 0
    while True:
        for i in range(left):
            rows[row] = sequence_id
            rows[row + 1] = position + i
            row += 2
        if at == data:
            return data
        sequence_id, position, left = u16(request, at), u16(request, at + 2), request[at + 4]
        at += RUN_SIZE
