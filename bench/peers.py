"""The same checkpoint in floats on this machine, and what other all-reduces would send.

llama2.c, which would be the nearest peer, is not among the sources here and is left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from bench.chip import counted
from bench.results import Label, Row
from host.model.checkpoint import Checkpoint, Config
from host.model.float_model import FloatModel
from host.model.tokenizer import BOS
from host.parallel.cost import Communication

CHIPS = (2, 5, 8)


def figures(checkpoint: Checkpoint, steps: int, name: str) -> Iterator[Row]:
    """The float model's greedy tokens a second, one stream, and bytes of all-reduces."""
    yield float_speed(checkpoint, steps, name)
    yield from all_reduces(checkpoint.config, name)


def float_speed(checkpoint: Checkpoint, steps: int, name: str) -> Row:
    """Tokens a second of numpy in float64, on this machine."""
    model = FloatModel(checkpoint)
    cache = model.cache(positions=steps)
    token, start = BOS, time.monotonic()
    for _ in range(steps):
        token = int(np.argmax(model.step([token], cache)))
    speed = steps / (time.monotonic() - start)
    return Row("peer: numpy float64", "this machine", name, speed, "tokens/s", Label.MEASURED)


def all_reduces(config: Config, name: str) -> Iterator[Row]:
    """Bytes that all ranks together send for a token's sums, by formula: in a ring of N each sends
    2 (N - 1) / N of the tensor's bytes, so all send 2 (N - 1) times those, headers not counted."""
    for bits, what in ((32, "float32"), (8, "8-bit")):
        tensors = Communication(1, config.dim, config.layers, bits).bytes_per_step
        for chips in CHIPS:
            value = 2 * (chips - 1) * tensors
            yield Row(f"peer: {what} ring all-reduce", "formula", f"{name} {counted(chips)}",
                      value, "bytes/token", Label.MODELLED)  # fmt: skip
