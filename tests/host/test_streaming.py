"""Models that are read layer by layer: the same integers as from memory, and no more memory than a
layer's; arrays mapped from files as they were written."""

import mmap
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from host.errors import ModelError
from host.model import arithmetic, loading
from host.model.cache import quantize_once
from host.model.checkpoint import Checkpoint
from host.model.float_model import FloatModel
from host.model.float_weights import StreamedWeights
from host.model.formats.mapped_arrays import map_arrays, write_arrays
from host.model.quantization import scales
from host.model.quantization.quantize import quantize, sample_calibration
from tests.host.model_files import (
    VOCABULARY,
    config_of,
    small_tokenizer,
    write_gguf,
    write_huggingface,
    write_tokenizer_json,
)
from tests.host.tiny import random_checkpoint

CONFIG = config_of(32, 1, 2, 160, VOCABULARY)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return random_checkpoint(CONFIG, shared=True)


@pytest.fixture(params=["gguf", "quantized gguf", "folder"])
def path(request: pytest.FixtureRequest, checkpoint: Checkpoint, tmp_path: Path) -> Path:
    if request.param == "folder":
        folder = write_huggingface(checkpoint, tmp_path / "m")
        write_tokenizer_json(folder / "tokenizer.json")
        return folder
    floats, few = gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.Q4_1
    kind = floats if request.param == "gguf" else few
    return write_gguf(checkpoint, tmp_path / "m.gguf", small_tokenizer(), kind)


def test_what_is_read_as_asked_for_gives_the_same_integers(path: Path) -> None:
    streamed, whole = loading.load_weights(path), loading.load_checkpoint(path)
    assert isinstance(streamed, StreamedWeights)
    assert streamed.digest() == loading.load_weights(path).digest()
    nothing_kept, all_kept = FloatModel(streamed, kept=0), FloatModel(whole)
    texts = sample_calibration(all_kept)
    assert (sample_calibration(nothing_kept) == texts).all()
    calls: list[int] = []
    ranges = nothing_kept.measure_ranges(texts, lambda: calls.append(1))
    assert len(calls) == CONFIG.layers
    for site, expected in vars(all_kept.measure_ranges(texts)).items():
        assert np.array_equal(getattr(ranges, site), expected), site
    assert quantize(streamed, ranges).sha256() == quantize(whole, ranges).sha256()


def test_rows_are_the_same_in_blocks(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scales.Rows(checkpoint.classifier)
    monkeypatch.setattr(scales, "_BLOCK", 3 * CONFIG.dim)
    blocks = scales.Rows(checkpoint.classifier)
    assert (blocks.weight == whole.weight).all() and (blocks.scale == whole.scale).all()
    norms = np.abs(whole.weight.astype(int)).sum(axis=1)
    assert blocks.largest_norm == whole.largest_norm == norms.max()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 70), st.integers(0, 40), st.integers(0, 3), st.integers(0, 9))
def test_products_are_exact_in_blocks_of_any_size(
    rows: int, columns: int, batch: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    weight = random.integers(-127, 128, (rows, columns)).astype(np.int8)
    x = random.integers(-32767, 32768, (2, batch, columns))
    expected = x @ weight.T.astype(np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arithmetic, "_BLOCK", 3 * columns + 1)
        assert np.array_equal(arithmetic.matvec(weight, x), expected)
    assert np.array_equal(arithmetic.matvec(weight, x), expected)
    one = x[0, :1]
    assert np.array_equal(arithmetic.matvec(weight, one), expected[0, :1])


def test_a_quantized_model_is_mapped_and_not_copied(path: Path, tmp_path: Path) -> None:
    model = quantize_once(loading.load_model(path), tmp_path / "cache")
    loading.LoadedModel(model, loading.read_header(path).tokenizer).save(tmp_path / "m.q")
    found = loading.load_model(tmp_path / "m.q").quantize()
    assert found.sha256() == model.sha256()
    for array in (found.embedding, found.layers[1].down.weight, found.classifier.weight):
        owner = array
        while isinstance(owner, np.ndarray):
            owner = owner.base
        assert isinstance(owner, memoryview) and isinstance(owner.obj, mmap.mmap)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    again = quantize_once(loading.load_model(path), tmp_path / "cache")  # from the cache
    assert again.sha256() == model.sha256()


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.text("abc.\u00e9", min_size=1, max_size=5),
        st.tuples(
            st.sampled_from(["<i1", "<u1", "<i2", "<i4", "<i8", "<f4", "<f8"]),
            st.lists(st.integers(0, 4), max_size=3),
        ),
        max_size=6,
    )
)
def test_any_arrays_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, kinds: dict[str, tuple[str, list[int]]]
) -> None:
    random = np.random.default_rng(0)
    arrays = {
        name: random.integers(0, 100, shape).astype(kind) for name, (kind, shape) in kinds.items()
    }
    path = tmp_path_factory.mktemp("arrays") / "f"
    with open(path, "wb") as file:
        write_arrays(file, arrays, {"kind": "\u00e9"})
    found, metadata = map_arrays(path)
    assert metadata == {"kind": "\u00e9"} and found.keys() == arrays.keys()
    theirs = load_file(path)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array)
        assert np.array_equal(theirs[name], array)
        assert found[name].flags.aligned


def test_a_layer_that_is_not_finite_is_named(path: Path, tmp_path: Path) -> None:
    broken = random_checkpoint(CONFIG, shared=True)
    broken.w2[1, 0, 0] = np.inf
    streamed = loading.load_weights(write_gguf(broken, tmp_path / "b.gguf", small_tokenizer()))
    assert streamed.layer(0)["w2"].shape == (CONFIG.dim, CONFIG.hidden_dim)
    with pytest.raises(ModelError, match="w2 of layer 1 holds values that are not finite"):
        streamed.layer(1)
