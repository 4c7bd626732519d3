"""Int8 KV caches: what they give back, within which limits, what they cost, and in which files."""

from bisect import bisect_left
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.build.shard import shard_file
from host.cli.console import Console
from host.cli.inspection import find_fewest_chips
from host.cli.quantizing import INT8, quantize_to_file
from host.hardware import boards
from host.model import arithmetic
from host.model.arithmetic import INT16_LIMIT
from host.model.checkpoint import Config
from host.model.formats import quantized_file
from host.model.quantization.caches import narrow_caches
from host.model.quantization.layers import score_limits
from host.model.quantization.quantize import quantize
from host.model.quantized import QuantizedModel
from host.model.reference import Reference
from host.parallel.boards import BoardSet
from host.parallel.fitting import find_plans
from host.parallel.sharded_model import ShardedModel
from host.paths import HOME_MODEL
from tests.host import registers
from tests.host.integers import int16s, unhurried
from tests.host.model_files import small_tokenizer
from tests.host.quantized_limits import assert_limits
from tests.host.small_models import WORDY
from tests.host.tiny import TINY, random_checkpoint
from tests.plans import tensor_plan

TOKENS = [1, 7, 39, 0, 7, 21, 5, 5, 12]


@pytest.fixture(scope="module")
def wide() -> QuantizedModel:
    return quantize(random_checkpoint(seed=4))


@pytest.fixture(scope="module")
def narrow(wide: QuantizedModel) -> QuantizedModel:
    return narrow_caches(wide)


@unhurried
@given(st.lists(int16s, min_size=1, max_size=9))
def test_rows_come_back_nearly_as_they_were(row: list[int]) -> None:
    found = arithmetic.narrow_rows(np.array(row)).tolist()
    assert found == registers.narrowed(row)
    step = 2.0 ** max(max(map(abs, row)).bit_length() - 7, 0)
    assert max(abs(a - b) for a, b in zip(row, found, strict=True)) <= step
    assert all(value % step == 0 for value in found)
    assert arithmetic.narrow_rows(np.array(found)).tolist() == found or -128 * step in found


@unhurried
@given(st.integers(1, INT16_LIMIT), st.lists(int16s, min_size=1, max_size=9))
def test_what_a_cache_gives_back_is_within_the_limit(limit: int, row: list[int]) -> None:
    """By which it is known that sums fit 32 bits."""
    narrowed = arithmetic.narrow_limit(limit)
    assert limit * 63 < narrowed * 64 and narrowed <= limit
    for values in (row, [narrowed], [-narrowed, narrowed, 0]):
        saturated = arithmetic.saturate(np.array(values), narrowed)
        assert np.abs(arithmetic.narrow_rows(saturated)).max() <= narrowed


def test_short_rows_come_back_whole() -> None:
    rows = np.array([[0, 0, 0], [127, -127, 1], [128, -128, 2], [INT16_LIMIT, -INT16_LIMIT, 128]])
    expected = [[0, 0, 0], [127, -127, 1], [128, -128, 2], [127 << 8, -128 << 8, 256]]
    assert arithmetic.narrow_rows(rows).tolist() == expected


def test_only_keys_and_values_change(wide: QuantizedModel, narrow: QuantizedModel) -> None:
    assert_limits(narrow)
    assert narrow.config == replace(wide.config, int8_kv=True)
    assert narrow.sha256() != wide.sha256()
    for before, after in zip(wide.layers, narrow.layers, strict=True):
        limits = {"k_limit": before.k_limit, "v_limit": before.v_limit}
        assert replace(after, **limits) == before
    assert score_limits(TINY.head_dim)[1] > narrow.layers[0].k_limit


def test_logits_are_near(wide: QuantizedModel, narrow: QuantizedModel) -> None:
    kept, exact = (Reference(model).logits([TOKENS])[0] for model in (narrow, wide))
    assert not np.array_equal(kept, exact)
    assert np.abs(kept - exact).max() < 0.03 * np.abs(exact).max()


def test_chips_in_numpy_attend_as_the_reference(narrow: QuantizedModel) -> None:
    sharded, reference = ShardedModel.of(narrow, tensor_plan(narrow, 3)), Reference(narrow)
    random = np.random.default_rng(1)
    for position in range(6):
        x = random.integers(-9000, 9000, (1, TINY.dim))
        for index in range(TINY.layers):
            parts = sharded.attention(index, x, position)
            assert np.array_equal(sum(parts), reference.attention(index, x))
        reference.position += 1


def test_a_file_has_them(tmp_path: Path) -> None:
    whole = quantize(random_checkpoint(WORDY))
    for model in (whole, narrow_caches(whole)):
        quantized_file.save(model, small_tokenizer(), tmp_path / "model.q")
        found, *_ = quantized_file.load(tmp_path / "model.q")
        assert found.config == model.config and found.sha256() == model.sha256()
    # A model without them is written as before there were any.
    quantized_file.save(whole, small_tokenizer(), tmp_path / "model.q")
    assert b"int8_kv" not in (tmp_path / "model.q").read_bytes()


def test_a_shard_says_so_and_takes_half_of_the_memory(
    wide: QuantizedModel, narrow: QuantizedModel
) -> None:
    for model, bits in ((wide, None), (narrow, 8)):
        plan = tensor_plan(model, 2)
        assert (b'"cache":8' in shard_file(model, plan, plan.shards[0])) == (bits == 8)
    needs = [tensor_plan(model, 2) for model in (wide, narrow)]
    wide_bytes, narrow_bytes = (plan.heap_need(plan.shards[0]).kv_cache for plan in needs)
    assert narrow_bytes * 2 * TINY.head_dim == wide_bytes * (TINY.head_dim + 1)


def test_caches_have_room_for_longer_contexts() -> None:
    """Five boards, stories260K's shapes, as docs/how-it-works.md says of them."""
    config = Config(64, 172, 5, 8, 4, 512, 2048)
    whole = quantize(random_checkpoint(config))
    board = boards.load("esp32s3")

    def holds(model: QuantizedModel, context: int) -> bool:
        return bool(find_plans(model, BoardSet((board,) * 5, "espnow", context, True, "pins"))[0])

    most = [
        bisect_left(range(1, 2048), True, key=lambda context: not holds(model, context))
        for model in (whole, narrow_caches(whole))
    ]
    assert 1.6 * most[0] < most[1] < 1.9 * most[0]


@pytest.mark.verify
def test_the_home_model_takes_fewer_boards(tmp_path: Path) -> None:
    """As docs/options.md says."""
    file = tmp_path / "home.q"
    cost = quantize_to_file(HOME_MODEL, file, None, None, Console(quiet=True), INT8)
    assert f"{cost.change:+.2%}" == "+0.30%"
    found, *_ = quantized_file.load(file)
    board = boards.load("esp32s3")
    whole = replace(found, config=replace(found.config, int8_kv=False))
    fewest = [find_fewest_chips(model, board, 128, "uart") for model in (whole, found)]
    assert fewest == [4, 3]
