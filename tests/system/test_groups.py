"""Models with weights in groups of four bits, on simulated chips: logits are the reference's."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from host.launch import SimulatedChips, open_cluster, simulated
from host.model.quantization.caches import narrow_caches
from host.model.reference import Reference
from host.parallel import flash, padding
from host.parallel.parallelism import HOST_REDUCE, LINKS
from host.parallel.strategies import STRATEGIES
from host.parallel.strategies.pipeline import STRATEGY as PIPELINE
from tests.cover import Cover
from tests.host.grouped_models import CONFIG, MATRICES, grouped_checkpoint, grouped_model
from tests.simulation.native_standins import standin
from tests.system.test_every_mode import STARS, name_of
from tests.system.test_int8_caches import ONE, SEVERAL, TOKENS, assert_same_logits
from tests.system.test_native_kernels import NOTHING


@pytest.mark.parametrize("strategy", STRATEGIES, ids=name_of)
def test_logits_are_the_references(strategy):
    at = STRATEGIES.index(strategy)
    model = grouped_model(grouped_checkpoint(CONFIG, seed=at))
    assert_same_logits(model, strategy, 2 + at % 2, STARS[at % 2])


@pytest.mark.parametrize("strategy", STRATEGIES, ids=name_of)
def test_weights_in_flash_are_read_in_several_blocks(strategy, monkeypatch):
    monkeypatch.setattr(flash, "BLOCK", 512)
    monkeypatch.setattr(flash, "CHUNK", 3 * 512)
    at = STRATEGIES.index(strategy)
    model = grouped_model(grouped_checkpoint(CONFIG, seed=at))
    assert_same_logits(model, strategy, 3 - at % 2, STARS[at % 2], weights="flash")


# Of the matrices all, all but the output projection, all but those of feed-forward units' outputs;
# and with fewer groups of units than chips.
FEW_UNITS, NARROW_HEADS, OTHER_UNITS, MANY_LAYERS = CONFIGS = [
    replace(CONFIG, layers=3, hidden_dim=64, heads=4, kv_heads=2, head_dim=32),
    replace(CONFIG, layers=3, heads=4, kv_heads=2, head_dim=16),
    replace(CONFIG, layers=3, hidden_dim=80, head_dim=32),
    replace(CONFIG, layers=5, hidden_dim=160, dim=96, heads=3, kv_heads=3),
]
LEFT_OUT = {NARROW_HEADS: {"wo"}, OTHER_UNITS: {"w2"}}


@cache
def model_of(config, caches, drop):
    """Its residual stream gets coarser by `drop` bits in its second layer."""
    model = grouped_model(grouped_checkpoint(config))
    assert model.config.grouped == set(MATRICES) - LEFT_OUT.get(config, set())
    layers = list(model.layers)
    layers[1] = replace(layers[1], down_drop=drop)
    model = replace(model, layers=tuple(layers))
    return narrow_caches(model) if caches == "int8" else model


def is_possible(row):
    """Whether there is such a ring, where it is one."""
    strategy, chips, link, config = row[:4]
    return link != "ring" or (strategy == PIPELINE and chips <= config.layers)


TABLE = Cover(
    {
        "strategy": STRATEGIES, "chips": range(1, 7), "link": LINKS, "config": CONFIGS,
        "caches": ("int16", "int8"), "drop": (None, 5), "slots": (ONE, SEVERAL),
        "weights": ("heap", "flash"),
    },
    whole=("strategy", "chips", "link"),
    is_allowed=is_possible,
)  # fmt: skip


@pytest.mark.verify
@TABLE.parametrize(ids=name_of)
def test_the_table(strategy, chips, link, config, caches, drop, slots, weights):
    assert_same_logits(model_of(config, caches, drop), strategy, chips, link, slots, weights)


@pytest.mark.verify
@pytest.mark.parametrize("weights", ["heap", "flash"])
@pytest.mark.parametrize("wrong", [None, "matvec_groups_64"])
def test_native_kernels(monkeypatch, weights, wrong):
    """Chips prove them at their first start; those of one are wrong, and it runs viper's."""
    files = simulated.chip_files
    changed = {wrong: NOTHING} if wrong else {}

    def chip_files(model, plan, shard, arch, config, **more):
        of_chip = standin(**changed) if shard.chip == 1 else standin()
        return files(model, plan, shard, arch, config, of_chip, **more)

    monkeypatch.setattr(simulated, "chip_files", chip_files)
    model = model_of(FEW_UNITS, "int16", 5)
    parallelism = replace(HOST_REDUCE, weights=weights)
    of = SimulatedChips.alike(2, "uart", parallelism=parallelism)
    with open_cluster(model, of) as cluster:
        kernels = [chip.kernels for chip in cluster.statistics()]
        assert kernels == ["native", f"viper (native {wrong} is wrong)" if wrong else "native"]
        cluster.executor.begin()
        logits = cluster.executor.forward(TOKENS)
        np.testing.assert_array_equal(logits, Reference(model).logits([TOKENS])[0][-1])


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param(each, marks=pytest.mark.verify if at else ())
        for at, each in enumerate(STRATEGIES)
    ],
    ids=name_of,
)
def test_chips_restart_while_blocks_are_read_ahead(strategy, monkeypatch):
    """What was read before is not used again: also with int8 caches, and losses on the air."""
    monkeypatch.setattr(flash, "BLOCK", 512)
    monkeypatch.setattr(flash, "CHUNK", 1536)
    chips = 3

    def keep(plan, *_):
        return replace(plan, resident=(0, 3008, 0), ahead=(5,) * chips)

    monkeypatch.setattr(padding, "keep_resident", keep)
    at = STRATEGIES.index(strategy)
    model = narrow_caches(grouped_model(grouped_checkpoint(replace(CONFIG, layers=3), seed=at)))
    parallelism = strategy.make_parallelism(model.config.layers, chips, None)
    parallelism = replace(parallelism, weights="flash")
    of = SimulatedChips.alike(
        chips, "espnow", signed=True, parallelism=parallelism, loss=0.05, seed=at
    )
    expected = Reference(model).logits([TOKENS])[0]
    with open_cluster(model, of) as cluster:
        cluster.executor.begin()
        for place, token in enumerate(TOKENS):
            if place in (3, 7):
                cluster.simulation.chips[place % chips].restart()
            got = cluster.executor.forward([token])
            assert got.tolist() == expected[place].tolist()
        assert cluster.executor.recoveries >= 1
