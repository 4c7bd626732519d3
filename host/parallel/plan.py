"""A plan: which heads, feed-forward units, vocabulary rows and layers each chip has.

Strategies (host/parallel/strategies/) make plans. This module has the classes Plan and Strategy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

from host.model.checkpoint import Config
from host.model.outline import Divisible
from host.model.sampling import count_candidates
from host.parallel.assignment import LocalSizes
from host.parallel.flash import ahead_bytes, chunk_bytes, flash_bytes, resident_entries
from host.parallel.heap import (
    MAPPED_CODE,
    SIXTH_STRINGS,
    HeapNeed,
    alignment,
    padding_bytes,
)
from host.parallel.parallelism import ALL_REDUCED, FLASH_MAPPED, Link, Parallelism
from host.parallel.shape import Shape
from host.parallel.synchronization import Synchronization, Widths

MAX_CHIPS = 254  # ids 0 to 253 on the wire


@dataclass(frozen=True)
class Shard:
    """One chip's part of every layer of its stage and of the vocabulary, by global indices.

    elements: those of the residual stream that the chip finishes, if chips exchange by all-gather.
    """

    chip: int
    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    units: range
    rows: range
    elements: range = range(0)


@dataclass(frozen=True)
class Stage:
    """Whole layers, and the group of chips that holds them; shape: what these chips share."""

    layers: range
    chips: range
    shape: Shape


@dataclass(frozen=True)
class Resources:
    """What a plan may count with: bytes of each chip's heap, the speed of each chip (as a clock,
    or in any other unit), the link, and the positions wanted, None for all that the model allows.

    uart_heaps: what the heaps would be over serial lines, None if unknown; flash: that of Shape.
    """

    heaps: tuple[int, ...]
    speeds: tuple[int, ...]
    link: Link
    context: int | None = None
    uart_heaps: tuple[int, ...] | None = None
    flash: tuple[int, ...] = ()

    @property
    def chips(self) -> int:
        """How many chips there are."""
        return len(self.heaps)


@dataclass(frozen=True)
class Plan:
    """A division of a model among chips.

    shape: that of all chips together; stages: at least one, in the order of their layers; shards:
    in the order of chip ids; strategy: the one that made the plan; resident: bytes of each chip's
    heap in which matrices of its flash are kept, empty if that is none on all chips; ahead: of
    each chip, the number of large buffers into which it reads ahead what is not kept, 0 for two
    of a block; empty if it is 0 for all; rows_first: whether all chips keep the vocabulary's rows
    before other matrices.
    """

    parallelism: Parallelism
    strategy: Strategy
    shape: Shape
    stages: tuple[Stage, ...]
    shards: tuple[Shard, ...]
    resident: tuple[int, ...] = ()
    ahead: tuple[int, ...] = ()
    rows_first: bool = False

    @property
    def config(self) -> Config:
        """The model's dimensions."""
        return self.shape.config

    @property
    def link(self) -> Link:
        """The link between the chips, and to the host."""
        return self.shape.link

    @property
    def chips(self) -> int:
        """How many chips there are."""
        return len(self.shards)

    @property
    def context(self) -> int:
        """The number of positions that the KV caches hold."""
        return self.shape.context

    @property
    def positions(self) -> int:
        """The most positions in one request."""
        return self.shape.positions

    @property
    def scored(self) -> int:
        """The most positions of a request for which every chip can send all logits."""
        return min(self.shape.scored(len(shard.rows)) for shard in self.shards)

    def most_scored(self, greedy: bool) -> int:
        """Returns the most positions of a request for which every chip can send what is wanted;
        greedy: whether best tokens are enough."""
        if greedy and not count_candidates(self.config.vocab_size):
            return self.positions
        return self.scored

    @property
    def slots(self) -> int:
        """The number of sequences whose keys and values are held at the same time."""
        return self.shape.slots

    def stage_of(self, chip: int) -> Stage:
        """Returns the stage that a chip belongs to. Raises IndexError for an unknown chip."""
        for stage in self.stages:
            if chip in stage.chips:
                return stage
        raise IndexError(f"no chip {chip} among {self.chips}")

    def group(self, layer: int) -> range:
        """Returns the chips that take part in a layer. Raises IndexError for an unknown layer."""
        for stage in self.stages:
            if layer in stage.layers:
                return stage.chips
        raise IndexError(f"no layer {layer} among {self.config.layers}")

    def local_sizes(self, shard: Shard) -> LocalSizes:
        """Returns how much of a layer a chip's shard has."""
        counts = len(shard.heads), len(shard.kv_heads), len(shard.units)
        return LocalSizes(*counts, self.config.head_dim)

    def block(self, chip: int) -> int:
        """Returns the bytes of flash that a chip reads at once, 0 if its weights are in its
        heap."""
        return self.stage_of(chip).shape.block(chip)

    def flash_need(self, shard: Shard, padding: int) -> int:
        """Returns the most bytes that a chip's shard takes of its partition for weights, 0 if its
        weights are in its heap."""
        if not self.block(shard.chip):
            return 0
        shape = self.stage_of(shard.chip).shape
        size = flash_bytes(shape.config, self.local_sizes(shard), len(shard.rows), padding)
        return size + self.strategy.rounding_bytes(shape, padding)

    def filling(self, shard: Shard, padding: int) -> int:
        """Returns the bytes of heap, besides heap_need, that padding of a chip's matrices
        takes."""
        if self.block(shard.chip):
            # Only multipliers are padded.
            return (self.config.layers + 1) * alignment(self.config, padding)
        sizes, stage = self.local_sizes(shard), self.stage_of(shard.chip)
        size = padding_bytes(self.config, len(stage.layers), sizes, len(shard.rows), padding)
        return size + self.strategy.rounding_bytes(stage.shape, padding)

    def heap_need(self, shard: Shard) -> HeapNeed:
        """Returns what a chip's shard takes of its heap."""
        shape, sizes = self.stage_of(shard.chip).shape, self.local_sizes(shard)
        need = self.strategy.heap_need(shape, shard.chip, sizes, len(shard.rows))
        need = self.strategy.settle_need(shape, shard, need)
        resident = self.resident_room(shard.chip)
        if resident and not self.maps(shard.chip):
            resident += resident_entries(shape.config, sizes, len(shard.elements))
        more = ahead_bytes(shape.block(shard.chip)) if any(self.buffers(shard.chip)) else 0
        return replace(
            need,
            weights=need.weights + resident,
            buffers=need.buffers + more,
            code=need.code + self.mapping_bytes(shard),
        )

    def maps(self, chip: int) -> bool:
        """Returns whether a chip is to map its partition for weights."""
        return self.parallelism.weights == FLASH_MAPPED and self.block(chip) > 0

    def mapping_bytes(self, shard: Shard) -> int:
        """Returns the bytes of a chip's heap that mapping takes. A chip that maps needs no buffers
        for blocks, but they are counted too, because it must do with them otherwise."""
        if not self.maps(shard.chip):
            return 0
        config = self.stage_of(shard.chip).shape.config
        entries = resident_entries(config, self.local_sizes(shard), len(shard.elements))
        has_strings = self.link.has_radio or self.strategy.keeps_residual
        return MAPPED_CODE + entries + (0 if has_strings else SIXTH_STRINGS)

    def resident_room(self, chip: int) -> int:
        """Returns the bytes of a chip's heap in which matrices of its flash are kept."""
        return self.resident[chip] if self.resident else 0

    def buffers(self, chip: int) -> tuple[int, int]:
        """Returns the number of a chip's buffers for reading ahead, and the bytes of each; 0 and 0
        for two of a block."""
        count = self.ahead[chip] if self.ahead else 0
        return (count, chunk_bytes(self.block(chip))) if count else (0, 0)


