"""Cuts weights into shards, and merges shards into weights again.

A shard carries the indices that it holds, so the same code cuts and merges contiguous blocks and
heads in any order, and parts that several ranks hold. A weight is an array of any shape and dtype,
or a quantized matrix (`Linear`), in which each row keeps its multiplier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from host.errors import ParallelError
from host.model.arithmetic import Rescale
from host.model.quantized import Linear
from host.parallel.assignment import check_rank, quotient

Array = NDArray[Any]
W = TypeVar("W", Array, Linear)


@dataclass(frozen=True, eq=False)
class WeightSlice(Generic[W]):
    """A part of a weight along one dimension.

    weight: of the whole weight's shape, but with len(indices) elements along `dim`; indices: their
    places in the whole, which has `size` of them.
    """

    weight: W
    dim: int
    indices: NDArray[np.intp]
    size: int


def shard_weight(
    weight: W,
    dim: int,
    rank: int | None = None,
    world_size: int | None = None,
    *,
    indices: ArrayLike | None = None,
) -> WeightSlice[W]:
    """Returns the shard of `weight` along dimension `dim` (negative: counted from the last).

    It is either the contiguous block of rank `rank` of `world_size`, or the elements at `indices`,
    in that order. Dimension 0 of a `Linear` is its rows, whose multipliers are cut too, and 1 its
    columns, for which the multipliers of all rows are kept. Raises ParallelError for a dimension,
    rank or index that does not exist, and for a length not divisible by `world_size`.
    """
    dim = _dimension(weight, dim)
    size = array_of(weight).shape[dim]
    if indices is not None:
        if rank is not None or world_size is not None:
            raise TypeError("give rank and world_size, or indices, not both")
        own = _checked(np.asarray(indices), size)
    else:
        if rank is None or world_size is None:
            raise TypeError("give rank and world_size, or indices")
        check_rank(rank, world_size)
        length = quotient(size, world_size, f"elements of dimension {dim}")
        own = np.arange(rank * length, (rank + 1) * length)
    return WeightSlice(_taken(weight, dim, own), dim, own, size)


def head_rows(heads: tuple[int, ...], head_dim: int) -> NDArray[np.intp]:
    """Returns the row (or column) indices of whole heads."""
    return (np.array(heads, np.intp)[:, None] * head_dim + np.arange(head_dim)).reshape(-1)


def merge_shards(shards: Sequence[WeightSlice[W]], dim: int) -> W:
    """Returns the weight of which `shards` are all parts along `dim`, in any order.

    Elements in several shards must be equal. Raises ParallelError if shards are missing, or belong
    to different weights.
    """
    if not shards:
        raise ParallelError("no shards to merge")
    first = shards[0]
    dim = _dimension(first.weight, dim)
    for shard in shards:
        if (shard.dim, shard.size) != (dim, first.size):
            raise ParallelError(
                f"a shard along dimension {shard.dim} of {shard.size} elements is not part of a"
                f" weight that has {first.size} along dimension {dim}"
            )
    kinds = {type(shard.weight).__name__ for shard in shards}
    if len(kinds) > 1:
        raise ParallelError(f"shards of mixed kinds: {' and '.join(sorted(kinds))}")
    if isinstance(first.weight, Linear):
        return _merged_linear(shards, dim)
    return _merged([shard.weight for shard in shards], shards, dim)


def _merged_linear(shards: Sequence[WeightSlice[Linear]], dim: int) -> Linear:
    rescales = [shard.weight.rescale for shard in shards]
    shifts = sorted({rescale.shift for rescale in rescales})
    if len(shifts) > 1:
        raise ParallelError(f"shards of mixed shifts: {shifts[0]} and {shifts[1]}")
    multipliers = [rescale.multiplier for rescale in rescales]
    if dim == 0:
        multiplier = _merged(multipliers, shards, 0)
    else:
        multiplier = multipliers[0]
        if not all(np.array_equal(multiplier, other) for other in multipliers):
            raise ParallelError("shards of the same rows have different multipliers")
    weight = _merged([shard.weight.weight for shard in shards], shards, dim)
    return Linear(weight, Rescale(multiplier, shifts[0]))


def _merged(arrays: Sequence[Array], shards: Sequence[WeightSlice[Any]], dim: int) -> Array:
    """Returns the array that has arrays[i] at shards[i].indices."""
    dtypes = sorted({str(array.dtype) for array in arrays})
    if len(dtypes) > 1:
        raise ParallelError(f"shards of mixed dtypes: {' and '.join(dtypes)}")
    size = shards[0].size
    shape = (*arrays[0].shape[:dim], size, *arrays[0].shape[dim + 1 :])
    whole, held = np.empty(shape, arrays[0].dtype), np.zeros(size, bool)
    for array, shard in zip(arrays, shards, strict=True):
        own = _checked(shard.indices, size)
        expected = (*shape[:dim], len(own), *shape[dim + 1 :])
        if array.shape != expected:
            raise ParallelError(
                f"a shard of shape {array.shape} does not match the others: expected {expected}"
            )
        place = (slice(None),) * dim + (own,)
        for at in np.flatnonzero(held[own]):
            if whole.take(own[at], dim).tobytes() != array.take(at, dim).tobytes():
                raise ParallelError(f"shards differ at index {own[at]} of dimension {dim}")
        whole[place] = array
        held[own] = True
    if not held.all():
        raise ParallelError(f"no shard holds index {held.argmin()} of dimension {dim}")
    return whole


def _taken(weight: W, dim: int, own: NDArray[np.intp]) -> W:
    if isinstance(weight, Linear):
        rescale = weight.rescale
        if dim == 0:
            rescale = rescale._replace(multiplier=rescale.multiplier[own])
        return Linear(weight.weight.take(own, dim), rescale)
    return weight.take(own, dim)


def array_of(weight: Array | Linear) -> Array:
    """Returns the array, or the integers of a quantized matrix."""
    return weight.weight if isinstance(weight, Linear) else weight


def _dimension(weight: Array | Linear, dim: int) -> int:
    """Returns `dim` counted from the first dimension."""
    shape = array_of(weight).shape
    if not -len(shape) <= dim < len(shape):
        raise ParallelError(f"a weight of shape {shape} has no dimension {dim}")
    return dim % len(shape)


def _checked(indices: Array, size: int) -> NDArray[np.intp]:
    """Returns indices [n], after checking that each is in 0 .. size - 1 and occurs once."""
    if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
        raise ParallelError(f"indices of shape {indices.shape} and dtype {indices.dtype}:"
                            " expected a list of whole numbers")  # fmt: skip
    own = indices.astype(np.intp)
    if own.size and not 0 <= own.min() <= own.max() < size:
        wrong = own.min() if own.min() < 0 else own.max()
        raise ParallelError(f"index {wrong} is not one of 0 to {size - 1}")
    if len(np.unique(own)) < len(own):
        raise ParallelError("an index is given twice")
    return own
