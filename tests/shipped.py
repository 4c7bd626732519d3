"""The shipped model in integers, which take a second to find: they are kept."""

from functools import cache

from host.model.cache import load_quantized
from host.model.quantized import QuantizedModel
from host.paths import HOME_MODEL


@cache
def shipped_model() -> QuantizedModel:
    """As load_model(HOME_MODEL).quantize() gives it (tests/host/test_model_cache.py)."""
    return load_quantized(HOME_MODEL).quantize()
