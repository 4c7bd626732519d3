"""Qwen3: `Qwen3Config` and `Qwen3ForCausalLM` of transformers, "qwen3" of llama.cpp.

Llama's layers, with an RMSNorm over each head's query and key before rope; the head size is not
tied to dim. The defaults of config.json are those of `Qwen3Config`. Both kinds of files are laid
out for a rope that turns element i of a head with element i + head size / 2: llama.cpp runs this
architecture with LLAMA_ROPE_TYPE_NEOX, so its converter leaves the rows as they are.
"""

from __future__ import annotations

from dataclasses import replace

from host.errors import ModelError
from host.model.architectures.architecture import Metadata, Weights, pair_rows
from host.model.architectures.config_json import ConfigJson
from host.model.architectures.llama import Llama
from host.model.checkpoint import Config

_DEFAULTS = {"num_key_value_heads": 32, "head_dim": 128}


class Qwen3(Llama):
    """Qwen3's dense models; mixtures of experts are another architecture in their files too."""

    name = "Qwen3"
    model_type = "qwen3"
    model_class = "Qwen3ForCausalLM"
    gguf_name = "qwen3"
    default_context = 32768

    def read_config(self, fields: ConfigJson) -> Config:
        given = {name: value for name, value in fields.fields.items() if value is not None}
        return replace(super().read_config(ConfigJson({**_DEFAULTS, **given})), qk_norm=True)

    def check_window(self, fields: ConfigJson) -> None:
        fields.require("use_sliding_window", False)
        kinds = fields.fields.get("layer_types")
        if isinstance(kinds, list) and set(kinds) - {"full_attention"}:
            raise ModelError("layers with a sliding window (layer_types) are not supported")

    def read_metadata(self, metadata: Metadata, vocab_size: int) -> Config:
        return replace(super().read_metadata(metadata, vocab_size), qk_norm=True)

    def huggingface_names(self) -> dict[str, str]:
        layer = "model.layers.{layer}.self_attn."
        return {
            **super().huggingface_names(),
            "q_norm": f"{layer}q_norm.weight",
            "k_norm": f"{layer}k_norm.weight",
        }

    def gguf_names(self) -> dict[str, str]:
        return {
            **super().gguf_names(),
            "q_norm": "blk.{layer}.attn_q_norm.weight",
            "k_norm": "blk.{layer}.attn_k_norm.weight",
        }

    def arrange_huggingface(self, weights: Weights, config: Config) -> Weights:
        norms = {
            name: pair_rows(weights[name][..., None], 1)[..., 0] for name in ("q_norm", "k_norm")
        }
        return {**super().arrange_huggingface(weights, config), **norms}

    def arrange_gguf(self, weights: Weights, config: Config) -> Weights:
        return self.arrange_huggingface(weights, config)
