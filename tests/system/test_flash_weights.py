"""Chips that leave their weights in flash give the reference's logits, to the bit.

The default run takes a slice; `verify` runs every strategy on every link.
"""

from dataclasses import replace
from functools import partial

import pytest

from host.errors import ClusterError
from host.launch import SimulatedChips, open_cluster
from host.parallel import flash, padding
from host.parallel.parallelism import ALL_GATHER, ALL_REDUCE, HOST_REDUCE
from host.parallel.strategies import STRATEGIES
from host.simulation import chips
from tests.plans import stages_of
from tests.system.conftest import STEPS
from tests.system.reference_runs import assert_equals_reference
from tests.system.test_every_mode import STARS, TABLE, assert_same_text, how, name_of

BLOCK = 512  # bytes: with larger ones each of the small model's matrices is one block


def in_flash(of):
    """The same chips, with weights in flash."""
    return replace(of, parallelism=replace(of.parallelism, weights="flash"))


@pytest.fixture(autouse=True)
def blocks(monkeypatch):
    """Has matrices be read in several blocks."""
    monkeypatch.setattr(flash, "BLOCK", BLOCK)
    monkeypatch.setattr(flash, "CHUNK", 3 * BLOCK)


def partition_of(cluster, chip):
    """The file that is a simulated chip's partition."""
    return cluster.simulation.chips[chip].folder / "partition.bin"


SLICE = [(strategy, 3 + at, STARS[at % 2]) for at, strategy in enumerate(STRATEGIES)]


@pytest.mark.parametrize(("strategy", "chips", "link"), SLICE, ids=name_of)
def test_a_slice_of_the_strategies(model, runs, strategy, chips, link):
    of = in_flash(how(strategy, chips, link))
    with open_cluster(model, of) as cluster:
        assert all(cluster.executor.plan.block(chip) for chip in range(chips))
        assert_equals_reference(cluster.executor, runs[chips % 7], 24)


@pytest.mark.verify
@pytest.mark.timeout(600)
@TABLE.parametrize(ids=name_of)
def test_every_strategy(model, runs, strategy, chips, link, prompt):
    assert_same_text(model, runs, [prompt], STEPS, in_flash(how(strategy, chips, link)))


@pytest.mark.parametrize(
    ("parallelism", "link", "fault", "said"),
    [
        (HOST_REDUCE, "uart", "", "mapped"),
        (ALL_REDUCE, "espnow signed", "", "mapped"),
        (HOST_REDUCE, "espnow", "stale", "in blocks (SHA-256"),
        pytest.param(ALL_GATHER, "uart", "", "mapped", marks=pytest.mark.verify),
        pytest.param(stages_of(2, 5), "uart signed", "", "mapped", marks=pytest.mark.verify),
        pytest.param(HOST_REDUCE, "uart signed", "", "mapped", marks=pytest.mark.verify),
        pytest.param(stages_of(5, 5), "ring", "", "mapped", marks=pytest.mark.verify),
    ],
)
def test_mapped_partitions(model, runs, monkeypatch, parallelism, link, fault, said):
    """Five chips read their partitions in place; where what is mapped is wrong, in blocks."""
    environment = partial(chips.mapping_environment, fault=fault)
    monkeypatch.setattr(chips, "mapping_environment", environment)
    parallelism = replace(parallelism, weights="flash-mapped")
    link, _, signed = link.partition(" ")
    of = SimulatedChips.alike(5, link, signed=bool(signed), parallelism=parallelism)
    with open_cluster(model, of) as cluster:
        assert not any(map(cluster.executor.plan.resident_room, range(5)))
        assert all(ready.mapping.startswith(said) for ready in cluster.ready.values())
        assert_equals_reference(cluster.executor, runs[2], 24)
        assert {each.mapping for each in cluster.statistics()} == {
            ready.mapping for ready in cluster.ready.values()
        }


@pytest.mark.parametrize(
    ("parallelism", "link", "secure"),
    [
        (HOST_REDUCE, "espnow", True),
        pytest.param(ALL_REDUCE, "espnow", False, marks=pytest.mark.verify),
        pytest.param(stages_of(5, 5), "uart", False, marks=pytest.mark.verify),
        pytest.param(stages_of(2, 5), "uart", True, marks=pytest.mark.verify),
    ],
)
def test_losses_and_a_restart_in_the_middle(model, runs, parallelism, link, secure):
    """A chip that restarts opens its partition again, and verifies it."""
    of = SimulatedChips.alike(5, link, signed=secure, parallelism=parallelism, loss=0.1, seed=2)
    with open_cluster(model, in_flash(of)) as cluster:
        restart = cluster.simulation.chips[3].restart
        assert_equals_reference(
            cluster.executor, runs[1], 24, lambda at: restart() if at == 12 else None
        )
        assert cluster.executor.recoveries >= 1


def test_a_partition_that_is_damaged_while_a_chip_is_off_is_refused(model, runs):
    of = in_flash(SimulatedChips.alike(2, "uart", parallelism=HOST_REDUCE))
    with open_cluster(model, of) as cluster:
        assert_equals_reference(cluster.executor, runs[0], 6)
        chip, path = cluster.simulation.chips[1], partition_of(cluster, 1)
        content = bytearray(path.read_bytes())
        assert len(content) == of.board.weights_room
        content[9000] ^= 4
        path.write_bytes(content)
        chip.restart()
        with pytest.raises(ClusterError) as caught:
            cluster.executor.begin()
            cluster.executor.forward([1])
    assert "chip 1" in str(caught.value) and "the partition weights: SHA-256" in str(caught.value)
    assert "flash this chip again" in str(caught.value)


@pytest.mark.parametrize(
    ("parallelism", "link"),
    [
        (HOST_REDUCE, "uart"),
        pytest.param(ALL_REDUCE, "espnow", marks=pytest.mark.verify),
        pytest.param(ALL_GATHER, "uart", marks=pytest.mark.verify),
        pytest.param(stages_of(2, 5), "espnow", marks=pytest.mark.verify),
    ],
)
@pytest.mark.parametrize(("room", "ahead"), [(3_000, 5), (1 << 20, 0)])
def test_matrices_that_stay_in_the_heap(
    model, runs, monkeypatch, parallelism, link, room, ahead
):
    """Some of them, with others read ahead into so many buffers, or all."""
    of = in_flash(SimulatedChips.alike(5, link, parallelism=parallelism))

    def keep(plan, *_):
        return replace(plan, resident=(room,) * 5, ahead=(ahead,) * 5)

    monkeypatch.setattr(padding, "keep_resident", keep)
    with open_cluster(model, of) as cluster:
        assert_equals_reference(cluster.executor, runs[4], 24)


@pytest.mark.verify
def test_a_chip_with_both_places_in_one_cluster(model, runs):
    """Boards with PSRAM keep their weights there, the others in flash."""
    of = SimulatedChips.alike(3, "uart", parallelism=HOST_REDUCE)
    mixed = (0, of.board.weights_room, 0)
    plan = of.boards._plan_with(model, of.parallelism, mixed)
    assert [plan.block(chip) > 0 for chip in range(3)] == [False, True, False]
    assert plan.heap_need(plan.shards[1]).weights < plan.heap_need(plan.shards[2]).weights
