"""Small random models for tests that need every kind of weight but no sense."""

from dataclasses import replace

import numpy as np

from bench.virtual.model import as_checkpoint, draw_weights
from host.model.checkpoint import Checkpoint, Config, weight_shapes
from host.model.float_model import FloatModel
from host.model.quantization.quantize import quantize, sample_calibration
from host.model.quantized import QuantizedModel

# Three query heads share a KV head, and no two dimensions are equal.
TINY = Config(dim=24, hidden_dim=10, layers=2, heads=6, kv_heads=2, vocab_size=40, context=16)
# Heads that together have more elements than the residual stream, as Qwen3's and Gemma's do.
WIDE_HEADS = Config(
    dim=20, hidden_dim=10, layers=2, heads=6, kv_heads=2, vocab_size=40, context=16, head_dim=8
)
# Qwen3's kind: heads of their own size whose queries and keys pass a norm.
NORMED_HEADS = replace(WIDE_HEADS, qk_norm=True)


def random_checkpoint(config: Config = TINY, shared: bool = True, seed: int = 0) -> Checkpoint:
    """Weights about as large as trained ones; the classifier is the embedding if `shared`."""
    random = np.random.default_rng(seed)
    weights = {
        name: (random.standard_normal(shape) * 0.3 + name.endswith("norm")).astype(np.float32)
        for name, shape in weight_shapes(config).items()
    }
    if shared:
        weights["classifier"] = weights["embedding"]
    return Checkpoint(config=config, **weights)


def coarsened_model(config: Config = TINY, change: int = 2, bits: int = 6) -> QuantizedModel:
    """A model whose residual stream gets coarser by so many bits before its sum number `change`,
    from 1 on, as if its values got so much larger there."""
    checkpoint = random_checkpoint(config)
    model = FloatModel(checkpoint)
    ranges = model.measure_ranges(sample_calibration(model))
    ranges.residual = np.full(1 + 2 * config.layers, ranges.residual)
    ranges.residual[change:] *= 2.0**bits
    return quantize(checkpoint, ranges)


def seeded_model(config: Config, seed: int = 0) -> QuantizedModel:
    """A model of any shape with weights from a seed, calibrated on few tokens, for that takes
    longest of large ones."""
    weights = draw_weights(config, seed, {"classifier": 4.0}, other=1.5)
    checkpoint = as_checkpoint(config, weights)
    tokens = np.random.default_rng(seed).integers(0, config.vocab_size, (1, 6))
    return quantize(checkpoint, FloatModel(checkpoint).measure_ranges(tokens))
