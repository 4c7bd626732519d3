"""Quantized models that are kept: the same integers, from whatever the folder holds."""

from dataclasses import replace

import numpy as np
import pytest

from host.model import cache
from host.model.cache import quantize_once
from host.model.loading import LoadedModel
from tests.host.model_files import small_tokenizer
from tests.host.tiny import random_checkpoint


@pytest.fixture
def source():
    return LoadedModel(random_checkpoint(), small_tokenizer())


def test_it_is_quantized_once_to_the_same_integers(source, tmp_path, monkeypatch):
    first = quantize_once(source, tmp_path / "models")
    assert first.sha256() == source.quantize().sha256()
    (kept,) = (tmp_path / "models").iterdir()
    monkeypatch.setattr(LoadedModel, "quantize", only_what_is_quantized(LoadedModel.quantize))
    assert quantize_once(source, tmp_path / "models").sha256() == first.sha256()
    assert list((tmp_path / "models").iterdir()) == [kept]


def only_what_is_quantized(quantize):
    def checked(self):
        assert not hasattr(self.weights, "wq"), "quantized again"
        return quantize(self)

    return checked


def test_other_weights_and_another_quantizer_are_other_models(source, tmp_path, monkeypatch):
    weights = source.weights
    other = replace(source, weights=replace(weights, w1=np.float32(1.5) * weights.w1))
    digests = {quantize_once(one, tmp_path).sha256() for one in (source, other)}
    assert len(digests) == 2 == len(list(tmp_path.iterdir()))
    monkeypatch.setattr(cache, "quantizer_digest", lambda: "another")
    quantize_once(source, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_damaged_file_is_made_anew(source, tmp_path):
    expected = quantize_once(source, tmp_path).sha256()
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    assert quantize_once(source, tmp_path).sha256() == expected
    assert len(kept.read_bytes()) > 100


def test_a_folder_that_cannot_be_written_costs_time_alone(source, tmp_path):
    (tmp_path / "file").write_text("")
    model = quantize_once(source, tmp_path / "file" / "models")
    assert model.sha256() == source.quantize().sha256()


def test_large_models_are_not_kept(source, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_LARGEST", 10)
    quantize_once(source, tmp_path)
    assert list(tmp_path.iterdir()) == []
