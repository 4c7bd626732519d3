"""A chip's rows of the classifier: the logits of its part of the vocabulary."""

from array import array

from firmware.compute.linear import Linear
from firmware.compute.weights import INT16_LIMIT
from protocol.fields import put_u16
from protocol.frame import HEADER_SIZE
from protocol.messages import LOGITS_DATA, LOGITS_FIRST_ROW, LOGITS_SHIFT
from protocol.shard_layout import VOCABULARY_WEIGHTS


class Vocabulary:
    """`run()` turns workspace.x into `logits` [rows], each an int16 at the model's logit scale.

    candidates: the Candidates where an answer has these in place of all logits, else None.
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
            # So that chips of other models have no name of that module's in their strings.
            from firmware.compute import candidates

            self.candidates = candidates.select(self.logits, layout["candidates"])

    def run(self):
        """Computes the logits."""
        logits, weights = self.logits, self._weights
        self._classifier.run(weights, logits)
        self._kernels.rescale(logits, 0, weights, 0, self._scale, 1)

    def write(self, answer, index=0):
        """Writes the logits into the payload of LOGITS after its boot id, as those of the
        `index`-th position in it; the payload's length up to their end."""
        rows = len(self.logits)
        put_u16(answer, LOGITS_FIRST_ROW, self.first_row)
        answer[LOGITS_SHIFT] = self.exponent
        at = LOGITS_DATA + 2 * rows * index
        self._kernels.store_int16s(self.logits, 0, at, answer, rows)
        return at - HEADER_SIZE + 2 * rows
