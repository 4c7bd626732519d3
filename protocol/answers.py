"""The answerer's side of request and answer: the last answers, kept to be sent again.

A request that comes again because its answer was lost is answered without computing again.
protocol/matching.py is the asker's side.
"""

from protocol.fields import same, u16
from protocol.frame import HEADER_SIZE, LENGTH, SEQUENCE, SRC, TRAILER_SIZE
from protocol.layout import REQUEST_SIZE


class AnswerCache:
    """The last answers, in fixed buffers, found by the request that they answer.

    A request is its source, its sequence number and the first seven bytes of its payload,
    which every answer kept here repeats at the start of its own; so a request of another
    generation that happens to have the same number is not taken for one answered. An answer
    is built in the buffer that `room` gives, as header and payload, and then kept; to send it
    again its trailer is appended again (message.append_trailer).
    """

    def __init__(self, slots, capacity):
        """slots: how many answers are kept; capacity: the longest payload in bytes."""
        size = HEADER_SIZE + capacity + max(TRAILER_SIZE.values())
        self._buffers = [bytearray(size) for _ in range(slots)]
        self._sources = [-1] * slots  # -1: nothing kept in this slot
        self._next = 0

    def found(self, request):
        """The buffer with the answer to this opened request frame, or None."""
        if u16(request, LENGTH) < REQUEST_SIZE:
            return None
        src = request[SRC]
        for slot in range(len(self._buffers)):
            if self._sources[slot] == src:
                answer = self._buffers[slot]
                if same(answer, SEQUENCE, request, SEQUENCE, 2) and same(
                    answer, HEADER_SIZE, request, HEADER_SIZE, REQUEST_SIZE
                ):
                    return answer
        return None

    def room(self):
        """The buffer for the next answer; what it held is forgotten."""
        self._sources[self._next] = -1
        return self._buffers[self._next]

    def keep(self, src):
        """Keeps the answer built in `room` for requests from src; the oldest goes next."""
        self._sources[self._next] = src
        self._next = (self._next + 1) % len(self._buffers)

    def clear(self):
        """Forgets all answers, as a new session or model demands."""
        for slot in range(len(self._sources)):
            self._sources[slot] = -1
