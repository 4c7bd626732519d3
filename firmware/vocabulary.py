"""A chip's rows of the classifier: the logits of its part of the vocabulary."""

from array import array

from firmware.linear import Linear
from firmware.weights import INT16_LIMIT


class Vocabulary:
    """`run()` turns workspace.x into `logits` [rows], each an int16 at the model's logit scale."""

    def __init__(self, shard, workspace, kernels):
        layout = shard.layout
        rows = layout["rows"]
        self.logits = workspace.rows[:rows]
        self.first_row = layout["first_row"]
        shift, self.exponent = layout["logits"]
        self._scale = array("i", [rows, shift, INT16_LIMIT])
        self._rescale = kernels.rescale
        self._weights = shard.vocabulary
        self._classifier = Linear(2 * rows, rows, layout["dim"], workspace.x, kernels)

    def run(self):
        """Computes the logits."""
        logits, weights = self.logits, self._weights
        self._classifier.run(weights, logits)
        self._rescale(logits, 0, weights, 0, self._scale, 1)
