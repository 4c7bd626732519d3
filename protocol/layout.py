"""Where the fields of COMPUTE, PARTIAL and LOGITS lie, for reading and writing frames in place.

All three begin with the request, seven bytes that name the work and that its answers repeat:
sequence id u16, layer u8, phase u8, first position u16, count of positions u8. Then come

| type | fields |
| --- | --- |
| COMPUTE | count * dim activations int16 |
| PARTIAL | boot id u16, bits per element u8, count * dim elements packed (protocol/bitpack.py) |
| LOGITS | boot id u16, first row u16, shift u8 (logit = integer / 2**shift), int16 per row |

Where the chips combine their partial sums themselves, a STEP begins with the same seven bytes: the
layer is 0, and in place of the phase stands what is wanted, 0 nothing, 1 the best token, 2 logits.
LOGITS, BEST or ACK answers it:

| type | fields |
| --- | --- |
| STEP | number of the first collective u16, bits u8, count * dim of the residual stream packed |
| BEST | boot id u16, token u16, its logit int16: of the chip's rows |
| ACK | boot id u16 |

protocol/payloads.py has the same as functions on bytes.
"""

from protocol.compat import const, micropython, ptr8, ptr32

PHASE_ATTENTION = const(0)
PHASE_FEED_FORWARD = const(1)
PHASE_VOCABULARY = const(2)

# Offsets into a frame; the payload begins at 8.
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
BEST_END = const(21)

WANTS_NOTHING = const(0)
WANTS_BEST = const(1)
WANTS_LOGITS = const(2)

REQUEST_SIZE = const(7)


@micropython.viper
def begun_compute(
    request: ptr8, answer: ptr8, length: int, boot_id: int, fields: ptr32
) -> int:  # fmt: skip
    """Reads an opened COMPUTE frame of `length` >= 7 bytes of payload in place, and begins its
    answer in the buffer `answer` (protocol/answers.py) as begin_answer does.

    How many int16 follow, or -1 if the request is malformed, or -2, with all left as it is, if the
    buffer holds the answer to it (answers.is_answered). fields, of five int32, gets sequence id,
    layer, phase, first position and count, unless the request is malformed.
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
    length -= 7
    if count == 0 or phase > 2 or length < 2 or length & 1:
        return -1
    fields[0] = request[8] | request[9] << 8
    fields[1] = request[10]
    fields[2] = phase
    fields[3] = request[12] | request[13] << 8
    fields[4] = count
    length = length >> 1
    # A chip's shapes are fixed, so it compares this with count * dim, without a division.
    return length


@micropython.viper
def begin_answer(request: ptr8, answer: ptr8, boot_id: int):
    """Begins the frame of an answer: destination and sequence, and what the payload begins with,
    the request's seven bytes and the boot id. All else is the sender's to write.
    """
    answer[3] = request[2]
    answer[4] = request[4]
    answer[5] = request[5]
    i = 8
    while i < 15:
        answer[i] = request[i]
        i += 1
    answer[15] = boot_id & 255
    answer[16] = boot_id >> 8 & 255
