"""Models with weights in groups for tests, which are random numbers."""


import numpy as np

from host.model.checkpoint import Checkpoint, Config
from host.model.float_model import FloatModel
from host.model.groups import COLUMNS, LEVELS, MOST_LEAST, MOST_STEP, MOST_WEIGHT
from host.model.quantization.group_rows import find_grouped
from host.model.quantization.massive import calibrate
from host.model.quantization.quantize import quantize, sample_calibration
from host.model.quantized import QuantizedModel
from tests.host.tiny import random_checkpoint

CONFIG = Config(
    dim=64, hidden_dim=96, layers=2, heads=2, kv_heads=1, vocab_size=40, context=16
)
MATRICES = ("wq", "wk", "wv", "wo", "w1", "w2", "w3")


def grouped_checkpoint(config: Config = CONFIG, seed: int = 0) -> Checkpoint:
    """A random one whose matrices lie on 16 even values in each group, as a file's of Q4_1, but
    for those without whole groups."""
    checkpoint = random_checkpoint(config, seed=seed)
    for name in MATRICES:
        matrix = getattr(checkpoint, name)
        if matrix.shape[-1] % COLUMNS:
            continue
        groups = matrix.reshape(*matrix.shape[:-1], -1, COLUMNS)
        least = groups.min(axis=-1, keepdims=True)
        step = (groups.max(axis=-1, keepdims=True) - least) / (LEVELS - 1)
        matrix[:] = (np.round((groups - least) / step) * step + least).reshape(matrix.shape)
    return checkpoint


def grouped_model(checkpoint: Checkpoint) -> QuantizedModel:
    model = FloatModel(checkpoint)
    grouped = find_grouped(checkpoint)
    return quantize(*calibrate(checkpoint, model, sample_calibration(model), grouped=grouped))


def draw_packed(
    random: np.random.Generator, rows: int, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    numbers = random.integers(0, LEVELS, (rows, groups * COLUMNS))
    steps = random.integers(0, MOST_STEP + 1, (rows, groups))
    leasts = random.integers(-MOST_LEAST, MOST_LEAST + 1, (rows, groups))
    # As much of the range of a group as weights may take.
    most = np.minimum((MOST_WEIGHT - leasts) // np.maximum(steps, 1), LEVELS - 1)
    return np.minimum(numbers, np.repeat(most, COLUMNS, axis=1)), steps, leasts
