"""Computes the cost of tensor parallelism: bytes on the link, and the part of the weights on each
chip."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from host.errors import ParallelError
from host.parallel.assignment import LocalSizes
from host.parallel.heap import weight_bytes
from host.parallel.plan import Plan

# One after the output projection of attention, one after the feed-forward layer's down
# projection (Shoeybi et al., Megatron-LM, 2019). Each is a synchronization.
ALL_REDUCES_PER_BLOCK = 2


@dataclass(frozen=True)
class Communication:
    """The all-reduces of one step, in which `sequence` positions go through all layers.

    hidden: elements of the residual stream; element_bits: of a number on the link, 32 for float32
    or an accumulator that is not packed. Raises ParallelError for numbers below one.
    """

    sequence: int
    hidden: int
    layers: int
    element_bits: int = 32

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ParallelError(f"{name} is {value}, expected at least 1")

    @property
    def bytes_per_all_reduce(self) -> int:
        """The bytes of the tensor [sequence, hidden] of partial sums that is added up."""
        return -(-self.sequence * self.hidden * self.element_bits // 8)

    @property
    def bytes_per_block(self) -> int:
        """The bytes of all tensors that one transformer block reduces."""
        return ALL_REDUCES_PER_BLOCK * self.bytes_per_all_reduce

    @property
    def all_reduces(self) -> int:
        """Their number in a step."""
        return ALL_REDUCES_PER_BLOCK * self.layers

    @property
    def bytes_per_step(self) -> int:
        """The bytes of all tensors that a step reduces."""
        return self.layers * self.bytes_per_block

    def overhead(self, bandwidth: float, latency: float, transfers: float = 1) -> float:
        """Returns the seconds that a step waits for the link: all-reduces × (latency + transfers ×
        bytes / bandwidth).

        bandwidth: bytes per second; latency: seconds per all-reduce; transfers: how many times the
        bytes of a tensor pass over the link one after another: 1 if all ranks send at once, N if N
        ranks broadcast on one medium, 2 (N - 1) / N in a ring, 0 in a world of one. Raises
        ParallelError for impossible values.
        """
        if bandwidth <= 0 or latency < 0 or transfers < 0:
            raise ParallelError(
                f"a link of {bandwidth:g} bytes and {latency:g} s, {transfers:g} transfers: the"
                " bandwidth must be positive, the others at least 0"
            )
        if not transfers:
            return 0.0
        return self.all_reduces * (latency + transfers * self.bytes_per_all_reduce / bandwidth)


def weight_fractions(plan: Plan, replicated: int = 0) -> tuple[Fraction, ...]:
    """Returns what each chip holds of the model's weights and multipliers, in bytes, as a fraction
    of one whole copy.

    What several chips hold is counted for each: KV heads of a divided group, and `replicated`
    bytes that all chips hold. So the fractions add up to 1 or more, and are 1 / N at best.
    """
    config = plan.config
    layer = LocalSizes(config.heads, config.kv_heads, config.hidden_dim, config.head_dim)
    whole = replicated + weight_bytes(config, layer, config.vocab_size)
    return tuple(
        Fraction(plan.heap_need(shard).weights + replicated, whole) for shard in plan.shards
    )
