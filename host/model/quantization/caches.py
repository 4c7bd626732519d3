"""Gives a quantized model KV caches of int8: half the memory, for a little accuracy."""

from __future__ import annotations

from dataclasses import replace

from host.model import arithmetic
from host.model.quantized import QuantizedLayer, QuantizedModel


def narrow_caches(model: QuantizedModel) -> QuantizedModel:
    """Returns the model with int8 KV caches.

    Nothing else changes, except that keys and values saturate a little earlier, by less than 1 in
    64: what a cache gives back is then within the same limits, by which sums fit 32 bits.
    """
    layers = tuple(map(_narrow, model.layers))
    return replace(model, config=replace(model.config, int8_kv=True), layers=layers)


def _narrow(layer: QuantizedLayer) -> QuantizedLayer:
    k_limit, v_limit = map(arithmetic.narrow_limit, (layer.k_limit, layer.v_limit))
    return replace(layer, k_limit=k_limit, v_limit=v_limit)
