"""Mistral without an effective sliding window: Llama's layers under Llama's names.

The defaults of config.json are those of transformers' `MistralConfig`. llama.cpp's converter
writes "llama" into GGUF files of these models, so those are read as Llama's.
"""

from __future__ import annotations

from host.errors import ModelError
from host.model.architectures.config_json import ConfigJson
from host.model.architectures.llama import Llama
from host.model.checkpoint import Config

_DEFAULT_WINDOW = 4096
_DEFAULT_KV_HEADS = 8


class Mistral(Llama):
    """Mistral 7B since version 0.2, Nemo, and others that attend to the whole context."""

    name = "Mistral"
    model_type = "mistral"
    model_class = "MistralForCausalLM"
    gguf_name = None
    default_context = 131072

    def read_config(self, fields: ConfigJson) -> Config:
        if "num_key_value_heads" not in fields.fields:
            fields = ConfigJson({**fields.fields, "num_key_value_heads": _DEFAULT_KV_HEADS})
        return super().read_config(fields)

    def check_window(self, fields: ConfigJson) -> None:
        context = fields.get_count("max_position_embeddings", self.default_context)
        if "sliding_window" in fields.fields:
            window = fields.get_count("sliding_window", 0)  # null: none
        else:
            window = _DEFAULT_WINDOW
        if 0 < window < context:
            raise ModelError(
                f"a sliding window of {window} positions is not supported with a context of"
                f" {context}: only Mistral models without one are"
            )
