"""Layers whose weights are divided among workers, in numpy: what chips compute together.

A weight is [rows, columns], as in checkpoints: y = W x, and rows are output features. Dividing the
output features is called column-parallel (Shoeybi et al., Megatron-LM, 2019, who write Y = X A),
dividing the input features row-parallel. A quantized weight (`Linear`) takes and returns integers;
its accumulators are rescaled at the point where otherwise a bias is added.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Generic

import numpy as np
from numpy.typing import ArrayLike, NDArray

from host.errors import ParallelError
from host.model.arithmetic import rescale
from host.model.quantized import Linear
from host.parallel.sharding import Array, W, WeightSlice, array_of, merge_shards, shard_weight


def all_gather(
    parts: Sequence[Array], indices: Sequence[NDArray[np.intp] | range], size: int
) -> Array:
    """Returns the array [..., size] that has parts[i] [..., n_i] at indices[i]; they cover it."""
    whole = np.empty((*parts[0].shape[:-1], size), parts[0].dtype)
    for part, own in zip(parts, indices, strict=True):
        whole[..., np.asarray(own, np.intp)] = part
    return whole


def all_reduce(parts: Sequence[Array]) -> Array:
    """Returns the sum of at least one partial result, all of equal shape and dtype."""
    return functools.reduce(np.add, parts)


class ColumnParallelLinear(Generic[W]):
    """y = W x + bias [rows], the rows divided among workers, and the bias with them.

    shards: each worker's, cut along dimension 0. gather_output: whether the workers' outputs are
    concatenated. Raises ParallelError if the shards do not make up a weight.
    """

    def __init__(
        self,
        shards: Sequence[WeightSlice[W]],
        bias: Array | None = None,
        *,
        gather_output: bool = True,
    ) -> None:
        merge_shards(shards, 0)  # raises ParallelError if they do not make up a weight
        self.shards: Sequence[WeightSlice[W]] = shards
        self.rows = shards[0].size
        self.bias = _checked_bias(bias, self.rows)
        self.gather_output = gather_output

    @classmethod
    def split(
        cls,
        weight: W,
        owned: Iterable[ArrayLike],
        bias: Array | None = None,
        *,
        gather_output: bool = True,
    ) -> ColumnParallelLinear[W]:
        """Divides a whole weight [rows, columns]: worker i gets the rows owned[i]."""
        shards: list[WeightSlice[W]] = [shard_weight(weight, 0, indices=own) for own in owned]
        return cls(shards, bias, gather_output=gather_output)

    def __call__(self, x: Array) -> Array | list[Array]:
        """Returns y [..., rows] for x [..., columns], or each worker's [..., its rows]."""
        parts = self.parts(x)
        if not self.gather_output:
            return parts
        return all_gather(parts, [shard.indices for shard in self.shards], self.rows)

    def parts(self, x: Array) -> list[Array]:
        """Returns each worker's outputs [..., its rows] for x [..., columns]."""
        parts = [_finished(shard.weight, _product(shard.weight, x)) for shard in self.shards]
        if self.bias is None:
            return parts
        bias = self.bias
        return [part + bias[s.indices] for part, s in zip(parts, self.shards, strict=True)]


class RowParallelLinear(Generic[W]):
    """y = W x + bias [rows], the columns divided among workers; their partial sums are added up,
    and then, once, the bias.

    shards: each worker's, cut along dimension 1. Raises ParallelError if they do not make up a
    weight, with each column held once.
    """

    def __init__(self, shards: Sequence[WeightSlice[W]], bias: Array | None = None) -> None:
        rows = len(array_of(merge_shards(shards, 1)))
        held, columns = sum(len(shard.indices) for shard in shards), shards[0].size
        if held > columns:
            raise ParallelError(f"{columns} columns are held {held} times: each must be held once")
        self.shards: Sequence[WeightSlice[W]] = shards
        self.bias = _checked_bias(bias, rows)

    @classmethod
    def split(
        cls, weight: W, owned: Iterable[ArrayLike], bias: Array | None = None
    ) -> RowParallelLinear[W]:
        """Divides a whole weight [rows, columns]: worker i gets the columns owned[i]."""
        shards: list[WeightSlice[W]] = [shard_weight(weight, 1, indices=own) for own in owned]
        return cls(shards, bias)

    def __call__(self, x: Array | Sequence[Array]) -> Array:
        """Returns y [..., rows] for x [..., columns], or for each worker's part of x, as
        column-parallel workers compute it."""
        y = _finished(self.shards[0].weight, all_reduce(self.partial_sums(x)))
        return y if self.bias is None else y + self.bias

    def partial_sums(self, x: Array | Sequence[Array]) -> list[Array]:
        """Returns each worker's partial sum [..., rows]: accumulators, if the weight is
        quantized."""
        if isinstance(x, np.ndarray):
            x = [x[..., shard.indices] for shard in self.shards]
        return [_product(s.weight, part) for s, part in zip(self.shards, x, strict=True)]


def _product(weight: Array | Linear, x: Array) -> Array:
    """Returns W x: accumulators, if W is quantized."""
    return weight.product(x) if isinstance(weight, Linear) else x @ weight.T


def _finished(weight: Array | Linear, product: Array) -> Array:
    """Returns the sum of a row's products, rescaled if the weight is quantized."""
    return rescale(product, weight.rescale) if isinstance(weight, Linear) else product


def _checked_bias(bias: Array | None, rows: int) -> Array | None:
    if bias is not None and bias.shape != (rows,):
        raise ParallelError(f"a bias of shape {bias.shape} does not go with {rows} rows")
    return bias
