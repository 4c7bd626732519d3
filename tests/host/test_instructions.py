"""Modelled instructions, held to those that emulated chips executed."""

from dataclasses import replace
from functools import cache

import pytest

from host.model.checkpoint import Config
from host.model.loading import load_model
from host.parallel.cost.instructions import (
    DRIVER,
    chip_instructions,
)
from host.parallel.cost.kernel_costs import KERNELS
from host.parallel.parallelism import (
    ALL_REDUCE,
    Link,
    pipeline,
)
from host.parallel.partition import partition
from host.paths import HOME_MODEL
from tests.host.grouped_models import grouped_checkpoint, grouped_model
from tests.host.tokens import (
    busiest,
    token_of,
)
from tests.plans import tensor_plan

WIDER = Config(
    dim=96, hidden_dim=288, layers=4, heads=4, kv_heads=2, vocab_size=256, context=64, head_dim=32
)
# Instructions of the busiest chip by chips and position, on rv32imc: emulated, as
# `python -m bench chip` counts them, where the host reduces and where chips do.
BY_HOST = {
    (1, 16): 2_511_163,
    (1, 128): 3_043_241,
    (1, 256): 3_542_547,
    (5, 16): 948_364,
    (5, 128): 1_088_226,
    (5, 256): 1_204_456,
}
# The same of rv32im, native kernels, with the model's own weights. And of the shipped model at
# position 3, as bench/bounds.json has them: by who adds, and whether frames are signed; and of the
# busiest stage of five, and of all together.
NATIVE = {1: 1_262_840, 5: 367_810}
NATIVE_HOME = {("host", False): 322_422, ("host", True): 789_736, ("chips", False): 572_597}
NATIVE_STAGES = {False: (351_141, 1_233_696), True: (420_013, 1_552_186)}
# Of WIDER with weights in groups, at position 16, by kernels and chips: emulated, as
# tests/bench/test_grouped_chips.py counts them.
GROUPED = {
    ("rv32im", 1): 2_104_825,
    ("rv32im", 3): 879_989,
    ("rv32imc", 1): 5_666_721,
    ("rv32imc", 3): 2_514_425,
}
# Of all exchanges of the shipped model's layers but the first's, at position 3, by whether frames
# are signed: of a chip of five that reads blocks of 7,808 bytes from flash, without the copying.
IN_BLOCKS = {False: 1_224_000, True: 2_128_000}
# What they take more, with frames that are not signed, where bytecode exchanges.
MORE_IN_BYTECODE = 885_000
BY_CHIPS = {(5, 16): 2_614_283, (5, 128): 2_753_377, (5, 256): 2_864_563}


@pytest.fixture(scope="module")
def home():
    return load_model(HOME_MODEL).quantize()


@cache
def wider_in_groups():
    return grouped_model(grouped_checkpoint(WIDER))


@pytest.mark.parametrize(
    ("reduce", "chips", "position", "instructions"),
    [("host", *where, count) for where, count in BY_HOST.items()]
    + [("chips", *where, count) for where, count in BY_CHIPS.items()],
)
def test_instructions_are_those_of_emulated_chips(stories, reduce, chips, position, instructions):
    plan = tensor_plan(stories, chips, reduce=reduce)
    assert busiest(plan, position) == pytest.approx(instructions, rel=0.03)


@pytest.mark.parametrize(("chips", "instructions"), NATIVE.items())
def test_instructions_are_those_of_emulated_native_chips(stories, chips, instructions):
    plan = tensor_plan(stories, chips)
    assert busiest(plan, 128, KERNELS["rv32im"]) == pytest.approx(instructions, rel=0.03)


@pytest.mark.parametrize(("of", "instructions"), GROUPED.items())
def test_instructions_of_weights_in_groups_are_those_of_emulated_chips(of, instructions):
    kernels, chips = of
    plan = tensor_plan(wider_in_groups(), chips)
    assert busiest(plan, 16, KERNELS[kernels]) == pytest.approx(instructions, rel=0.03)


@pytest.mark.parametrize(("how", "instructions"), NATIVE_HOME.items())
def test_instructions_of_the_home_model_are_those_of_native_chips(home, how, instructions):
    reduce, signed = how
    plan = tensor_plan(home, 5, reduce=reduce, signed=signed)
    assert busiest(plan, 3, KERNELS["rv32im"]) == pytest.approx(instructions, rel=0.03)


@pytest.mark.parametrize("signed", [False, True])
def test_instructions_of_stages_are_those_of_native_chips(home, signed):
    link = Link("uart", "pins", None, signed)
    plan = partition(home, 5, parallelism=pipeline(5), link=link)
    by_stage = [
        sum(chip_instructions(plan, chip, each, 3, KERNELS["rv32im"]) for each in token_of(plan))
        for chip in range(5)
    ]
    assert (max(by_stage), sum(by_stage)) == pytest.approx(NATIVE_STAGES[signed], rel=0.03)


@pytest.mark.parametrize(("signed", "instructions"), IN_BLOCKS.items())
def test_instructions_of_exchanges_between_blocks_are_those_of_emulated_chips(
    home, signed, instructions
):
    """But for what the driver is assumed to take of reading two blocks for each."""
    plan = partition(
        home, 5, parallelism=replace(ALL_REDUCE, weights="flash"), flash=(1 << 22,) * 5,
        link=Link("uart", "pins", None, signed),
    )  # fmt: skip
    token = [each for each in token_of(plan) if 0 < each.layer < home.config.layers]
    assert len(token) == 2 * (home.config.layers - 1)
    costs = KERNELS["rv32im"]
    modelled = sum(chip_instructions(plan, 0, each, 3, costs) - 2 * DRIVER for each in token)
    assert modelled == pytest.approx(instructions, rel=0.05)
    if not signed:
        costs = replace(costs, lacks_psram=True)
        small = sum(chip_instructions(plan, 0, each, 3, costs) - 2 * DRIVER for each in token)
        assert small - modelled == pytest.approx(MORE_IN_BYTECODE, rel=0.05)
