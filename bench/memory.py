"""Divides the use of a chip's heap into parts, and finds the largest model that five boards
hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from bench.chip import counted
from bench.results import Label, Row
from host.hardware.board import Board
from host.hardware.boards import load, names
from host.launch import SimulatedChips, open_cluster
from host.model.checkpoint import Config
from host.model.quantized import QuantizedModel
from host.parallel.assignment import ShardingPlan
from host.parallel.heap import HeapNeed, usable_heap
from host.parallel.parallelism import HOST_REDUCE, Link
from host.parallel.shape import Shape
from host.parallel.shaping import MAX_POSITIONS_RADIO
from host.parallel.strategies import find_strategy
from protocol.frame import MAX_PAYLOAD

CASES = (("uart", 1), ("uart", 5), ("espnow", 5))
# The family: stories260K made larger and smaller; with the widest partial sums that a message of
# one position carries.
FAMILY = "dim d, d/8 heads, d/16 KV heads, 8d/3 units, d/12 layers, 512 tokens, context 256"
_HEAD_DIM, _VOCABULARY, _CONTEXT = 8, 512, 256
_DIMS = range(16, 513, 16)
_SUM_BITS = 31
_CHIPS = 5


def figures(model: QuantizedModel, name: str) -> Iterator[Row]:
    """Returns rows of each case's fullest chip: the plan's parts, and what the chip reports."""
    for link, chips in CASES:
        with open_cluster(model, SimulatedChips.alike(chips, link)) as started:
            plan = started.executor.plan
            started.executor.begin()
            started.executor.forward([1, 2, 3])
            used = {
                chip: counters.heap_used
                for chip, counters in started.coordinator.statistics(collect=True).items()
            }
        needs = {shard.chip: plan.heap_need(shard) for shard in plan.shards}
        fullest = max(needs, key=lambda chip: needs[chip].kept)
        shape = f"{name} {link} {counted(chips)}, chip {fullest}"
        need = needs[fullest]
        for part, size in parts(need).items():
            yield Row(f"heap: {part}", "plan", shape, size, "bytes", Label.MODELLED)
        yield Row("heap: in use", "plan", shape, need.kept, "bytes", Label.MODELLED)
        yield Row("heap: in use", "simulated", shape, used[fullest], "bytes", Label.MEASURED)


def parts(need: HeapNeed) -> dict[str, int]:
    """Returns bytes by part, as host/parallel/heap.py divides a heap."""
    return {part.replace("_", " "): size for part, size in asdict(need).items()}


def of_family(dim: int) -> Config:
    """Returns the model of the family with this width."""
    return Config(
        dim=dim,
        hidden_dim=8 * dim // 3,
        layers=max(1, dim // 12),
        heads=dim // _HEAD_DIM,
        kv_heads=max(1, dim // _HEAD_DIM // 2),
        vocab_size=_VOCABULARY,
        context=_CONTEXT,
    )


def largest(board: Board) -> tuple[Config, int] | None:
    """Returns the largest model of the family that five such boards hold over radio, and its
    number of parameters; None if they hold none."""
    found = None
    for dim in _DIMS:
        config = of_family(dim)
        if _holds(config, board):
            found = config, parameters(config)
    return found


def figures_of_boards() -> Iterator[Row]:
    """Returns rows of the largest model for each board."""
    for board in map(load, names()):
        if board.is_simulated or not board.espnow:
            continue
        model = largest(board)
        for what, value in (
            ("largest model: dim", model[0].dim if model else 0),
            ("largest model: layers", model[0].layers if model else 0),
            ("largest model: parameters", model[1] if model else 0),
        ):
            yield Row(what, board.name, f"espnow {_CHIPS} chips", value, "", Label.MODELLED)


def parameters(config: Config) -> int:
    """Returns the number of parameters of a model with its embedding as the classifier."""
    attention = 2 * config.dim * (config.q_dim + config.kv_dim)
    layer = attention + 3 * config.dim * config.hidden_dim + 2 * config.dim
    return config.layers * layer + config.dim * (config.vocab_size + 1)


def _holds(config: Config, board: Board) -> bool:
    """Returns whether the boards hold it where units and rows are divided evenly."""
    room = 8 * MAX_PAYLOAD // (config.dim * _SUM_BITS)
    positions = min(MAX_POSITIONS_RADIO, room)
    link = Link("espnow", mtu=board.radio.mtu, gateway_code=board.gateway_code())
    shape = Shape(config, _CHIPS, _CONTEXT, positions, _SUM_BITS, link)
    even = ShardingPlan.from_config(config.heads, config.kv_heads, config.hidden_dim, _CHIPS)
    rows = -(-config.vocab_size // _CHIPS)
    needs = (
        find_strategy(HOST_REDUCE)
        .heap_need(shape, chip, even.local_sizes(chip, config.head_dim), rows)
        .total
        for chip in range(_CHIPS)
    )
    return positions > 0 and max(needs) <= usable_heap(
        board.planned_heap("espnow", is_signed=False)
    )
