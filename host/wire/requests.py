"""Matches answers with requests.

Requests are numbered, and one is outstanding at a time, to one or more chips.
protocol/messages.py has a chip's side.
"""

from protocol.compat import const
from protocol.frame import sequence_after

_NOT_ASKED = const(0)
_AWAITED = const(1)
_ANSWERED = const(2)

_NOBODY = bytes(256)  # the marks of a request to no one

_HALF = const(0x8000)  # sequence numbers wrap: less than half the circle behind is "before"


class Outstanding:
    """The one request for which answers are awaited, and the chips that have answered it.

    Answers that are not accepted are counted: `late` to an earlier request, `duplicate` of
    one accepted before, `foreign` from a node that was not asked, or to an unknown request.
    """

    def __init__(self, sequence: int = 0) -> None:
        """sequence: the number before the first request's."""
        self.sequence = self._newest = sequence
        self.awaited = 0
        self.late = 0
        self.duplicate = 0
        self.foreign = 0
        self._marks = bytearray(256)

    @property
    def surplus(self) -> int:
        """How many answers came that had come before, or after their request was over."""
        return self.duplicate + self.late

    def begin(self, chips: list[int]) -> int:
        """Returns the sequence number of a new request, to the ids in `chips`, each to answer
        once."""
        self._newest = sequence_after(self._newest)
        return self.resume(self._newest, chips)

    def resume(self, sequence: int, chips: list[int]) -> int:
        """Awaits the answers of `chips` to a request that had this sequence number."""
        self._marks[:] = _NOBODY
        self.awaited = 0
        for chip in chips:
            self.awaited += self._marks[chip] == _NOT_ASKED
            self._marks[chip] = _AWAITED
        self.sequence = sequence
        return sequence

    def accept(self, src: int, sequence: int) -> bool:
        """Returns whether this is the first answer to the current request of a chip that was
        asked."""
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

    def missing(self) -> list[int]:
        """Returns the ids whose answers are awaited, in order."""
        return [chip for chip in range(256) if self._marks[chip] == _AWAITED]
