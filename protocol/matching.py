"""Which answer belongs to which request.

The asker numbers its requests and has one outstanding at a time, to one or more chips
(`Outstanding`). The answerer keeps its last answers, so that a request that comes again
because the answer was lost is answered without computing again (`AnswerCache`).
"""

from protocol.compat import const
from protocol.fields import same, u16
from protocol.message import HEADER_SIZE, LENGTH, SEQUENCE, SRC, TRAILER_SIZE, sequence_after
from protocol.payloads import REQUEST_SIZE

_NOT_ASKED = const(0)
_AWAITED = const(1)
_ANSWERED = const(2)

_NOBODY = bytes(256)  # the marks of a request to no one

_HALF = const(0x8000)  # sequence numbers wrap: less than half the circle behind is "before"


class Outstanding:
    """The one request that is being waited for, and who has answered it.

    Answers that are not accepted are counted: `late` to an earlier request, `duplicate` of
    one accepted before, `foreign` from a node not asked or to a request never made.
    """

    def __init__(self, sequence=0):
        """sequence: the number before the first request's."""
        self.sequence = sequence
        self.awaited = 0
        self.late = 0
        self.duplicate = 0
        self.foreign = 0
        self._marks = bytearray(256)

    def begin(self, chips):
        """The sequence number of a new request, to the ids in `chips`, each to answer once."""
        self._marks[:] = _NOBODY
        self.awaited = 0
        for chip in chips:
            self.awaited += self._marks[chip] == _NOT_ASKED
            self._marks[chip] = _AWAITED
        self.sequence = sequence_after(self.sequence)
        return self.sequence

    def accept(self, src, sequence):
        """True, once for each chip that was asked, for its answer to the current request."""
        if sequence != self.sequence:
            if (self.sequence - sequence) & 0xFFFF < _HALF:
                self.late += 1
            else:
                self.foreign += 1
            return False
        mark = self._marks[src]
        if mark == _AWAITED:
            self._marks[src] = _ANSWERED
            self.awaited -= 1
            return True
        if mark == _ANSWERED:
            self.duplicate += 1
        else:
            self.foreign += 1
        return False

    def missing(self):
        """The ids whose answers are awaited, in order."""
        return [chip for chip in range(256) if self._marks[chip] == _AWAITED]


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
