"""Source of the viper kernel of models whose residual stream gets coarser in a layer.

It takes the place of `add_rescaled` of firmware/compute/norms.py, with the same arguments, on
chips that have such a layer. All others do without it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from host.model.quantized import QuantizedLayer

_COARSER = '''@micropython.viper
def add_coarser(
    residual: ptr32, v: int, acc: ptr32, multiplier: ptr16, at: int, n: int, shift: int
):
    """As add_rescaled; but shift is DROP larger (protocol/shard_layout.py) for each bit that the
    residual loses before, rounded half up."""
    multiplier = ptr16(int(multiplier) + at)
    end = (n << 2) + int(residual)
    low = shift >> 6
    if low:
        half = 1 << low >> 1
        v = int(residual)
        while int(residual) != end:
            residual[0] = residual[0] + half >> low
            residual = ptr32(int(residual) + 4)
        residual = ptr32(v)
        shift &= 63
    shift -= 15
    half = 1 << shift >> 1
    limit = _RESIDUAL_LIMIT
    low = 0 - limit
    while int(residual) != end:
        v = acc[0]
        v = (v >> 15) * multiplier[0] + ((v & 32767) * multiplier[0] >> 15) + half >> shift
        v = residual[0] + v
        if v > limit:
            v = limit
        if v < low:
            v = low
        residual[0] = v
        residual = ptr32(int(residual) + 4)
        acc = ptr32(int(acc) + 4)
        multiplier = ptr16(int(multiplier) + 2)


add_rescaled = add_coarser
'''


def gets_coarser(layers: Iterable[QuantizedLayer]) -> bool:
    """Returns whether the residual stream does in one of these layers."""
    return any(layer.o_drop or layer.down_drop for layer in layers)


def with_coarser(source: str) -> str:
    """Returns the source of norms.py with this kernel in place of its `add_rescaled`."""
    lines = source.splitlines(keepends=True)
    (replaced,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == "add_rescaled"
    )
    first = replaced.decorator_list[0].lineno
    return "".join([*lines[: first - 1], _COARSER, *lines[replaced.end_lineno :]])