class Strategy(ABC):
    """A way to divide a model: it makes plans, knows what they take of heaps and their traffic,
    and names the executor on the host and the role on chips that run them.

    name, reduce, exchange: as in Parallelism; summary: what chips do, as text; executor: a module
    of host/executors/; role: a module of firmware/roles/; keeps_residual: whether chips keep
    replicas of the residual stream, and so need all norms; collectives: their number in a layer
    among the chips of a group; narrowest: the fewest elements of a residual stream for which this
    strategy is considered.
    """

    name: str
    reduce: str
    exchange: str = ALL_REDUCED
    collectives = 2
    narrowest = 0
    summary: str
    executor: str
    role: str
    keeps_residual: bool

    @abstractmethod
    def candidates(self, layers: int, chips: int) -> tuple[Parallelism, ...]:
        """Returns the parallelisms that the planner considers for these numbers; none
        if another strategy gives the same."""

    @abstractmethod
    def make_parallelism(self, layers: int, chips: int, stages: int | None) -> Parallelism:
        """Returns the parallelism that a user gets by this strategy's name.

        stages: the user's, None for the usual number. Raises ParallelError if stages are given but
        cannot be chosen.
        """

    @abstractmethod
    def describe_options(self, parallelism: Parallelism) -> str:
        """Returns the command-line options for a parallelism."""

    @abstractmethod
    def describe(self, parallelism: Parallelism) -> str:
        """Returns a parallelism of this strategy in a few words."""

    @abstractmethod
    def partition(
        self,
        model: Divisible,
        parallelism: Parallelism,
        resources: Resources,
        *,
        strict: bool = False,
    ) -> Plan:
        """Returns the plan of the model on these chips.

        strict: whether heads, KV heads and units must be divisible by the number of chips.
        Raises ModelError for impossible values, ParallelError for a remainder if `strict`, and
        DoesNotFit if the heaps are too small.
        """

    def element_bits(self, model: Divisible) -> int:
        """Returns the bits of the widest element that chips send."""
        return model.accumulator_bits

    def exchange_banks(self, shape: Shape) -> int:
        """Returns how many banks a chip's contribution takes (protocol/wide_collective.py), 0 if
        it is too long for a collective."""
        return 1

    def most_units(self, shape: Shape) -> int:
        """Returns how many feed-forward units a chip may have."""
        return shape.config.hidden_dim

    def rounding_bytes(self, shape: Shape, padding: int) -> int:
        """Returns the most bytes that rounding adds to a chip's matrices, beyond columns in exact
        proportion to its heads and units."""
        return 0

    @abstractmethod
    def request_positions(self, dim: int, size: int) -> int:
        """Returns how many positions a request of `size` bytes of payload can carry."""

    @abstractmethod
    def goes_in_a_frame(self, shape: Shape) -> bool:
        """Returns whether each message of a request with all positions is one frame."""

    @abstractmethod
    def request_frame(self, shape: Shape) -> int:
        """Returns the bytes that the longest request to a chip would have as one frame."""

    @abstractmethod
    def answer_frame(self, shape: Shape, rows: int) -> int:
        """Returns the bytes that the longest answer of a chip with `rows` rows of the vocabulary
        would have as one frame."""

    @abstractmethod
    def heap_need(self, shape: Shape, chip: int, sizes: LocalSizes, rows: int) -> HeapNeed:
        """Returns what a chip needs with these sizes of each layer and `rows` vocabulary rows."""

    def settle_need(self, shape: Shape, shard: Shard, need: HeapNeed) -> HeapNeed:
        """Returns what a chip needs of its heap, at most `need`, once all work is distributed."""
        return need

    @abstractmethod
    def received_frame(self, shape: Shape) -> int:
        """Returns the bytes of the longest frame that a chip on UART receives."""

    @abstractmethod
    def sent_frame(self, shape: Shape, rows: int) -> int:
        """Returns the bytes of the longest frame that a chip on UART with `rows` rows sends."""

    @abstractmethod
    def uart_rxbuf(self, shape: Shape) -> int:
        """Returns the bytes of the serial line's receive buffer."""

    @abstractmethod
    def radio_rxbuf(self, shape: Shape, gateway: bool) -> int:
        """Returns the bytes of ESP-NOW's receive buffer."""

    @abstractmethod
    def synchronizations(
        self, plan: Plan, greedy: bool, widths: Widths, rows: int = 1
    ) -> Sequence[Synchronization]:
        """Returns the synchronizations of one generated token, in order, if no frame is lost.

        greedy: whether chips answer with their best tokens, if they can, not with all logits;
        rows: positions that are run and scored together, as with drafts, at most plan.positions.
        """
