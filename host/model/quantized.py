"""The quantized model, which `quantize.py` makes, `reference.py` runs, and shards are cut from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from host.model.arithmetic import (
    GROUP_COLUMNS,
    GROUP_SHIFT,
    Gain,
    Ints,
    Rescale,
    add_residual,
    exp_table,
    grouped_matvec,
    matvec,
    sigmoid_table,
)
from host.model.checkpoint import Config

Matrix = NDArray[np.int8] | NDArray[np.int16]  # the latter in groups (groups.py)


def bound_norm(weight: Matrix) -> int:
    """Returns a bound of how much larger than the largest input an accumulator can be: the largest
    sum of the magnitudes in a row, in units of accumulators, and of what groups are rounded by."""
    norm = int(np.abs(weight.astype(np.int64)).sum(axis=1).max(initial=0))
    if weight.dtype == np.int8:
        return norm
    return -(-norm >> GROUP_SHIFT) + weight.shape[1] // GROUP_COLUMNS


class Linear(NamedTuple):
    """A weight [rows, columns] and the rescaling of its accumulators [rows]."""

    weight: Matrix
    rescale: Rescale

    def product(self, x: Ints) -> Ints:
        """Returns the accumulators [..., rows] of x [..., columns]."""
        if self.weight.dtype == np.int16:
            return grouped_matvec(self.weight.astype(np.int16, copy=False), x)
        return matvec(self.weight.astype(np.int8, copy=False), x)

    def largest_norm(self) -> int:
        """Returns how much larger than the largest input an accumulator can be."""
        return bound_norm(self.weight)


@dataclass(frozen=True)
class QuantizedLayer:
    """One transformer block. Limits are saturation bounds of the integers named."""

    attention_gain: Gain
    attention_limit: int
    q: Linear
    k: Linear
    v: Linear
    q_limit: int
    k_limit: int
    v_limit: int
    score_shift: int  # see arithmetic.attention_weights
    o: Linear
    feed_forward_gain: Gain
    feed_forward_limit: int
    gate: Linear
    up: Linear
    index_shift: int  # see arithmetic.swiglu
    product_shift: int
    hidden_limit: int
    down: Linear
    # The norms of each head's query and key before rope, if config.qk_norm; until then q and k are
    # int16.
    q_norm: Gain | None = None
    k_norm: Gain | None = None
    # Bits by which the residual stream's scale is coarser from the sums of o and of down on.
    o_drop: int | None = None
    down_drop: int | None = None

    def add_attention(self, residual: Ints, accumulator: Ints) -> Ints:
        """Returns the residual stream [..., dim] with the sums of o added."""
        return add_residual(residual, accumulator, self.o.rescale, self.o_drop or 0)

    def add_feed_forward(self, residual: Ints, accumulator: Ints) -> Ints:
        """Returns the residual stream [..., dim] with the sums of down added."""
        return add_residual(residual, accumulator, self.down.rescale, self.down_drop or 0)


@dataclass(frozen=True)
class QuantizedModel:
    """A whole model.

    `embedding` [vocab, dim] is in units of the residual stream, 2**-residual_exponent until a
    layer makes the stream coarser; logits are int16 in units of 2**-logit_exponent; `rope_steps`
    as arithmetic.rope_steps.
    """

    config: Config
    residual_exponent: int
    embedding: NDArray[np.int32]
    layers: tuple[QuantizedLayer, ...]
    final_gain: Gain
    final_limit: int
    classifier: Linear
    logit_exponent: int
    rope_steps: NDArray[np.int64]

    @cached_property
    def accumulator_bits(self) -> int:
        """The bits of the widest partial sum that a chip can send: a row's L1 norm times the
        largest input."""
        largest = 0
        for layer in self.layers:
            for linear, limit in ((layer.o, layer.v_limit), (layer.down, layer.hidden_limit)):
                largest = max(largest, linear.largest_norm() * limit)
        return largest.bit_length() + 1

    def sha256(self) -> bytes:
        """Returns the digest of every number in the model and in the tables that all models share.

        Models of equal digest, and only those, compute the same.
        """
        return self._digest

    @cached_property
    def _digest(self) -> bytes:
        digest = hashlib.sha256()
        for part in _iterate_parts((self, exp_table(), sigmoid_table())):
            digest.update(part)
        return digest.digest()


def _iterate_parts(value: Any) -> Iterator[bytes | memoryview]:
    if isinstance(value, np.ndarray):
        yield f"{value.dtype.str}{value.shape}".encode()
        yield np.ascontiguousarray(value).data
    elif is_dataclass(value):
        for field in fields(value):
            part = getattr(value, field.name)
            if part is not None and part is not False:  # what models of older kinds do not have
                yield from _iterate_parts(part)
    elif isinstance(value, tuple):
        for item in value:
            yield from _iterate_parts(item)
    else:
        yield repr(value).encode() + b";"
