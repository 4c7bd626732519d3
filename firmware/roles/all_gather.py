"""The role of a chip whose group exchanges finished activations in place of partial sums.

Each chip has rows of the output and the down projection, not columns: those of its own elements of
the residual stream. In each phase of a layer chips give one another what their heads or units
make of it, whole vectors of int16; then each computes its elements of the residual stream, and
gives them to the others. Every collective is a sum to which each contributes a range of its own
(protocol/collective.py), so that what is lost is repaired as partial sums are. Of wide models and
many chips these are fewer bytes, in twice as many collectives.
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
    O_MULTIPLIERS,
    O_WEIGHTS,
)


def make_role(outbox, weights, kernels):
    """The role; kernels: the module firmware.compute.model_kernels."""
    from firmware.compute import norms

    return make_gathering(outbox, weights, kernels, norms)


def make_gathering(outbox, weights, kernels, norms):
    """The role; kernels, norms: the modules model_kernels and norms of firmware/compute."""
    layout = weights.layout
    *edges, longest = layout["gather"]
    group = Group(outbox, weights, layout["positions"] * longest)
    widen(group.collective, layout["positions"] * max([each[-1] for each in edges]))
    step = GatherStep(Model(weights, kernels), weights, kernels, norms, group.collective)
    return AllReduce(outbox, weights, kernels, norms, group, step)


def widen(collective, capacity):
    """Has a collective take vectors of so many elements, longer than any contribution."""
    collective._capacity = capacity
    for each in collective._rounds:
        each.total = int32s(capacity)
        each._sizes = capacity, each._sizes[1]


@micropython.viper
def take_row(total: ptr32, row: ptr32, edges: ptr32, members: int, count: int, i: int):
    """Copies the i-th of `count` positions from what members contributed, one member's positions
    one after another, to `row`, whose elements edges[m] to edges[m + 1] are member m's."""
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
    """Copies src [n] to dst[to] and on."""
    i = 0
    while i < n:
        dst[to] = src[i]
        to += 1
        i += 1


class GatherStep(Step):
    """As Step, with two collectives in each phase: of activations, and of the residual stream."""

    def __init__(self, model, weights, kernels, norms, collective):
        """kernels, norms: the modules model_kernels and norms of firmware/compute."""
        super().__init__(model, weights, norms, collective)
        layout, places, workspace = weights.layout, weights.places, model.workspace
        heads, units, stream = [array("i", each) for each in layout["gather"][:3]]
        me = layout["members"].index(bytes([layout["chip"]]))
        first, own = stream[me], stream[me + 1] - stream[me]
        wide, residual = int32s(max(heads[-1], units[-1])), self.residual
        slices = [
            residual.values[at + first : at + first + own]
            for at in range(0, len(residual.values), residual.dim)
        ]
        # Of the residual stream: the members, where each one's elements begin, and its own, of
        # each position. Together, for to look up an attribute takes as long as to take several.
        self._stream = len(stream) - 1, stream, first, own, slices
        self._finishing = wide, int32s(own), norms.add_rescaled
        # Of each phase: where this chip's results are, and how many; where members' begin; its
        # rows of the projection, and where the multipliers of the first are.
        self._phases = [
            (
                results, edges[me], edges[me + 1] - edges[me], edges,
                Linear(places[part], own, edges[-1], wide[: edges[-1]], kernels).blocks,
                2 * (multipliers * residual.dim + first),
            )
            for results, edges, part, multipliers in (
                (workspace.heads, heads, O_WEIGHTS, O_MULTIPLIERS),
                (workspace.rows, units, DOWN_WEIGHTS, DOWN_MULTIPLIERS),
            )
        ]  # fmt: skip
        self._is_partial = False  # whether the collective is one of activations

    @micropython.native
    def _take_in(self):
        """As Step's: after activations this chip's elements of the residual stream are due."""
        if self._is_partial:
            self._finish()
            return False
        self._take_stream()
        return True

    @micropython.native
    def _contribute(self):
        """Computes what this chip's heads or units give, and sends it."""
        model, residual, count = self.model, self.residual, self.place[PLACE_COUNT]
        layer, phase = model.layers[self.place[PLACE_LAYER]], self.place[PLACE_PHASE]
        results, first, size, _, _, _ = self._phases[phase]
        values, rows, cache = model.workspace.results, self._rows, model.cache
        attends = phase == IN_ATTENTION
        part = model.attention if attends else model.feed_forward
        for i in range(count if part else 0):
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
        _, _, _, edges, projection, at = self._phases[phase]
        shift = layer.o_shift if phase == IN_ATTENTION else layer.down_shift
        members, _, first, own, slices = self._stream
        wide, sums, add_rescaled = self._finishing
        total = self.collective.result
        for i in range(count):
            take_row(total, wide, edges, members, count, i)
            for matvec, place, x in projection:
                matvec(layer.weights, 0, sums, x, own, place)
            add_rescaled(slices[i], 0, sums, layer.norms, at, own, shift)
            copy(slices[i], values, i * own, own)
        self._is_partial = False
        self.collective._begin(values, count * first, count * own)

    @micropython.native
    def _take_stream(self):
        """Puts together the residual stream of all members' elements."""
        total, count = self.collective.result, self.place[PLACE_COUNT]
        rows = self.residual._rows
        members, stream, _, _, _ = self._stream
        for i in range(count):
            take_row(total, rows[i], stream, members, count, i)
