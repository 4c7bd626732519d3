"""The digest of a quantized model, which changes with whatever it computes with."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from host.model.arithmetic import Gain, Rescale
from host.model.checkpoint import Config
from host.model.quantization.quantize import quantize
from host.model.quantized import Linear
from tests.host.tiny import random_checkpoint


def changed(value: Any) -> Iterator[Any]:
    """`value` with one of its numbers changed, once for each place that holds numbers."""
    if isinstance(value, np.ndarray):
        for at in (0, value.size - 1):
            other = value.copy()
            other.reshape(-1)[at] ^= 1
            yield other
    elif dataclasses.is_dataclass(value) and not isinstance(value, type | Config):
        for field in dataclasses.fields(value):
            for other in changed(getattr(value, field.name)):
                yield dataclasses.replace(value, **{field.name: other})
    elif isinstance(value, tuple):
        make = value._make if isinstance(value, Linear | Gain | Rescale) else tuple
        for i, item in enumerate(value):
            for other in changed(item):
                yield make([*value[:i], other, *value[i + 1 :]])
    elif isinstance(value, Config):
        yield dataclasses.replace(value, rope_theta=20000.0)
        yield dataclasses.replace(value, context=17)
    elif value is not None:  # as what models of other kinds have
        yield value + 1


def test_the_digest_changes_with_any_number() -> None:
    model = quantize(random_checkpoint())
    digests = [model.sha256()]
    digests += [other.sha256() for other in changed(model)]
    assert len(digests) > 2 * 40
    assert len(set(digests)) == len(digests)


def test_the_digest_changes_with_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    model = quantize(random_checkpoint())
    digests = {model.sha256()}
    for name in ("exp_table", "sigmoid_table"):
        with monkeypatch.context() as patch:
            patch.setattr(f"host.model.quantized.{name}", lambda: np.zeros(4, np.int64))
            digests.add(dataclasses.replace(model).sha256())  # each hashes once
    assert len(digests) == 3


def test_the_digest_tells_shapes_apart() -> None:
    model = quantize(random_checkpoint())
    turned = dataclasses.replace(model, embedding=model.embedding.reshape(24, 40))
    assert turned.sha256() != model.sha256()
