"""A request to some chips: what answers it, and what has come so far."""

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
# Work for which a chip needs a session, and whose answers repeat the request and add a boot id.
_WORK = (message_types.COMPUTE, message_types.STEP)
_BOOT_ID_END = REQUEST_SIZE + 2


def ignore_answer(chip: int, payload: bytes) -> None:
    """Does nothing with an answer."""


@dataclass
class Request:
    """A message of type `kind` that each of `chips` answers once.

    where: names the place in the computation, for errors; timing: requests of equal timing take
    equally long; timeout: seconds without any progress until it fails; on_answer: called with each
    answer as it comes. Set by whoever sends it: sequence; started, when it was first sent, or sent
    again after a handshake; progress, when the last answer or
    fragment came, in seconds of the clock; handshakes, how many there were since it was sent.
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
        """The chips that have not answered."""
        return [chip for chip in self.chips if chip not in self.answers]

    @property
    def is_work(self) -> bool:
        """Whether it is computed for a sequence, and so needs a session and a KV cache."""
        return self.kind in _WORK

    @property
    def is_lockstep(self) -> bool:
        """Whether its chips wait for one another while they work on it."""
        return self.kind == message_types.STEP and len(self.chips) > 1

    def is_lost_on_line(self, now: float) -> bool:
        """Whether silence is so long that lines may be at another speed than their chips."""
        if self.kind == message_types.LINE:
            return False  # of which that is tried
        limit = 0.0 if self.kind == message_types.DISCOVERY else 0.4 * self.timeout
        return now - self.progress >= limit

    def is_answered_by(self, kind: int, payload: bytes) -> bool:
        """Whether a message is of a type that answers, and names the work that was asked for."""
        if kind not in _ANSWERS[self.kind]:
            return False
        if not self.is_work:
            return True
        return (
            len(payload) >= _BOOT_ID_END and payload[:REQUEST_SIZE] == self.payload[:REQUEST_SIZE]
        )

    def is_new_fragment(self, chip: int, payload: bytes) -> bool:
        """Whether this fragment of a chip's answer is the first with its index.

        The index is the second byte of a fragment's payload. There are few of them, so a chip
        whose last fragment is always lost times out like a silent one.
        """
        fragment = chip, payload[1]
        is_new = fragment not in self._fragments
        self._fragments.add(fragment)
        return is_new


class NeedsCache(Exception):
    """A chip has no keys and values for the positions before the one that was asked."""

    def __init__(self, chip: int) -> None:
        super().__init__(chip)
        self.chip = chip


class NeedsHandshake(Exception):
    """Chips that may have lost the session. request: what they have not answered."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.missing)
        self.request, self.chips = request, request.missing
