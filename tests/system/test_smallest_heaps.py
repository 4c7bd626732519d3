"""Chips start with the smallest heaps that plans take, whatever the shapes of a model are."""

import random
from bisect import bisect_left
from dataclasses import replace

import pytest

from host.launch import SimulatedChips, open_cluster, simulated
from host.model.checkpoint import Config
from host.parallel.fitting import find_first_plan
from host.parallel.parallelism import (
    ALL_GATHER,
    ALL_REDUCE,
    HOST_REDUCE,
    Parallelism,
    hybrid,
    pipeline,
)
from host.parallel.refusal import DoesNotFit
from tests.host.tiny import seeded_model

MOST_KB = 1 << 16
PARALLELISMS = [
    HOST_REDUCE,
    ALL_REDUCE,
    ALL_GATHER,
    replace(HOST_REDUCE, weights="flash"),
    replace(ALL_REDUCE, weights="flash-mapped"),
    pipeline(2),
    hybrid(2),
]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives chips of wide models the time that they take for a request on a busy machine."""
    monkeypatch.setattr(simulated, "_TIMEOUT", 60.0)


def verify_start(
    config: Config,
    parallelism: Parallelism,
    chips: int,
    link: str,
    signed: bool,
    more: tuple[int, ...] = (0,),
) -> None:
    """Chips run with the smallest heap that is planned with, and with so many kilobytes more."""
    model = seeded_model(config)

    def chips_with(heap_kb: int) -> SimulatedChips:
        return SimulatedChips.alike(
            chips, link, signed=signed, heap=heap_kb * 1024, parallelism=parallelism
        )

    def fits(heap_kb: int) -> bool:
        try:
            find_first_plan(model, chips_with(heap_kb).boards, parallelism)
        except DoesNotFit:
            return False
        return True

    smallest = bisect_left(range(MOST_KB), True, key=fits)
    assert fits(smallest)
    assert not fits(smallest - 1)
    for each in more:
        with open_cluster(model, chips_with(smallest + each)) as started:
            started.executor.begin()
            started.executor.forward([1, 5, 9, 22, 7, 3])


@pytest.mark.parametrize(
    ("config", "parallelism", "chips", "link"),
    [
        # A large shard, the digest of which is computed while garbage piles up.
        (Config(64, 1280, 4, 4, 2, 512, 64), HOST_REDUCE, 1, "uart"),
        # Objects of many blocks of columns, and long messages.
        (Config(2048, 40, 1, 4, 4, 300, 32, head_dim=8), HOST_REDUCE, 1, "uart"),
    ],
)
def test_the_smallest_heap_will_do(
    config: Config, parallelism: Parallelism, chips: int, link: str
) -> None:
    verify_start(config, parallelism, chips, link, False)


@pytest.mark.verify
@pytest.mark.parametrize("seed", range(36))
def test_the_smallest_heap_of_any_shape_will_do(seed: int) -> None:
    draw = random.Random(seed)
    parallelism = PARALLELISMS[seed % len(PARALLELISMS)]
    dim = draw.choice([64, 96, 160, 256, 480, 576, 1024, 2048, 4096])
    heads, is_wide = draw.choice([2, 4, 8]), dim > 600
    config = Config(
        dim=dim,
        hidden_dim=draw.choice([40, 96] if is_wide else [40, 172, 512, 1280]),
        layers=2 if is_wide else draw.choice([2, 4, 8]),
        heads=heads,
        kv_heads=draw.choice([heads, heads // 2]),
        vocab_size=draw.choice([64, 300, 512, 1024]),
        context=draw.choice([32, 64, 256]),
        head_dim=draw.choice([8, 16, 32]),
    )
    fixed = {"pipeline": 2, "hybrid": 4}
    chips = fixed.get(parallelism.strategy, draw.choice([1, 2, 3, 5]))
    more = (0, draw.randrange(1, 24), draw.randrange(24, 100))
    verify_start(
        config, parallelism, chips, draw.choice(["uart", "espnow"]), draw.random() < 0.5, more
    )
