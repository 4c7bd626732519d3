"""The answerer's side of request and answer: the last answers, kept to be sent again.

A request that comes again because its answer was lost is answered without computing again.
protocol/matching.py is the asker's side.
"""

from protocol.compat import micropython, ptr8
from protocol.frame import HEADER_SIZE, TRAILER_SIZE, VERSION


@micropython.viper
def _is_answer(answer: ptr8, request: ptr8) -> int:
    """1 if an answer's frame, if one is kept there, is to the opened request frame."""
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


class AnswerCache:
    """The last answers, in fixed buffers, found by the request that they answer.

    A request is its source, its sequence number and the first seven bytes of its payload,
    which every answer kept here repeats at the start of its own; so a request of another
    generation that happens to have the same number is not taken for one answered. An answer
    is built in the buffer that `room` gives, as header and payload, and then kept; to send it
    again its trailer is appended again (frame.append_trailer). Where nothing is kept, the
    buffer's version is 0.
    """

    def __init__(self, slots, capacity):
        """slots: how many answers are kept; capacity: the longest payload in bytes."""
        size = HEADER_SIZE + capacity + max(TRAILER_SIZE.values())
        self._buffers = [bytearray(size) for _ in range(slots)]
        self._next = 0

    def found(self, request):
        """The buffer with the answer to this opened request frame, or None."""
        for answer in self._buffers:
            if _is_answer(answer, request):
                return answer
        return None

    def room(self):
        """The buffer for the next answer; what it held is forgotten."""
        answer = self._buffers[self._next]
        answer[VERSION] = 0
        return answer

    def keep(self, version):
        """Keeps the answer built in `room`, a frame of this version; the oldest goes next."""
        self._buffers[self._next][VERSION] = version
        self._next = (self._next + 1) % len(self._buffers)

    def clear(self):
        """Forgets all answers, as a new session or model demands."""
        for answer in self._buffers:
            answer[VERSION] = 0
