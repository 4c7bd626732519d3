"""A chip's rows of the classifier: the logits of its part of the vocabulary."""

from firmware.linear import Linear

_INT16_LIMIT = 32767


class Vocabulary:
    """`run()` turns workspace.x into `logits` [rows], each an int16 at the model's logit scale."""

    def __init__(self, shard, workspace, kernels):
        layout = shard.layout
        rows = layout["rows"]
        self._rescale = kernels.rescale
        self._multipliers = shard.logit_multipliers
        self._shift = layout["logits"][0]
        self.logits = workspace.rows[:rows]
        self.first_row = layout["first_row"]
        self.exponent = layout["logits"][1]
        self._classifier = Linear(
            memoryview(shard.classifier), rows, layout["dim"], workspace.x, kernels
        )

    def run(self):
        """Computes the logits."""
        logits = self.logits
        self._classifier.run(logits)
        self._rescale(logits, 0, self._multipliers, logits, len(logits), self._shift, _INT16_LIMIT)
