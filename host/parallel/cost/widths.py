"""Measures the widths of the numbers that chips send, by running their shards in numpy."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from host.model.arithmetic import Ints
from host.model.quantized import QuantizedModel
from host.model.transformer import final_activation
from host.parallel.cost.recorded_text import TYPICAL_TOKENS, RecordedText
from host.parallel.plan import Plan
from host.parallel.sharded_model import ShardedModel
from host.parallel.sharding import head_rows
from host.parallel.synchronization import (
    FINISHED_ATTENTION,
    FINISHED_FEED_FORWARD,
    GATHERED_HEADS,
    GATHERED_UNITS,
    Widths,
)
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD

# What is exchanged of the residual stream after a phase.
_FINISHED = {PHASE_ATTENTION: FINISHED_ATTENTION, PHASE_FEED_FORWARD: FINISHED_FEED_FORWARD}


class SumWidths:
    """Runs a sequence; `widths` are those of the last token, or of the typical text.

    text: a recording for run_typical, which several plans of a model share.
    """

    def __init__(
        self, model: QuantizedModel, plan: Plan, text: RecordedText | None = None
    ) -> None:
        self.residual_bits = 0  # of the token's embedding
        self._residual: Ints = np.zeros(0, np.int64)
        self._residual_bits = [0] * (model.config.layers + 1)  # as it enters each layer
        self._model, self._plan, self._text = model, plan, text or RecordedText(model)
        self._position = 0
        self._parts: dict[tuple[int, int], list[Ints]] = {}

    @cached_property
    def _sharded(self) -> ShardedModel:
        return ShardedModel.of(self._model, self._plan)

    def run(self, token: int) -> int:
        """Runs one more token, and returns the most probable next one. Raises IndexError beyond
        the plan's context."""
        self._parts = {}
        self._residual = self._model.embedding[token].astype(np.int64)
        self.residual_bits = self._residual_bits[0] = _bits(self._residual)
        x = final_activation(self._model, [token], self)
        self._position += 1
        return int(np.concatenate(self._sharded.logits(x), axis=1)[0].argmax())

    def run_typical(self, tokens: int = TYPICAL_TOKENS) -> None:
        """Runs the model's own text of `tokens` tokens, at most the plan's context: `widths` are
        then the widest of all its tokens."""
        count, text, plan = min(tokens, self._plan.context), self._text, self._plan
        text.record(count)
        for index, layer in enumerate(self._model.layers):
            group, size = plan.group(index), self._model.config.head_dim
            owned = [shard if shard.chip in group else None for shard in plan.shards]
            heads = [head_rows(shard.heads if shard else (), size) for shard in owned]
            units = [np.asarray(shard.units if shard else (), np.intp) for shard in owned]
            for phase, gathered, linear, columns, given, after in (
                (PHASE_ATTENTION, GATHERED_HEADS, layer.o, heads, text.means(index, count), 1),
                (PHASE_FEED_FORWARD, GATHERED_UNITS, layer.down, units, text.hidden(index, count),
                 2),
            ):  # fmt: skip
                parts = [given[:, own] for own in columns]
                sums = [
                    linear._replace(weight=linear.weight[:, own]).product(part)
                    for own, part in zip(columns, parts, strict=True)
                ]
                finished = text.residual(2 * index + after, count)
                elements = [shard.elements for shard in plan.shards]
                self._parts[index, gathered] = list(map(_widest, parts))
                self._parts[index, phase] = list(map(_widest, sums))
                self._parts[index, _FINISHED[phase]] = [
                    _widest(finished[:, own.start : own.stop]) for own in elements
                ]
        self._residual_bits = [
            _bits(text.residual(2 * index, count)) for index in range(len(self._residual_bits))
        ]
        self.residual_bits = self._residual_bits[0]

    @property
    def widths(self) -> Widths:
        """The widths of the last token, or of the typical text."""
        return Widths(self._width, self.residual_bits, self.residual)

    def residual(self, layer: int) -> int:
        """Returns the bits of the widest element of the residual stream that enters a layer."""
        return self._residual_bits[layer]

    def _width(self, layer: int, phase: int, chip: int, elements: range) -> int:
        """Returns the bits of the widest of these elements of a chip's sums, or of what it sends
        in their place."""
        part = self._parts[layer, phase][chip].reshape(-1)
        return _bits(part[elements.start : elements.stop])

    def attention(self, layer: int, x: Ints) -> Ints:
        """Returns the total of the chips' sums, [n, dim]."""
        means = self._sharded.heads(layer, x, self._position)
        self._parts[layer, GATHERED_HEADS] = means
        parts = self._sharded.layers[layer].o.partial_sums(means)
        total: Ints = np.sum(parts, axis=0)
        self._residual = self._model.layers[layer].add_attention(self._residual, total)
        self._note(layer, PHASE_ATTENTION, parts)
        return total

    def feed_forward(self, layer: int, x: Ints) -> Ints:
        """Returns the total of the chips' sums, [n, dim]."""
        hidden = self._sharded.units(layer, x)
        self._parts[layer, GATHERED_UNITS] = hidden
        parts = self._sharded.layers[layer].down.partial_sums(hidden)
        total: Ints = np.sum(parts, axis=0)
        self._residual = self._model.layers[layer].add_feed_forward(self._residual, total)
        self._note(layer, PHASE_FEED_FORWARD, parts)
        self._residual_bits[layer + 1] = _bits(self._residual)
        return total

    def _note(self, layer: int, phase: int, parts: list[Ints]) -> None:
        """Keeps the sums of a phase, and the residual stream after it."""
        self._parts[layer, phase] = parts
        finished = self._residual.reshape(-1)
        self._parts[layer, _FINISHED[phase]] = [
            finished[shard.elements.start : shard.elements.stop]
            for shard in self._sharded.plan.shards
        ]


def _widest(values: Ints) -> Ints:
    """Returns for each column of [n, columns] a value as wide as its widest."""
    widest: Ints = _magnitude(values).max(axis=0)
    return widest


def _magnitude(values: Ints) -> Ints:
    """Returns non-negative values that are as wide in two's complement."""
    flipped: Ints = values ^ (values >> 63)
    return flipped


def _bits(values: Ints) -> int:
    """Returns what bits_needed of protocol/bitpack.py does."""
    return int(_magnitude(values.astype(np.int64)).max()).bit_length() + 1
