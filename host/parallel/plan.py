"""A plan: which heads, feed-forward units, vocabulary rows and layers each chip owns.

Strategies (host/parallel/strategies/) make plans; here is what a plan says, and what a strategy
has to say of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

from host.model.checkpoint import Config
from host.model.outline import Divisible
from host.model.sampling import count_candidates
from host.parallel.assignment import LocalSizes
from host.parallel.flash import flash_bytes, resident_entries
from host.parallel.heap import HeapNeed, padding_bytes
from host.parallel.parallelism import ALL_REDUCED, Link, Parallelism
from host.parallel.shape import Shape
from host.parallel.synchronization import Synchronization, Widths

MAX_CHIPS = 254  # ids 0 to 253 on the wire


@dataclass(frozen=True)
class Shard:
    """One chip's part of every layer of its stage and of the vocabulary, by global indices.

    elements: of the residual stream, which the chip finishes where chips exchange by all-gather.
    """

    chip: int
    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    units: range
    rows: range
    elements: range = range(0)


@dataclass(frozen=True)
class Stage:
    """Whole layers and the group of chips that holds them; shape: what these have in common."""

    layers: range
    chips: range
    shape: Shape


@dataclass(frozen=True)
class Resources:
    """What a plan may count with: bytes of each chip's heap, how fast each chip is (as clocks or
    by any other measure), the link, and the positions wanted, None for all that the model allows.
    uart_heaps: what the heaps would be over serial lines, None where that is not known; flash: as
    Shape's.
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

    shape: of all chips together; stages: one at least, in the order of their layers; shards: in
    the order of chip ids; strategy: the one that made the plan; resident: bytes of each chip's
    heap in which matrices of its flash stay, nothing where on none they do.
    """

    parallelism: Parallelism
    strategy: Strategy
    shape: Shape
    stages: tuple[Stage, ...]
    shards: tuple[Shard, ...]
    resident: tuple[int, ...] = ()

    @property
    def config(self) -> Config:
        """The model's dimensions."""
        return self.shape.config

    @property
    def link(self) -> Link:
        """Between the chips, and to the host."""
        return self.shape.link

    @property
    def chips(self) -> int:
        """How many chips there are."""
        return len(self.shards)

    @property
    def context(self) -> int:
        """Positions that the KV caches hold."""
        return self.shape.context

    @property
    def positions(self) -> int:
        """How many positions of a prompt go into one request at most."""
        return self.shape.positions

    @property
    def scored(self) -> int:
        """Of how many positions of one request every chip can answer with all logits."""
        return min(self.shape.scored(len(shard.rows)) for shard in self.shards)

    def most_scored(self, greedy: bool) -> int:
        """Of how many positions of one request every chip can answer with what is wanted."""
        if greedy and not count_candidates(self.config.vocab_size):
            return self.positions
        return self.scored

    @property
    def slots(self) -> int:
        """Sequences whose keys and values are held at once."""
        return self.shape.slots

    def stage_of(self, chip: int) -> Stage:
        """The stage that a chip belongs to. Raises IndexError for a chip that is not there."""
        for stage in self.stages:
            if chip in stage.chips:
                return stage
        raise IndexError(f"no chip {chip} among {self.chips}")

    def group(self, layer: int) -> range:
        """The chips that have a part in a layer. Raises IndexError for one that is not there."""
        for stage in self.stages:
            if layer in stage.layers:
                return stage.chips
        raise IndexError(f"no layer {layer} among {self.config.layers}")

    def local_sizes(self, shard: Shard) -> LocalSizes:
        """How much of a layer a chip's shard is."""
        counts = len(shard.heads), len(shard.kv_heads), len(shard.units)
        return LocalSizes(*counts, self.config.head_dim)

    def block(self, chip: int) -> int:
        """Bytes of flash that a chip reads at once, 0 where its weights lie in its heap."""
        return self.stage_of(chip).shape.block(chip)

    def flash_need(self, shard: Shard, padding: int) -> int:
        """Bytes of a chip's partition for weights that its shard takes at most, 0 where its
        weights lie in its heap."""
        if not self.block(shard.chip):
            return 0
        shape = self.stage_of(shard.chip).shape
        size = flash_bytes(shape.config, self.local_sizes(shard), len(shard.rows), padding)
        return size + self.strategy.rounding_bytes(shape, padding)

    def filling(self, shard: Shard, padding: int) -> int:
        """How many bytes more of its heap a chip's shard takes where its matrices are filled up,
        beside its heap_need."""
        if self.block(shard.chip):
            return (self.config.layers + 1) * padding  # behind multipliers alone
        sizes, stage = self.local_sizes(shard), self.stage_of(shard.chip)
        size = padding_bytes(self.config, len(stage.layers), sizes, len(shard.rows), padding)
        return size + self.strategy.rounding_bytes(stage.shape, padding)

    def heap_need(self, shard: Shard) -> HeapNeed:
        """What a chip's shard takes of its heap."""
        shape, sizes = self.stage_of(shard.chip).shape, self.local_sizes(shard)
        need = self.strategy.heap_need(shape, shard.chip, sizes, len(shard.rows))
        need = self.strategy.settle_need(shape, shard, need)
        if not (resident := self.resident_room(shard.chip)):
            return need
        entries = resident_entries(shape.config, sizes, len(shard.elements))
        return replace(need, weights=need.weights + resident + entries)

    def resident_room(self, chip: int) -> int:
        """Bytes of a chip's heap in which matrices of its flash stay."""
        return self.resident[chip] if self.resident else 0


