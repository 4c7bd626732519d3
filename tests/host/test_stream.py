"""Residual streams that get coarser in a layer: choice of scales, files, and the reference."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.model.checkpoint import Config
from host.model.float_model import FloatModel
from host.model.formats import quantized_file
from host.model.quantization.stream import choose_stream, fit_stream
from host.model.ranges import Ranges
from host.model.reference import Reference
from host.parallel.cost.recorded_text import RecordedText
from tests.host.model_files import small_tokenizer
from tests.host.small_models import WORDY
from tests.host.test_reference import TOKENS, PlainModel
from tests.host.tiny import TINY, coarsened_model, random_checkpoint

peaks = st.lists(st.floats(1e-3, 1e5), min_size=3, max_size=9).filter(lambda p: len(p) % 2)


def ranges_of(magnitudes: list[float]) -> tuple[Config, Ranges]:
    layers = len(magnitudes) // 2
    ranges = Ranges(layers)
    ranges.residual = np.array(magnitudes)
    return replace(TINY, layers=layers, norm_eps=1e-12), ranges


@given(peaks)
def test_scales_fit_and_change_once(magnitudes: list[float]) -> None:
    config, ranges = ranges_of(magnitudes)
    stream = choose_stream(config, ranges)
    assert len(stream) == len(magnitudes)
    for exponent, peak in zip(stream, magnitudes, strict=True):
        assert 4 * peak * 2.0**exponent <= 2**24 - 1
    steps = [a - b for a, b in pairwise(stream)]
    assert min(steps) >= 0 and sum(step > 0 for step in steps) <= 1
    ranges.residual = max(magnitudes)
    assert choose_stream(config, ranges) == [stream[-1]] * len(magnitudes)


def test_the_scale_changes_where_magnitudes_grow_most() -> None:
    config, ranges = ranges_of([1.0, 3.0, 2.0, 40.0, 25_000.0, 25_000.0, 9.0])
    finest = [choose_stream(*ranges_of([peak] * 3))[0] for peak in (40.0, 25_000.0)]
    assert choose_stream(config, ranges) == [finest[0]] * 4 + [finest[1]] * 3


def test_bounds_hold_for_all_sums_of_a_scale() -> None:
    assert fit_stream([12, 12, 12, 7, 7], [12, 10, 15, 9, 8]) == [10, 10, 10, 7, 7]
    assert fit_stream([12, 12, 12, 7, 7], [12, 5, 15, 9, 6]) == [5, 5, 5, 5, 5]


@given(st.integers(1, 4), st.data())
def test_no_sum_loses_more_bits_than_a_kernel_can_shift(layers: int, data: st.DataObject) -> None:
    """Whatever the sums of layers allow, and however much larger the stream gets."""
    magnitudes = [10.0 ** data.draw(st.integers(-12, 36)) for _ in range(1 + 2 * layers)]
    config, ranges = ranges_of(magnitudes)
    wanted = choose_stream(config, ranges)
    bounds = [wanted[0], *(data.draw(st.integers(-99, 60)) for _ in magnitudes[1:])]
    stream = fit_stream(wanted, bounds)
    assert all(0 <= a - b <= 30 for a, b in pairwise(stream))
    for exponent, most in zip(stream, map(min, wanted, bounds), strict=True):
        assert exponent <= most


@pytest.mark.parametrize("change", range(1, 5))
def test_logits_equal_those_of_registers_and_are_near_to_floats(change: int) -> None:
    model = coarsened_model(change=change)
    drops = [drop for layer in model.layers for drop in (layer.o_drop, layer.down_drop)]
    # What a sum's own scale allows may be coarser before the change, by some bits.
    assert drops[change - 1] in (4, 5, 6) and drops.count(None) == 3
    logits = Reference(model).logits([TOKENS])[0]
    plain = PlainModel(model)
    for token, expected in zip(TOKENS, logits.tolist(), strict=True):
        assert plain.step(token) == expected
    floats = FloatModel(random_checkpoint()).logits(TOKENS)
    np.testing.assert_allclose(logits * 2.0**-model.logit_exponent, floats, atol=0.2)


def test_a_file_keeps_where_the_stream_gets_coarser(tmp_path: Path) -> None:
    model = coarsened_model(WORDY)
    quantized_file.save(model, small_tokenizer(), tmp_path / "m")
    found, *_ = quantized_file.load(tmp_path / "m")
    assert found.sha256() == model.sha256()
    drops = [layer.down_drop for layer in found.layers]
    assert drops == [layer.down_drop for layer in model.layers] and drops[0] in (5, 6)
    layers = tuple(replace(layer, down_drop=None) for layer in model.layers)
    assert replace(model, layers=layers).sha256() != model.sha256()


def test_recorded_texts_have_the_stream_as_it_is() -> None:
    """From the last sum follow the logits, with which the next token was chosen."""
    model = coarsened_model()
    text = RecordedText(model)
    text.record(3)
    streams = [text.residual(index, 3) for index in range(5)]
    before, after = (np.abs(streams[index]).max() for index in (1, 2))
    assert after < before / 16
    layer = model.layers[1]
    sums = np.concatenate([layer.down.weight.astype(np.int64) @ text.hidden(1, 3).T]).T
    np.testing.assert_array_equal(layer.add_feed_forward(streams[3], sums), streams[4])
