"""Chips with heads that leave all feed-forward units to others: where plans do that, and why."""

from dataclasses import replace

import pytest

from host.hardware.boards import load
from host.model.checkpoint import Config
from host.model.outline import Outline
from host.parallel import distribution
from host.parallel.boards import BoardSet
from host.parallel.cost.estimate import estimate
from host.parallel.cost.traffic import widest_sums
from host.parallel.parallelism import ALL_GATHER, ALL_REDUCE, ANYWHERE, HEAP, HOST_REDUCE, hybrid
from host.parallel.plan import Plan
from tests.simulation.launch import REPOSITORY

# Of SmolLM2-135M in int8, and in groups; with int8 caches, and with sums as wide as they can be.
INT8 = Config(576, 1560, 30, 9, 3, 49_152, 8192, int8_kv=True)
VERIFY = pytest.mark.verify
PAGE = " ".join((REPOSITORY / "docs" / "large-models.md").read_text().split())
GROUPS = replace(INT8, hidden_dim=1568, groups="wq wk wv wo w1 w2 w3")


def boards(
    count: int,
    *,
    kind: str = "espnow",
    board: str = "esp32s3-n16r8",
    context: int = 256,
    signed: bool = False,
) -> BoardSet:
    each = load(board)
    each = each.with_mtu(1470) if kind == "espnow" else each
    return BoardSet((each,) * count, kind, context, signed, "pins", weights=ANYWHERE)


def plan_of(config: Config, of: BoardSet, parallelism=ALL_REDUCE, weights: str = ANYWHERE) -> Plan:
    return of.plan(Outline(config, 31), replace(parallelism, weights=weights))


def test_few_chips_attend_and_the_others_have_all_units() -> None:
    plan = plan_of(GROUPS, boards(10))
    assert [len(shard.heads) for shard in plan.shards] == [3] * 3 + [0] * 7
    assert [len(shard.units) for shard in plan.shards] == [0] * 3 + [224] * 7
    assert {len(shard.rows) for shard in plan.shards} == {4915, 4916}
    token = plan.strategy.synchronizations(plan, True, widest_sums(plan))
    # All others send that they have nothing to add.
    long = [{each.source for each in phase.answers if each.payload > 99} for phase in token[:4]]
    assert list(map(len, long)) == [3, 7, 3, 7]


@pytest.mark.parametrize(
    ("config", "of", "rates"),
    [
        (GROUPS, boards(10), "1.14 tokens per second in place of 1.11"),
        (INT8, boards(12), "0.99 in place of 0.91"),
        pytest.param(GROUPS, boards(10, context=1024), "1.09 in place of 0.97", marks=VERIFY),
        pytest.param(GROUPS, boards(10, signed=True), "0.87 in place of 0.71", marks=VERIFY),
        pytest.param(GROUPS, boards(9), "", marks=VERIFY),
        pytest.param(INT8, boards(15, context=1024), "", marks=VERIFY),
    ],
)
def test_it_is_faster_where_it_is_done(monkeypatch, config, of, rates) -> None:
    apart = plan_of(config, of)
    assert any(shard.heads and not shard.units for shard in apart.shards)
    monkeypatch.setattr(distribution, "_can_separate", lambda _: False)
    mixed = plan_of(config, of)
    assert all(shard.units for shard in mixed.shards)
    separate, together = (estimate(plan, of) for plan in (apart, mixed))
    assert separate.latency.total < 0.99 * together.latency.total
    assert separate.first_token < together.first_token
    assert separate.latency.airtime < together.latency.airtime
    found = [each.latency.tokens_per_second for each in (separate, together)]
    if rates:
        assert rates in PAGE
        said = [float(word) for word in rates.split() if word[0].isdigit()]
        assert found == pytest.approx(said, abs=0.006)


@pytest.mark.parametrize(
    ("config", "of", "parallelism", "weights"),
    [
        (GROUPS, boards(10), HOST_REDUCE, ANYWHERE),  # the host adds up
        (GROUPS, boards(10), ALL_GATHER, ANYWHERE),  # each number is sent once anyway
        (GROUPS, boards(10, kind="uart"), ALL_REDUCE, ANYWHERE),  # each has a line of its own
        (GROUPS, boards(20), ALL_REDUCE, HEAP),  # nothing is read ahead
        (INT8, boards(10), ALL_REDUCE, ANYWHERE),  # the flash of those without heads is full
    ],
)
def test_elsewhere_chips_with_heads_have_units(config, of, parallelism, weights) -> None:
    plan = plan_of(config, of, parallelism, weights)
    assert all(shard.units for shard in plan.shards)


def test_chips_without_room_to_read_ahead_share_all_work(monkeypatch) -> None:
    small = replace(GROUPS, dim=192, hidden_dim=512, layers=6, vocab_size=4096)
    of = boards(6, board="esp32s3", context=32)
    plan = plan_of(small, of)
    monkeypatch.setattr(distribution, "_can_separate", lambda _: False)
    assert plan.block(0) and plan == plan_of(small, of)


def test_groups_of_a_hybrid_separate_too() -> None:
    plan = plan_of(INT8, boards(15, context=2048), hybrid(2))
    for stage in plan.stages:
        own = [plan.shards[chip] for chip in stage.chips]
        assert all(bool(shard.heads) != bool(shard.units) for shard in own)
        assert sum(len(shard.units) for shard in own) == INT8.hidden_dim


def test_the_vocabulary_is_kept_first_also_beside_chips_that_keep_all() -> None:
    """One of these keeps all its weights in its heap, and so reads nothing ahead."""
    plan = plan_of(GROUPS, boards(10), ALL_GATHER)
    buffers = [plan.buffers(chip)[0] for chip in range(10)]
    assert 0 < buffers.count(0) < 10 and plan.rows_first
    whole = buffers.index(0)
    assert plan.resident_room(whole) >= plan.flash_need(plan.shards[whole], 16) & -16
