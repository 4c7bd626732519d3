"""Assigns a layer's heads and feed-forward units to ranks.

A rank is one of the `world_size` workers that divide a layer among them: a chip of a federation,
or of one stage of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from host.errors import ParallelError


@dataclass(frozen=True)
class LocalSizes:
    """How much of a layer a rank holds: counts of query heads, KV heads and feed-forward units."""

    heads: int
    kv_heads: int
    intermediate: int
    head_dim: int

    @property
    def q_size(self) -> int:
        """Elements of the rank's queries at one position: the rows of its q, the columns of its
        o."""
        return self.heads * self.head_dim

    @property
    def kv_size(self) -> int:
        """Elements of its keys (or values) at one position."""
        return self.kv_heads * self.head_dim


@dataclass(frozen=True)
class ShardingPlan:
    """Each rank's part of every layer, by global indices: entry r of each field is rank r's."""

    heads: tuple[tuple[int, ...], ...]
    kv_heads: tuple[tuple[int, ...], ...]
    units: tuple[range, ...]

    @classmethod
    def from_config(
        cls,
        num_heads: int,
        num_kv_heads: int,
        ffn_dim: int,
        world_size: int,
        *,
        strict: bool = False,
        by_group: bool = False,
    ) -> ShardingPlan:
        """Returns the plan: heads by `assign_heads`, units in contiguous, nearly even blocks.

        strict: whether each number must be divisible by `world_size`. Raises ParallelError if one
        is not, naming both numbers, and for impossible numbers.
        """
        if strict:
            for count, name in (
                (num_heads, "heads"),
                (num_kv_heads, "KV heads"),
                (ffn_dim, "feed-forward units"),
            ):
                quotient(count, world_size, name)
            quotient(num_heads, num_kv_heads, "heads", "KV heads")
        heads = assign_heads(num_heads, num_kv_heads, world_size, by_group=by_group)
        kv_heads = (tuple(sorted({h * num_kv_heads // num_heads for h in own})) for own in heads)
        return cls(tuple(heads), tuple(kv_heads), tuple(even_blocks(ffn_dim, world_size)))

    @property
    def world_size(self) -> int:
        """The number of ranks."""
        return len(self.heads)

    @cached_property
    def head_counts(self) -> tuple[tuple[int, int], ...]:
        """The numbers of heads and KV heads that each rank holds."""
        return tuple(
            (len(heads), len(kv_heads))
            for heads, kv_heads in zip(self.heads, self.kv_heads, strict=True)
        )

    def local_sizes(self, rank: int, head_dim: int) -> LocalSizes:
        """Returns the sizes of what a rank holds. Raises ParallelError if there is no such
        rank."""
        check_rank(rank, self.world_size)
        return LocalSizes(
            len(self.heads[rank]), len(self.kv_heads[rank]), len(self.units[rank]), head_dim
        )


def assign_heads(
    heads: int, kv_heads: int, world_size: int, *, by_group: bool = False
) -> list[tuple[int, ...]]:
    """Assigns heads to ranks round-robin, as a chip's TPConfig does; returns each rank's indices.

    Whole KV groups are assigned, so that no KV head is held twice. If ranks outnumber KV heads,
    and the busiest rank then has fewer heads, single heads are, unless `by_group` is true. (If
    heads are no multiple of KV heads, head h belongs to group h * kv_heads // heads.) Raises
    ParallelError.
    """
    if not 1 <= kv_heads <= heads:
        raise ParallelError(f"{heads} heads cannot share {kv_heads} KV heads")
    check_world(world_size)
    edges = [_ceil(group * heads, kv_heads) for group in range(kv_heads + 1)]
    groups = [range(low, high) for low, high in itertools.pairwise(edges)]
    grouped = [
        tuple(itertools.chain.from_iterable(groups[rank::world_size]))
        for rank in range(world_size)
    ]
    if by_group or world_size <= kv_heads:
        return grouped
    single = [tuple(range(rank, heads, world_size)) for rank in range(world_size)]
    return min(grouped, single, key=lambda assigned: max(map(len, assigned)))


def even_blocks(total: int, parts: int) -> list[range]:
    """Divides 0 .. total - 1 into contiguous, nearly even parts, the larger ones first.

    Raises ParallelError for less than one part, or a negative total.
    """
    check_world(parts)
    if total < 0:
        raise ParallelError(f"{total} cannot be divided")
    return blocks(level(total, [total] * parts))


def level(total: int, room: Sequence[int], speeds: Sequence[int] | None = None) -> list[int]:
    """Divides `total` in proportion to `speeds`, or evenly, with at most room[i] for part i.

    A remainder goes to the parts that were rounded down most, the first of equals. The parts add
    up to less than `total` if there is not enough room.
    """
    speeds = [1] * len(room) if speeds is None else speeds
    parts = [0] * len(room)
    left = total
    open_parts = [i for i, size in enumerate(room) if size > 0]
    while open_parts:
        among = sum(speeds[i] for i in open_parts)
        full = [i for i in open_parts if left * speeds[i] >= room[i] * among]
        if not full:
            break
        for i in full:
            parts[i] = room[i]
        left -= sum(room[i] for i in full)
        open_parts = [i for i in open_parts if i not in full]
    for i in open_parts:
        parts[i] = left * speeds[i] // among
    cut = sorted(open_parts, key=lambda i: -(left * speeds[i] % among))
    for i in cut[: left - sum(parts[i] for i in open_parts)]:
        parts[i] += 1
    return parts


def blocks(counts: Sequence[int]) -> list[range]:
    """Returns contiguous ranges of these lengths, one after another from 0."""
    edges = [0, *itertools.accumulate(counts)]
    return [range(low, high) for low, high in itertools.pairwise(edges)]


def quotient(total: int, parts: int, name: str, of: str = "ranks") -> int:
    """Returns total / parts. Raises ParallelError, naming both, if that is not a whole number."""
    check_world(parts)
    if total % parts:
        raise ParallelError(f"{total} {name} are not divisible by {parts} {of}")
    return total // parts


def check_world(world_size: int) -> None:
    """Raises ParallelError for a world without ranks."""
    if world_size < 1:
        raise ParallelError(f"{world_size} parts: there must be at least one")


def check_rank(rank: int, world_size: int) -> None:
    """Raises ParallelError for a rank outside the world."""
    check_world(world_size)
    if not 0 <= rank < world_size:
        raise ParallelError(f"rank {rank} is not one of 0 to {world_size - 1}")


def _ceil(total: int, parts: int) -> int:
    return -(-total // parts)
