"""A request to some chips: which messages answer it, and which answers have come so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from protocol import message_types
from protocol.messages import REQUEST_SIZE

# Called with a chip and the payload of its answer.
OnAnswer = Callable[[int, bytes], None]

_ANSWERS = {
    message_types.COMPUTE: (
        message_types.PARTIAL, message_types.LOGITS, message_types.CANDIDATES,
    ),
    message_types.STEP: (
        message_types.LOGITS, message_types.BEST, message_types.CANDIDATES, message_types.ACK,
    ),
    message_types.DISCOVERY: (message_types.READY,),
    message_types.STATISTICS: (message_types.STATISTICS,),
    message_types.LINE: (message_types.LINE,),
}
# The types of all answers.
ANSWER_KINDS = sorted({kind for kinds in _ANSWERS.values() for kind in kinds})
# Requests for which a chip must be in the session; their answers repeat them and add a boot id.
_WORK = (message_types.COMPUTE, message_types.STEP)
_BOOT_ID_END = REQUEST_SIZE + 2


def ignore_answer(chip: int, payload: bytes) -> None:
    """Does nothing with an answer."""


@dataclass
class Request:
    """A message of type `kind` that each of `chips` answers once.

    where: the place in the computation, for error messages; timing: requests of equal timing take
    equally long; timeout: seconds without any progress until it fails; on_answer: called with each
    answer as it comes.

    The coordinator sets the rest: sequence; started, when it was sent, or sent again after a
    handshake, and progress, when the last answer or fragment came (both in seconds of the clock);
    handshakes, how many were made since it was sent.
    """

    kind: int
    payload: bytes
    chips: list[int]
    where: str
    timing: object
    timeout: float
    on_answer: OnAnswer = ignore_answer
    sequence: int | None = None
    started: float = 0.0
    progress: float = 0.0
    handshakes: int = 0
    answers: dict[int, bytes] = field(default_factory=dict)
    _fragments: set[tuple[int, int]] = field(default_factory=set)

    @property
    def missing(self) -> list[int]:
        """The chips that have not answered yet."""
        return [chip for chip in self.chips if chip not in self.answers]

    @property
    def is_work(self) -> bool:
        """Whether it is work on a sequence, which needs a session and a KV cache."""
        return self.kind in _WORK

    @property
    def is_lockstep(self) -> bool:
        """Whether chips wait for one another while they work on it."""
        return self.kind == message_types.STEP and len(self.chips) > 1

    def is_lost_on_line(self, now: float) -> bool:
        """Returns whether chips are silent for so long that their lines may have another speed."""
        if self.kind == message_types.LINE:
            return False  # a trial of a line's speed, which handles that itself
        limit = 0.0 if self.kind == message_types.DISCOVERY else 0.4 * self.timeout
        return now - self.progress >= limit

    def is_answered_by(self, kind: int, payload: bytes) -> bool:
        """Returns whether a message is of a type that answers this request, and names its work."""
        if kind not in _ANSWERS[self.kind]:
            return False
        if not self.is_work:
            return True
        return (
            len(payload) >= _BOOT_ID_END and payload[:REQUEST_SIZE] == self.payload[:REQUEST_SIZE]
        )

    def is_new_fragment(self, chip: int, payload: bytes) -> bool:
        """Returns whether this is the first fragment of a chip's answer with its index.

        The index is the second byte of a fragment's payload. Since there are few of them, a chip
        whose last fragment is always lost still times out, like a silent one.
        """
        fragment = chip, payload[1]
        is_new = fragment not in self._fragments
        self._fragments.add(fragment)
        return is_new


class NeedsCache(Exception):
    """A chip's KV cache lacks positions before the one that was requested."""

    def __init__(self, chip: int) -> None:
        super().__init__(chip)
        self.chip = chip


class NeedsHandshake(Exception):
    """Chips may have lost the session; request: the one that they have not answered."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.missing)
        self.request, self.chips = request, request.missing
