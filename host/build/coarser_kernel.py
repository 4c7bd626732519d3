"""Source of the viper kernel of models whose residual stream gets coarser in a layer.

It takes the place of `add_rescaled` of firmware/compute/norms.py, with the same arguments, on
chips that have such a layer. All others do without it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from host.model.quantized import QuantizedLayer

_DOCUMENTATION = '''    """As add_rescaled; but shift is DROP larger for each bit that the
    residual loses before, rounded half up (protocol/shard_layout.py)."""
'''
# Stands before the first line of add_rescaled that uses `shift`.
_DROP = """    low = shift >> 6
    if low:
        half = 1 << low >> 1
        end = (n << 2) + int(residual)
        v = int(residual)
        while int(residual) != end:
            residual[0] = residual[0] + half >> low
            residual = ptr32(int(residual) + 4)
        residual = ptr32(v)
        shift &= 63
"""
_FIRST = "    shift -= 15\n"


def gets_coarser(layers: Iterable[QuantizedLayer]) -> bool:
    """Returns whether the residual stream does in one of these layers."""
    return any(layer.o_drop or layer.down_drop for layer in layers)


def with_coarser(source: str) -> str:
    """Returns the source of norms.py with this kernel, made of its `add_rescaled`, in place of
    that."""
    lines = source.splitlines(keepends=True)
    (found,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == "add_rescaled"
    )
    first, last = found.decorator_list[0].lineno - 1, found.end_lineno
    head, text = lines[first : found.body[0].lineno - 1], lines[found.body[0].end_lineno : last]
    body = "".join(text)
    assert body.count(_FIRST) == 1, "add_rescaled does not use its shift as expected"
    kernel = "".join(head).replace("add_rescaled", "add_coarser") + _DOCUMENTATION
    kernel += body.replace(_FIRST, _DROP + _FIRST) + "\n\nadd_rescaled = add_coarser\n"
    return "".join([*lines[:first], kernel, *lines[last:]])