class Strategy(ABC):
    """How a model can be divided: how it partitions, what it takes of a heap, its traffic, and by
    name the executor on the host and the role on a chip that run it.

    name, reduce, exchange: as in a Parallelism; summary: what chips do, in words; executor: a
    module of host/executors/; role: a module of firmware/roles/; keeps_residual: whether chips
    keep replicas of the residual stream, and so need all norms; collectives: of a layer, among the
    chips of a group; narrowest: elements of a residual stream for which it is considered.
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
        """What the planner considers for a model of so many layers on so many chips; nothing where
        another strategy gives the same."""

    @abstractmethod
    def make_parallelism(self, layers: int, chips: int, stages: int | None) -> Parallelism:
        """What a user asks for by this strategy's name; stages: as given, None for the usual.

        Raises ParallelError for stages where the user cannot choose them.
        """

    @abstractmethod
    def describe_options(self, parallelism: Parallelism) -> str:
        """The command line's options that ask for this."""

    @abstractmethod
    def describe(self, parallelism: Parallelism) -> str:
        """What it is, in a few words."""

    @abstractmethod
    def partition(
        self,
        model: Divisible,
        parallelism: Parallelism,
        resources: Resources,
        *,
        strict: bool = False,
    ) -> Plan:
        """The model divided among the chips.

        strict: whether heads, KV heads and units must be divisible by the number of chips.
        Raises ModelError for what cannot be, ParallelError where `strict` finds a remainder, and
        DoesNotFit where the heaps are too small.
        """

    def element_bits(self, model: Divisible) -> int:
        """Bits of the widest element that chips send."""
        return model.accumulator_bits

    def exchange_banks(self, shape: Shape) -> int:
        """In how many banks a chip's part of a collective goes (protocol/wide_collective.py), 0
        for one that is too long."""
        return 1

    def most_units(self, shape: Shape) -> int:
        """How many feed-forward units a chip may have."""
        return shape.config.hidden_dim

    def rounding_bytes(self, shape: Shape, padding: int) -> int:
        """How many bytes more a chip's matrices take at most than columns in proportion to its
        heads and units would."""
        return 0

    @abstractmethod
    def request_positions(self, dim: int, size: int) -> int:
        """How many positions a request of `size` bytes of payload can carry."""

    @abstractmethod
    def goes_in_a_frame(self, shape: Shape) -> bool:
        """Whether each message of a request of so many positions is one frame."""

    @abstractmethod
    def request_frame(self, shape: Shape) -> int:
        """Bytes that the longest message that asks a chip for work would have as one frame."""

    @abstractmethod
    def answer_frame(self, shape: Shape, rows: int) -> int:
        """Bytes that the longest answer of a chip with `rows` rows of the vocabulary would have as
        one frame."""

    @abstractmethod
    def heap_need(self, shape: Shape, chip: int, sizes: LocalSizes, rows: int) -> HeapNeed:
        """What a chip with so much of each layer, and so many vocabulary rows, needs."""

    def settle_need(self, shape: Shape, shard: Shard, need: HeapNeed) -> HeapNeed:
        """What a chip needs of its heap, at most `need`, once all is dealt."""
        return need

    @abstractmethod
    def received_frame(self, shape: Shape) -> int:
        """Bytes of the longest frame that comes to a chip on UART."""

    @abstractmethod
    def sent_frame(self, shape: Shape, rows: int) -> int:
        """Bytes of the longest frame that a chip on UART with so many rows sends."""

    @abstractmethod
    def uart_rxbuf(self, shape: Shape) -> int:
        """Bytes of the serial line's receive buffer."""

    @abstractmethod
    def radio_rxbuf(self, shape: Shape, gateway: bool) -> int:
        """Bytes of ESP-NOW's receive buffer."""

    @abstractmethod
    def synchronizations(
        self, plan: Plan, greedy: bool, widths: Widths, rows: int = 1
    ) -> Sequence[Synchronization]:
        """Those of one token that is generated, in order, while nothing is lost.

        greedy: whether chips that can answer with their best token do so, or with all logits;
        rows: positions that are run and scored together, as with drafts, at most plan.positions.
        """
