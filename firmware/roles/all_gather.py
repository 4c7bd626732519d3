"""The role of a chip whose group exchanges finished activations instead of partial sums.

Each chip has rows, not columns, of the output and the down projection: those of its own elements
of the residual stream. Each phase of a layer has two collectives. In the first, each chip
contributes the activations of its heads or units, as int16; from all of them each chip computes
its elements of the residual stream, which it contributes to the second. Both are sums to which
each member contributes its own range (protocol/collective.py), so losses are repaired in the same
way. For wide models and many chips this takes fewer bytes than all-reduce, in twice as many
collectives.
"""

from array import array

from firmware.compute.linear import Linear
from firmware.compute.model import Model
from firmware.roles.all_reduce import AllReduce, Group
from firmware.roles.step import IN_ATTENTION, PLACE_COUNT, PLACE_LAYER, PLACE_PHASE, Step
from protocol.compat import micropython, ptr32
from protocol.fields import int32s
from protocol.shard_layout import (
    ATTENTION_GAIN,
    DOWN_MULTIPLIERS,
    DOWN_WEIGHTS,
    FEED_FORWARD_GAIN,
    MATRIX_COLUMNS,
    O_MULTIPLIERS,
    O_WEIGHTS,
)


def make_role(outbox, weights, kernels):
    """Returns the role; kernels: the module firmware.compute.model_kernels."""
    from firmware.compute import norms

    return make_gathering(outbox, weights, kernels, norms)


def make_gathering(outbox, weights, kernels, norms):
    """Returns the role; kernels, norms: the modules model_kernels and norms of
    firmware/compute."""
    layout = weights.layout
    *edges, longest = layout["gather"]
    group = Group(outbox, weights, layout["positions"] * longest)
    widen(group.collective, layout["positions"] * max([each[-1] for each in edges]))
    step = GatherStep(Model(weights, kernels), weights, kernels, norms, group.collective)
    return AllReduce(outbox, weights, kernels, norms, group, step)


def widen(collective, capacity):
    """Gives a collective room for vectors of `capacity` elements, longer than any contribution."""
    collective._capacity = capacity
    for each in collective._rounds:
        each.total = int32s(capacity)
        each._sizes = capacity, each._sizes[1]


@micropython.viper
def take_row(total: ptr32, row: ptr32, edges: ptr32, members: int, count: int, i: int):
    """Copies the i-th of `count` positions from `total` to `row`.

    total: all positions of member 0, then all of member 1, and so on. row: of one position; its
    elements edges[m] to edges[m + 1] are member m's.
    """
    m = 0
    while m < members:
        to = edges[m]
        end = edges[m + 1]
        at = to * count + (end - to) * i
        while to < end:
            row[to] = total[at]
            to += 1
            at += 1
        m += 1


@micropython.viper
def copy(src: ptr32, dst: ptr32, to: int, n: int):
    """Copies src [n] to dst[to : to + n]."""
    i = 0
    while i < n:
        dst[to] = src[i]
        to += 1
        i += 1


