"""Small random models, and what their layers compute, stated plainly.

A `TinyModel` is global: lists of rows, no shards, blocks or kernels. Its `attention`,
`feed_forward` and `logits` give the partial results of any part of it by looping over that part,
in whole numbers of any size, as host/model/reference.py has it in numpy.
"""

import math
import random

from tests.firmware.plain import EXP_TABLE, SIGMOID_TABLE, bit_length, clipped, half_up, narrowed
from tests.firmware.samples import between

LIMIT = 32767


class Matrix:
    """int8 rows with a u16 multiplier each and one shift: y = rows x * multiplier / 2**shift."""

    def __init__(self, rows, columns, shift):
        self.rows = [[between(-127, 127) for _ in range(columns)] for _ in range(rows)]
        self.multipliers = [between(1 << 14, LIMIT) for _ in range(rows)]
        self.shift = shift

    def sums(self, x, rows, columns=None):
        """The accumulators of some rows, over all columns or some; x has just these."""
        columns = range(len(self.rows[0])) if columns is None else columns
        return [sum(self.rows[row][c] * v for c, v in zip(columns, x)) for row in rows]

    def rescaled(self, x, rows, limit):
        sums = self.sums(x, rows)
        return [
            clipped(half_up(total * self.multipliers[row], self.shift), limit)
            for total, row in zip(sums, rows)
        ]


class Norm:
    """An RMSNorm's gain with its shift, epsilon and limit, for tiny activations of 16 bits."""

    def __init__(self, dim):
        self.multipliers = [between(-LIMIT, LIMIT) for _ in range(dim)]
        self.shift = between(16, 18)
        self.epsilon = between(0, (1 << 30) - 1)
        self.limit = between(20000, LIMIT)

    def numbers(self):
        """In the shard header's order."""
        return [self.shift, self.epsilon, self.limit]

    def stored(self):
        """The gain as chips hold it."""
        return [multiplier + 32768 for multiplier in self.multipliers]


