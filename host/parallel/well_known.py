"""Well-known models by their published shapes, and how many boards each would take."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from host.errors import ModelError
from host.hardware.board import Board
from host.model.checkpoint import Config, count_parameters, quantized_bytes
from host.model.outline import Outline
from host.model.quantization.group_rows import list_divisible
from host.parallel.boards import BoardSet
from host.parallel.cost.estimate import Estimate, find_fastest
from host.parallel.fitting import find_leanest_chips, find_plans
from host.parallel.parallelism import ANYWHERE, HEAP, HOST_REDUCE, hybrid, pipeline

# Bits of partial sums, which are not known from shapes: the most.
_WIDEST_BITS = 32
# Hybrid too, because one head of all layers may be more than a board holds.
_TRIED = (HOST_REDUCE, hybrid(2))
MOST_ESTIMATED = 20  # boards, as in the largest clusters that the project is made for


@dataclass(frozen=True)
class WellKnown:
    """A model's shapes. is_shared: whether its classifier is its embedding."""

    name: str
    config: Config
    is_shared: bool = True

    @property
    def parameters(self) -> int:
        """The number of weights; a classifier that is the embedding is counted once."""
        shared = self.config.vocab_size * self.config.dim if self.is_shared else 0
        return count_parameters(self.config) - shared

    def in_groups(self) -> WellKnown:
        """Returns the model with all matrices in groups of four bits that can be; the classifier
        stays int8."""
        groups = " ".join(sorted(list_divisible(self.config)))
        return replace(self, config=replace(self.config, groups=groups))


# From the config.json or params.json published with each. All have Llama's layers.
MODELS = (
    WellKnown("stories15M", Config(288, 768, 6, 6, 6, 32_000, 256)),
    WellKnown("stories42M", Config(512, 1376, 8, 8, 8, 32_000, 1024)),
    WellKnown("stories110M", Config(768, 2048, 12, 12, 12, 32_000, 1024)),
    WellKnown("SmolLM2-135M", Config(576, 1536, 30, 9, 3, 49_152, 8192)),
    WellKnown("SmolLM2-360M", Config(960, 2560, 32, 15, 5, 49_152, 8192)),
    WellKnown(
        "Qwen3-0.6B",
        Config(1024, 3072, 28, 16, 8, 151_936, 40_960, head_dim=128, qk_norm=True),
    ),
    WellKnown("TinyLlama-1.1B", Config(2048, 5632, 22, 32, 4, 32_000, 2048), is_shared=False),
    WellKnown("Llama-3.2-1B", Config(2048, 8192, 16, 32, 8, 128_256, 131_072)),
    WellKnown("SmolLM2-1.7B", Config(2048, 8192, 24, 32, 32, 49_152, 8192)),
)


@dataclass(frozen=True)
class Need:
    """How many boards hold a model, and how fast they would be.

    chips: None if no number of them does; estimate: None if it is not modelled.
    """

    chips: int | None
    estimate: Estimate | None

    def as_dict(self) -> dict[str, Any]:
        """Returns the object for `--json`."""
        found = self.estimate
        return {
            "chips": self.chips,
            "options": found and found.options,
            "weights_in": found and list(found.places),
            "tokens_per_second": found and found.latency.tokens_per_second,
            "first_token_seconds": found and found.first_token,
            "limit": found and found.limit,
        }


@dataclass(frozen=True)
class BoardsNeeded:
    """How many boards of a kind a model needs. weight_bytes: of all chips together; fewest: with
    weights in heaps or flash; in_heaps: without flash."""

    model: WellKnown
    weight_bytes: int
    fewest: Need
    in_heaps: Need

    def as_dict(self) -> dict[str, Any]:
        """Returns the object for `--json`."""
        return {
            "model": self.model.name,
            "parameters": self.model.parameters,
            "weight_bytes": self.weight_bytes,
            "fewest": self.fewest.as_dict(),
            "in_heaps": self.in_heaps.as_dict(),
        }


def find_boards_needed(
    model: WellKnown, board: Board, link: str, context: int, baud: int | None = None
) -> BoardsNeeded:
    """Returns the fewest boards of a kind that hold a model.

    context: positions, at most the model's; baud: bits per second on serial lines, None for the
    board's. Raises BoardError for a link that the board does not have.
    """
    size = quantized_bytes(model.config)
    fewest, in_heaps = (
        _find_need(model, board, link, context, baud, weights) for weights in (ANYWHERE, HEAP)
    )
    return BoardsNeeded(model, size, fewest, in_heaps)


def _find_need(
    model: WellKnown, board: Board, link: str, context: int, baud: int | None, weights: str
) -> Need:
    """Returns the fewest boards with the strategy that takes least of each and, up to
    MOST_ESTIMATED boards, the estimate with the fastest strategy that fits them."""
    outline = Outline(model.config, _WIDEST_BITS)
    context = min(context, model.config.context)
    if link == "ring":
        chips = _find_shortest_ring(outline, board, context, weights)
    else:
        chips = find_leanest_chips(outline, board, context, link, weights, "pins", tried=_TRIED)
    if chips is None or chips > MOST_ESTIMATED:
        return Need(chips, None)
    signed = not board.is_simulated
    boards = BoardSet((board,) * chips, link, context, signed, "pins", weights=weights)
    boards = boards.with_line_baud(baud)
    return Need(chips, find_fastest(find_plans(outline, boards)[0], boards))


def _find_shortest_ring(outline: Outline, board: Board, context: int, weights: str) -> int | None:
    """Returns the fewest chips of a ring, at most one for each layer, that hold a model."""
    for chips in range(1, outline.config.layers + 1):
        signed = not board.is_simulated
        boards = BoardSet((board,) * chips, "ring", context, signed, "pins", weights=weights)
        with suppress(ModelError):
            boards.plan(outline, replace(pipeline(chips), weights=weights))
            return chips
    return None
