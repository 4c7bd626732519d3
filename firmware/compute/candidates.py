"""The best rows of a chip's part of a large vocabulary, in place of the logits of all."""

from protocol.compat import const, micropython, ptr32
from protocol.fields import int32s, put_u16
from protocol.frame import HEADER_SIZE
from protocol.messages import CANDIDATE_LOGIT, CANDIDATE_ROW, CANDIDATE_SIZE

_BELOW = const(-32768)  # less than any logit


@micropython.viper
def list_best(logits: ptr32, n: int, rows: ptr32, count: int):
    """rows [count]: which of logits [n] are the largest, the largest first; of equal ones the
    lowest come first. 0 < count <= n."""
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
    """The Candidates of a chip's logits."""
    return Candidates(logits, most)


class Candidates:
    """Names the best rows in an answer; count: how many for a position."""

    def __init__(self, logits, most):
        """logits: memoryview of array("i") of the chip's rows; most: how many are asked for."""
        self.count = min(most, len(logits))
        self._logits = logits
        self._rows = int32s(self.count)

    def write(self, answer, index):
        """Writes them into the payload of CANDIDATES, as those of the `index`-th position in
        it; the payload's length up to their end."""
        logits, rows = self._logits, self._rows
        list_best(logits, len(logits), rows, self.count)
        at = CANDIDATE_SIZE * self.count * index
        for row in rows:
            put_u16(answer, CANDIDATE_ROW + at, row)
            put_u16(answer, CANDIDATE_LOGIT + at, logits[row])
            at += CANDIDATE_SIZE
        return CANDIDATE_ROW - HEADER_SIZE + at
