"""Says in words what the matrices of a quantized model are in."""

from __future__ import annotations

import math

from host.model.checkpoint import Config, quantized_bytes, weight_shapes

_NAMES = {
    "wq": "queries", "wk": "keys", "wv": "values", "wo": "attention output", "w1": "gate",
    "w3": "up", "w2": "down", "classifier": "classifier",
}  # fmt: skip


def describe_matrices(config: Config) -> str:
    """Returns how many bits a weight takes on chips, and which matrices are in groups of 4 bits
    and which are int8; "" if all are int8."""
    if not config.grouped:
        return ""
    grouped = [text for name, text in _NAMES.items() if name in config.grouped]
    others = [text for name, text in _NAMES.items() if name not in config.grouped]
    shapes = weight_shapes(config)
    bits = 8 * quantized_bytes(config) / sum(math.prod(shapes[name]) for name in _NAMES)
    return (
        f"{bits:.1f} bits each, with all scales: groups of 4 bits in {', '.join(grouped)}; int8 in"
        f" {', '.join(others)}"
    )
