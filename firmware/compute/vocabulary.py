"""Computes the logits of a chip's part of the vocabulary, with its rows of the classifier."""

from array import array

from firmware.compute.linear import Linear
from firmware.compute.weights import INT16_LIMIT
from protocol.fields import put_u16
from protocol.frame import HEADER_SIZE
from protocol.messages import LOGITS_DATA, LOGITS_FIRST_ROW, LOGITS_SHIFT
from protocol.shard_layout import VOCABULARY_WEIGHTS


class Vocabulary:
    """Computes `logits`, int32 [rows], from workspace.x: each within 16 bits, logit * 2**exponent.

    candidates: the Candidates if an answer has these in place of all logits, else None.
    """

    def __init__(self, weights, workspace, kernels):
        layout = weights.layout
        rows = layout["rows"]
        self.logits = workspace.rows[:rows]
        self.first_row = layout["first_row"]
        self.exponent = layout["logit_exponent"]
        self._scale = array("i", [rows, layout["logit_shift"], INT16_LIMIT])
        self._kernels = kernels
        self._weights = weights.vocabulary
        at = weights.places[VOCABULARY_WEIGHTS]
        self._classifier = Linear(at, rows, layout["dim"], workspace.x, kernels)
        self.candidates = None
        if "candidates" in layout:
            # Not `import`: it would cost chips of other models heap for the module's names.
            from firmware.compute import candidates

            self.candidates = candidates.select(self.logits, layout["candidates"])

    def run(self):
        """Computes the logits of workspace.x."""
        logits, weights = self.logits, self._weights
        self._classifier.run(weights, logits)
        self._kernels.rescale(logits, 0, weights, 0, self._scale, 1)

    def write(self, answer, index=0):
        """Writes the logits into a frame of type LOGITS, for its `index`-th position.

        Returns the payload's length up to their end.
        """
        rows = len(self.logits)
        put_u16(answer, LOGITS_FIRST_ROW, self.first_row)
        answer[LOGITS_SHIFT] = self.exponent
        at = LOGITS_DATA + 2 * rows * index
        self._kernels.store_int16s(self.logits, 0, at, answer, rows)
        return at - HEADER_SIZE + 2 * rows
