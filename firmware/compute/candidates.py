"""Finds the best of a chip's rows of a large vocabulary, to send them instead of all logits."""

from protocol.compat import const, micropython, ptr32
from protocol.fields import int32s, put_u16
from protocol.frame import HEADER_SIZE
from protocol.messages import CANDIDATE_LOGIT, CANDIDATE_ROW, CANDIDATE_SIZE

_BELOW = const(-32768)  # less than any logit


@micropython.viper
def list_best(logits: ptr32, n: int, rows: ptr32, count: int):
    """Puts the indices of the largest of logits [n] into rows [count], the largest first.

    Of equal logits the lowest index comes first. 0 < count <= n.
    """
    least = int(_BELOW)
    held = 0
    row = 0
    while row < n:
        logit = logits[row]
        if logit > least:
            at = held
            if held < count:
                held += 1
            else:
                at = count - 1
            while at and logits[rows[at - 1]] < logit:
                rows[at] = rows[at - 1]
                at -= 1
            rows[at] = row
            if held == count:
                least = logits[rows[count - 1]]
        row += 1


def select(logits, most):
    """Returns the Candidates of a chip's logits; most: how many to send at most."""
    return Candidates(logits, most)


class Candidates:
    """Writes the best rows into answers; count: how many for each position."""

    def __init__(self, logits, most):
        """logits: memoryview of int32, one for each of the chip's rows; most: the most to send."""
        self.count = min(most, len(logits))
        self._logits = logits
        self._rows = int32s(self.count)

    def write(self, answer, index):
        """Writes the best rows into a frame of type CANDIDATES, for its `index`-th position.

        Returns the payload's length up to their end.
        """
        logits, rows = self._logits, self._rows
        list_best(logits, len(logits), rows, self.count)
        at = CANDIDATE_SIZE * self.count * index
        for row in rows:
            put_u16(answer, CANDIDATE_ROW + at, row)
            put_u16(answer, CANDIDATE_LOGIT + at, logits[row])
            at += CANDIDATE_SIZE
        return CANDIDATE_ROW - HEADER_SIZE + at
