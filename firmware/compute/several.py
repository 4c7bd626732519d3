"""Computes several positions of a request where matrices stay in flash.

Each block of a matrix is read once, and multiplied with the inputs of all positions. So a layer is
divided: q, k and v of all positions, then attention of each position by itself, then the output
projection of all; and feed-forward units likewise.
"""

from array import array

from firmware.compute.attention import Attention
from firmware.compute.feed_forward import FeedForward
from protocol.compat import micropython
from protocol.fields import int32s
from protocol.shard_layout import ATTENTION_GAIN, FEED_FORWARD_GAIN


class _Workspace:
    """The buffers of one position, as firmware/compute/workspace.py has them; scores, which are
    used in one call, are shared."""

    def __init__(self, shared, rows):
        self.scores = shared.scores
        self.x, self.rows, self.heads, self.rope_row = [
            int32s(size)
            for size in (len(shared.x), rows, len(shared.heads), len(shared.rope_row))
        ]


class Several:
    """Computes partial sums, or activations where chips exchange by all-gather, of several
    positions.

    inputs: of each position its activations, int32 [dim], which `normalize` fills, for `compute`;
    results: its activations after attention, and after feed-forward units, at the start of these
    buffers.
    """

    def __init__(self, weights, kernels, model):
        """kernels: the module with the kernels, of which firmware/compute/blocks.py has replaced
        those of matrices."""
        layout, shared = weights.layout, model.workspace
        attention, feed_forward = model.attention, model.feed_forward
        rows = attention._sizes[3] if attention else 0
        if feed_forward:
            rows = max(rows, 2 * feed_forward._sizes[1])
        spaces = [_Workspace(shared, rows) for _ in range(layout["positions"])]
        self.inputs = [each.x for each in spaces]
        self.results = [each.heads for each in spaces], [each.rows for each in spaces]
        self._parts = [None, None]
        if attention:
            parts = [Attention(weights, each, kernels) for each in spaces]
            products = [_products([part._qkv for part in parts])]
            products.append(_products([part._o for part in parts]))
            for part in parts:
                part._qkv = part._o = ()  # what is left is the position's own
            self._parts[0] = self._part(parts, products, attention._sizes[3])
        if feed_forward:
            parts = [FeedForward(weights, each, kernels) for each in spaces]
            products = [_products([part._gate_up for part in parts])]
            products.append(_products([part._down for part in parts]))
            for part in parts:
                part._gate_up = part._down = ()
            self._parts[1] = self._part(parts, products, 2 * feed_forward._sizes[1])
        self._given = (
            array("i", [0] * (2 * len(spaces))), kernels.load_int16s, layout["dim"], shared.out,
            model.cache,
        )  # fmt: skip

    def _part(self, parts, products, rows):
        return parts, products[0], rows, [part._buffers[0] for part in parts], products[1]

    @micropython.native
    def run(self, done, attends, request, at, count, layer, position):
        """Computes the partial sums of a request's positions of one sequence into workspace.out,
        as Passes.run (firmware/compute/passes.py) does; returns `count`."""
        if done == count:
            return count
        rows, load, dim, _, cache = self._given
        sequence_id = cache.sequence_id
        for i in range(count):
            rows[2 * i] = sequence_id
            rows[2 * i + 1] = position + i
            load(request, 0, at + 2 * dim * i, self.inputs[i], dim)
        self.compute(attends, layer, rows, count)
        return count

    @micropython.native
    def normalize(self, residual, attends, layer, count):
        """Fills the inputs from a ResidualStream."""
        at, numbers = ATTENTION_GAIN, layer.attention_norm
        if not attends:
            at, numbers = FEED_FORWARD_GAIN, layer.feed_forward_norm
        at *= 2 * residual.dim
        for i in range(count):
            residual.normalize(i, layer.norms, at, numbers, self.inputs[i])

    @micropython.native
    def compute(self, attends, layer, rows, count):
        """Computes what Attention.run or FeedForward.run do, for `count` positions.

        rows: of each its sequence and its place in that, whose caches it adds to and attends to.
        """
        parts, before, size, sums, after = self._parts[0 if attends else 1]
        _, _, dim, out, cache = self._given
        weights = layer.weights
        for matvec, at, x in before:
            matvec(weights, count, sums, x, size, at)
        for i in range(count):
            if attends:
                cache.select(rows[2 * i])
                layer.select(cache.index)
                parts[i].run(layer, rows[2 * i + 1], out)
            else:
                parts[i].run(layer, out)
        for matvec, at, x in after:
            matvec(weights, count, out, x, dim, at)


def _products(blocks):
    """Returns of a matrix's blocks of columns (kernel, offset of weights, inputs of each
    position); blocks: those of each position's Linear."""
    return [(each[0][0], each[0][1], [block[2] for block in each]) for each in zip(*blocks)]