class TinyLayer:
    """One layer's matrices, shifts and limits; of activations of 16 bits some saturate."""

    def __init__(self, model):
        dim, units, head_dim = model.dim, model.units, model.head_dim
        q_rows, kv_rows = model.heads * head_dim, model.kv_heads * head_dim
        grown = bit_length(dim - 1) // 2  # a sum of n products grows as the root of n
        self.q = Matrix(q_rows, dim, 22 + grown)
        self.k = Matrix(kv_rows, dim, 22 + grown)
        self.v = Matrix(kv_rows, dim, 21 + grown)
        self.o = Matrix(dim, q_rows, 17 + grown)
        self.gate = Matrix(units, dim, 21 + grown)
        self.up = Matrix(units, dim, 21 + grown)
        self.down = Matrix(dim, units, 17 + grown)
        self.q_limit = self.k_limit = (1 << (31 - bit_length(head_dim - 1)) // 2) - 1
        self.v_limit = between(20000, LIMIT)
        self.score_shift = between(15, 17)
        self.index_shift = between(6, 9)
        self.product_shift = between(14, 16)
        self.limit = between(20000, LIMIT)
        self.keys = [[None] * model.context for _ in range(model.kv_heads)]
        self.values = [[None] * model.context for _ in range(model.kv_heads)]

    def numbers(self):
        """In the shard header's order."""
        return [
            self.q.shift, self.q_limit, self.k.shift, self.k_limit, self.v.shift, self.v_limit,
            self.score_shift, self.gate.shift, self.up.shift, self.index_shift,
            self.product_shift, self.limit, self.attention_norm.numbers(), self.o.shift,
            self.feed_forward_norm.numbers(), self.down.shift,
        ]  # fmt: skip


class TinyModel:
    """A random model of int8 weights, the same for the same seed."""

    def __init__(
        self, seed=1, dim=16, head_dim=4, heads=4, kv_heads=2, units=11, rows=13, layers=2,
        context=40, positions=2, int8_kv=False,
    ):  # fmt: skip
        random.seed(seed)
        self.dim, self.head_dim, self.heads, self.kv_heads = dim, head_dim, heads, kv_heads
        self.units, self.rows, self.context, self.positions = units, rows, context, positions
        self.int8_kv = int8_kv
        self.layers = [TinyLayer(self) for _ in range(layers)]
        self.classifier = Matrix(rows, dim, 20 + bit_length(dim - 1) // 2)
        for layer in self.layers:
            layer.attention_norm, layer.feed_forward_norm = Norm(dim), Norm(dim)
        self.final_norm = Norm(dim)
        self.logit_exponent = 9
        angles = [10000.0 ** (-2 * i / head_dim) for i in range(head_dim // 2)]
        self.rope = [[round(f(a) * (1 << 30)) for f in (math.cos, math.sin)] for a in angles]

    def activations(self, count=1):
        """Random int16 activations [count, dim]."""
        return [[between(-LIMIT, LIMIT) for _ in range(self.dim)] for _ in range(count)]

    def attention(self, index, position, x, heads):
        """The partial sums [dim] of these heads; K and V of all join the model's own cache."""
        layer, size = self.layers[index], self.head_dim
        turns = self._turns(position)
        for kv_head in range(self.kv_heads):
            rows = self._rows_of(kv_head)
            k = layer.k.rescaled(x, rows, layer.k_limit)
            k = _rotated(k, turns, layer.k_limit)
            v = layer.v.rescaled(x, rows, layer.v_limit)
            layer.keys[kv_head][position] = self._cached(k)
            layer.values[kv_head][position] = self._cached(v)
        columns, means = [], []
        for head in heads:
            columns.extend(self._rows_of(head))
            kv_head = head * self.kv_heads // self.heads
            q = layer.q.rescaled(x, self._rows_of(head), layer.q_limit)
            q = _rotated(q, turns, layer.q_limit)
            keys = layer.keys[kv_head][: position + 1]
            weights = _softmax([_dot(q, k) for k in keys], layer.score_shift)
            values = layer.values[kv_head][: position + 1]
            means.extend(_mean(weights, [v[j] for v in values]) for j in range(size))
        return layer.o.sums(means, range(self.dim), columns)

    def feed_forward(self, index, x, units):
        """The partial sums [dim] of these feed-forward units."""
        layer, hidden = self.layers[index], []
        gates = layer.gate.rescaled(x, units, LIMIT)
        ups = layer.up.rescaled(x, units, LIMIT)
        for gate, up in zip(gates, ups):
            sigmoid = SIGMOID_TABLE[max(0, min(1023, half_up(gate, layer.index_shift) + 512))]
            silu = half_up(gate * sigmoid, 15)
            hidden.append(clipped(half_up(silu * up, layer.product_shift), layer.limit))
        return layer.down.sums(hidden, range(self.dim), units)

    def logits(self, x, rows):
        """The logits of these rows of the vocabulary."""
        return self.classifier.rescaled(x, rows, LIMIT)

    def _cached(self, row):
        """A key or value as caches give it back."""
        numbers, shift = narrowed(row) if self.int8_kv else (row, 0)
        return [number << shift for number in numbers]

    def _rows_of(self, head):
        return range(head * self.head_dim, (head + 1) * self.head_dim)

    def _turns(self, position):
        """(cosine, sine) of each pair in units of 2**-14: those of position % 32 and of the
        multiple of 32 before it, each rounded, composed and rounded again."""
        turns = []
        for step in self.rope:
            c, s = turn(step, position % 32)
            far_c, far_s = turn(step, position // 32 * 32)
            turns.append((half_up(c * far_c - s * far_s, 14), half_up(c * far_s + s * far_c, 14)))
        return turns


def turn(step, times):
    """(cosine, sine) in units of 2**-14 after so many rotations by a step in units of 2**-30."""
    c, s = 1 << 30, 0
    for _ in range(times):
        c, s = half_up(c * step[0] - s * step[1], 30), half_up(c * step[1] + s * step[0], 30)
    return half_up(c, 16), half_up(s, 16)


def _rotated(vector, turns, limit):
    out = []
    for i, (c, s) in enumerate(turns):
        even, odd = vector[2 * i], vector[2 * i + 1]
        out.append(clipped(half_up(even * c - odd * s, 14), limit))
        out.append(clipped(half_up(even * s + odd * c, 14), limit))
    return out


def _dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def _softmax(scores, shift):
    """Weights of 15 bits whose sum has about 15 bits too."""
    highest = max(scores)
    distances = [(highest - score) >> shift for score in scores]
    weights = [EXP_TABLE[d % 512] >> min(d // 512, 16) for d in distances]
    excess = max(bit_length(sum(weights) - 1) - 15, 0)
    return [half_up(weight, excess) for weight in weights]


def _mean(weights, values):
    total = sum(weights)
    return (_dot(weights, values) + total // 2) // total
