"""Pipeline parallelism: layers divided into stages, and the order in which work passes through
them.

The schedule is the forward half of GPipe (Huang et al., 2019): work is divided into micro-batches,
and in each clock every stage works on the micro-batch that the stage before it has just finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from host.errors import ParallelError
from host.parallel.assignment import even_blocks

Clock = list[tuple[int, int]]
_T = TypeVar("_T")


def stage_layers(layers: int, stages: int) -> list[range]:
    """Returns the layers of each stage: contiguous, as even as possible, with the remainder in the
    first stages.

    Raises ParallelError if a stage would have none.
    """
    if not 1 <= stages <= layers:
        raise ParallelError(f"{layers} layers cannot make {stages} stages, each of at least one")
    return even_blocks(layers, stages)


def forward_schedule(stages: int, micro_batches: int) -> list[Clock]:
    """Returns the (stage, micro-batch) pairs at work in each of stages + micro_batches - 1 clocks.

    Stage s works on micro-batch m in clock s + m, so no stage waits for another within a clock,
    and each stage takes micro-batches in order. Raises ParallelError for counts below one.
    """
    clocks: list[Clock] = [[] for _ in range(_clocks(stages, micro_batches))]
    for stage in range(stages):
        for micro_batch in range(micro_batches):
            clocks[stage + micro_batch].append((stage, micro_batch))
    return clocks


def bubble_ratio(stages: int, micro_batches: int) -> Fraction:
    """Returns the fraction of all stages' time in which they are idle: (S - 1) / (S + M - 1), if
    all work takes equally long. Raises ParallelError for counts below one."""
    return Fraction(stages - 1, _clocks(stages, micro_batches))


@overload
def split_batch(batch: NDArray[Any], micro_batches: int) -> list[NDArray[Any]]: ...
@overload
def split_batch(batch: Sequence[_T], micro_batches: int) -> list[Sequence[_T]]: ...
def split_batch(batch: Any, micro_batches: int) -> list[Any]:
    """Returns the micro-batches of `batch`, an array [n, ...] or a sequence of n: contiguous
    parts, as even as possible, larger ones first.

    Raises ParallelError if one would be empty.
    """
    if not 1 <= micro_batches <= len(batch):
        raise ParallelError(
            f"a batch of {len(batch)} cannot make {micro_batches} micro-batches, each of at least"
            " one"
        )
    return [batch[part.start : part.stop] for part in even_blocks(len(batch), micro_batches)]


def concatenate_batches(micro_batches: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Returns the batch [n, ...] of these micro-batches [n_i, ...], in their order.

    Raises ParallelError if there are none, and for shapes or dtypes that do not go together.
    """
    if not micro_batches:
        raise ParallelError("no micro-batches to concatenate")
    first = micro_batches[0]
    for part in micro_batches:
        if (part.shape[1:], part.dtype) != (first.shape[1:], first.dtype):
            raise ParallelError(
                f"a micro-batch of {part.dtype} {part.shape} does not follow one of"
                f" {first.dtype} {first.shape}"
            )
    return np.concatenate(micro_batches)


def _clocks(stages: int, micro_batches: int) -> int:
    if min(stages, micro_batches) < 1:
        raise ParallelError(
            f"{stages} stages and {micro_batches} micro-batches: at least one of each"
        )
    return stages + micro_batches - 1
