"""Architectures: one module for each family of models, and the registry in which loaders look.

To add one, write a class as `llama.Llama` and put it into ARCHITECTURES.
"""

from __future__ import annotations

from host.errors import ModelError
from host.model.architectures.architecture import Architecture
from host.model.architectures.config_json import ConfigJson
from host.model.architectures.llama import Llama
from host.model.architectures.mistral import Mistral
from host.model.architectures.qwen3 import Qwen3

QWEN3 = Qwen3()
LLAMA = Llama()  # also of llama2.c's files, which hold no other
ARCHITECTURES: tuple[Architecture, ...] = (LLAMA, Mistral(), QWEN3)


def find_by_config(fields: ConfigJson) -> Architecture:
    """Returns the architecture that config.json names. Raises ModelError for any other."""
    kind, model_class = fields.architecture()
    for architecture in ARCHITECTURES:
        if kind == architecture.model_type and model_class in (None, architecture.model_class):
            return architecture
    # The class says more, but for a known class with another type.
    known = {architecture.model_class for architecture in ARCHITECTURES}
    raise _unsupported(kind if model_class is None or model_class in known else model_class)


def find_by_gguf_name(name: str) -> Architecture:
    """Returns the architecture that a GGUF file names. Raises ModelError for any other."""
    for architecture in ARCHITECTURES:
        if architecture.gguf_name == name:
            return architecture
    raise _unsupported(f"{name:.60}")


def _unsupported(name: str | None) -> ModelError:
    *most, last = [architecture.name for architecture in ARCHITECTURES]
    supported = f"{', '.join(most)} and {last} are"
    if name is None:
        return ModelError(f"no architecture is named: {supported} supported")
    return ModelError(f"architecture {name} is not supported: {supported}")