class GatherStep(Step):
    """A Step with two collectives in each phase: of activations, then of the residual stream."""

    def __init__(self, model, weights, kernels, norms, collective):
        """kernels, norms: the modules model_kernels and norms of firmware/compute."""
        super().__init__(model, weights, norms, collective)
        layout, places, workspace = weights.layout, weights.places, model.workspace
        heads, units, stream = [array("i", each) for each in layout["gather"][:3]]
        me = layout["members"].index(bytes([layout["chip"]]))
        first, own = stream[me], stream[me + 1] - stream[me]
        residual, count = self.residual, layout["positions"] if model.all else 1
        wide = [int32s(max(heads[-1], units[-1])) for _ in range(count)]
        slices = [
            residual.values[at + first : at + first + own]
            for at in range(0, len(residual.values), residual.dim)
        ]
        # Tuples, because to unpack one takes no longer than to look up one attribute.
        # Where the elements of each member begin in the residual stream.
        self._stream = len(stream) - 1, stream
        # This chip's elements of it: the first, their number, and slices of them for each
        # position; then what they are computed with.
        sums = [int32s(own) for _ in wide]
        self._finishing = first, own, slices, wide, sums, norms.add_rescaled
        # For each phase, this chip's activations: their buffer, the first, and their number.
        self._parts = [
            (results, edges[me], edges[me + 1] - edges[me])
            for results, edges in ((workspace.heads, heads), (workspace.rows, units))
        ]
        # For each phase, the projection of all activations to this chip's elements: where the
        # activations of each member begin, its blocks, and the offset of the first multiplier.
        self._projections = [
            (
                edges,
                _projection(
                    [
                        Linear(
                            places[part], own, places[part + MATRIX_COLUMNS], x[: edges[-1]],
                            kernels,
                        )  # fmt: skip
                        for x in wide
                    ]
                ),
                2 * (multipliers * residual.dim + first),
            )
            for edges, part, multipliers in (
                (heads, O_WEIGHTS, O_MULTIPLIERS),
                (units, DOWN_WEIGHTS, DOWN_MULTIPLIERS),
            )
        ]
        self._is_partial = False  # whether the current collective is one of activations

    @micropython.native
    def _take_in(self):
        """Takes in the result of a collective; returns whether the phase has ended.

        After the activations, this chip's elements of the residual stream are due.
        """
        if self._is_partial:
            self._finish()
            return False
        self._take_stream()
        return True

    @micropython.native
    def _contribute(self):
        """Computes the activations of this chip's heads or units, and sends them."""
        model, residual, count = self.model, self.residual, self.place[PLACE_COUNT]
        layer, phase = model.layers[self.place[PLACE_LAYER]], self.place[PLACE_PHASE]
        results, first, size = self._parts[phase]
        values, rows, cache = model.workspace.results, self._rows, model.cache
        attends = phase == IN_ATTENTION
        part = model.attention if attends else model.feed_forward
        several = count > 1 and part and model.all
        if several:
            several.normalize(residual, attends, layer, count)
            several.compute(attends, layer, rows, count)
            several = several.results[0 if attends else 1]
        for i in range(count if part else 0):
            if several:
                copy(several[i], values, i * size, size)
                continue
            if attends:
                cache.select(rows[2 * i])
                layer.select(cache.index)
                at = 2 * ATTENTION_GAIN * residual.dim
                residual.normalize(i, layer.norms, at, layer.attention_norm)
                part.run(layer, rows[2 * i + 1], values)
            else:
                at = 2 * FEED_FORWARD_GAIN * residual.dim
                residual.normalize(i, layer.norms, at, layer.feed_forward_norm)
                part.run(layer, values)
            copy(results, values, i * size, size)
        self._is_partial = True
        self.collective._begin(values, count * first, count * size)

    @micropython.native
    def _finish(self):
        """Computes this chip's elements of the residual stream, and sends them."""
        layer, count = self.model.layers[self.place[PLACE_LAYER]], self.place[PLACE_COUNT]
        phase, values = self.place[PLACE_PHASE], self.model.workspace.results
        edges, projection, at = self._projections[phase]
        shift = layer.o_shift if phase == IN_ATTENTION else layer.down_shift
        members, _ = self._stream
        first, own, slices, wide, sums, add_rescaled = self._finishing
        total = self.collective.result
        together = count if self.model.all else 1
        for begin in range(0, count, together):
            for i in range(together):
                take_row(total, wide[i], edges, members, count, begin + i)
            for matvec, place, x in projection:
                if together > 1:
                    matvec(layer.weights, together, sums, x, own, place)
                else:
                    matvec(layer.weights, 0, sums[0], x[0], own, place)
            for i in range(together):
                row = slices[begin + i]
                add_rescaled(row, 0, sums[i], layer.norms, at, own, shift)
                copy(row, values, (begin + i) * own, own)
        self._is_partial = False
        self.collective._begin(values, count * first, count * own)

    @micropython.native
    def _take_stream(self):
        """Assembles the residual stream from all members' elements."""
        total, count = self.collective.result, self.place[PLACE_COUNT]
        rows = self.residual._rows
        members, stream = self._stream
        for i in range(count):
            take_row(total, rows[i], stream, members, count, i)


def _projection(linears):
    """Returns of a projection's blocks of columns (kernel, offset of weights, inputs of each
    position); linears: those of each position."""
    return [
        (each[0][0], each[0][1], [block[2] for block in each])
        for each in zip(*[linear.blocks for linear in linears])
    ]
