"""Which types of GGUF tensors have their weights in groups, as the gguf library reads them."""

import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize

from host.model.groups import pack
from host.model.quantization.group_rows import GroupRows, _is_grouped

GROUPED = ("Q4_0", "Q4_1", "Q4_K")
OTHERS = ("Q8_0", "Q5_0", "Q5_1", "Q6_K", "Q5_K", "F16")
ROWS, COLUMNS = 48, 512


def tensor_of(kind: str) -> np.ndarray:
    """Weights [ROWS, COLUMNS] as a file of this type has them."""
    of, random = GGMLQuantizationType[kind], np.random.default_rng(len(kind))
    if not kind.endswith("_K"):
        weight = random.standard_normal((ROWS, COLUMNS)).astype(np.float32) * 0.05
        return dequantize(quantize(weight, of), of).astype(np.float32)
    # The library only dequantizes these: any bytes but for the scales, two float16 in a block.
    block, size = GGML_QUANT_SIZES[of]
    blocks = random.integers(0, 256, (ROWS, COLUMNS // block, size), np.uint8)
    scales = random.uniform(1e-4, 1e-3, (ROWS, COLUMNS // block, 2)).astype(np.float16)
    at = -2 if kind == "Q6_K" else 0
    count = 1 if kind == "Q6_K" else 2
    raw = scales[..., :count].copy().view(np.uint8)
    blocks[..., at : at + 2 * count or None] = raw
    return dequantize(blocks.reshape(ROWS, -1), of).astype(np.float32)


@pytest.mark.parametrize("kind", GROUPED)
def test_types_of_four_bits_are_in_groups(kind: str) -> None:
    """And stay what they were, but for units of a 511th of the largest in a row."""
    weight = tensor_of(kind)
    assert _is_grouped(weight)
    rows = GroupRows(weight)
    pack(rows.weight.astype(np.int16))
    error = rows.weight * (rows.scale / 4)[:, None] - weight
    assert np.square(error).sum() < 1e-4 * np.square(weight).sum()


@pytest.mark.parametrize("kind", OTHERS)
def test_other_types_are_not(kind: str) -> None:
    assert not _is_grouped(tensor_of(kind))
