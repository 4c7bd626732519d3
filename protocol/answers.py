"""The answerer's side of request and answer: the last answer, kept to be sent again.

A request that comes again because its answer was lost is answered without computing again.
protocol/matching.py is the asker's side.

A request is its source, its sequence number and the first seven bytes of its payload, which every
answer repeats at the start of its own (protocol/layout.py); so a request of another generation
that happens to have the same number is not taken for the one that was answered. An answer is built
in the buffer in which it is kept, as header and payload; to send it again its trailer is appended
again (frame.append_trailer). As long as there is none, or it is not complete, the version in the
buffer is 0.
"""

from protocol.compat import micropython, ptr8
from protocol.frame import HEADER_SIZE, TRAILER_SIZE


def answer_buffer(capacity):
    """A buffer for answers of at most `capacity` bytes of payload, with none in it."""
    return bytearray(HEADER_SIZE + capacity + max(TRAILER_SIZE.values()))


@micropython.viper
def is_answered(request: ptr8, answer: ptr8) -> int:
    """1 if the buffer holds the answer to this opened request frame, else 0."""
    if answer[0] == 0 or answer[3] != request[2] or request[6] + request[7] * 256 < 7:
        return 0
    if answer[4] != request[4] or answer[5] != request[5]:
        return 0
    i = 8
    while i < 15:
        if answer[i] != request[i]:
            return 0
        i += 1
    return 1
