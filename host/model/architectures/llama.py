"""Llama: `LlamaConfig` and `LlamaForCausalLM` of transformers, "llama" of llama.cpp.

The fields of config.json and their defaults are those of `LlamaConfig`. The q and k projections of
safetensors files are laid out for a rope that turns element i of a head with element
i + head size / 2. llama.cpp's converter puts their rows in the order for a rope of adjacent pairs
(`LlamaModel.permute`; llama.cpp runs this architecture with LLAMA_ROPE_TYPE_NORM), which is the
order of `Checkpoint`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from host.errors import ModelError
from host.model.architectures.architecture import Architecture, Metadata, Weights, pair_rows
from host.model.architectures.config_json import ConfigJson
from host.model.checkpoint import Config

# Metadata of a GGUF file that are factors of some value.
_SCALES = (
    "logit_scale", "embedding_scale", "residual_scale", "attention.scale", "rope.scaling.factor",
    "rope.scale_linear", "rope.scaling.attn_factor",
)  # fmt: skip
_HUGGINGFACE_LAYER, _GGUF_LAYER = "model.layers.{layer}.", "blk.{layer}."


class Llama(Architecture):
    """Llama 1 to 3, and models that have the same layers under the same names."""

    name = "Llama"
    model_type = "llama"
    model_class = "LlamaForCausalLM"
    gguf_name: ClassVar[str | None] = "llama"
    default_context = 2048

    def read_config(self, fields: ConfigJson) -> Config:
        fields.require("hidden_act", "silu", "swish")
        for name in ("attention_bias", "mlp_bias"):
            fields.require(name, False)
        fields.require("partial_rotary_factor", 1)
        fields.require("quantization_config")
        self.check_window(fields)
        heads = fields.get_count("num_attention_heads")
        return Config(
            dim=fields.get_count("hidden_size"),
            hidden_dim=fields.get_count("intermediate_size"),
            layers=fields.get_count("num_hidden_layers"),
            heads=heads,
            kv_heads=fields.get_count("num_key_value_heads", heads),
            vocab_size=fields.get_count("vocab_size"),
            context=fields.get_count("max_position_embeddings", self.default_context),
            rope_theta=fields.rope_theta(10000.0),
            norm_eps=fields.get_real("rms_norm_eps", 1e-6),
            head_dim=fields.get_count("head_dim", 0),
        )

    def check_window(self, fields: ConfigJson) -> None:
        """Raises ModelError if attention does not reach back over the whole context."""
        fields.require("sliding_window")

    def read_metadata(self, metadata: Metadata, vocab_size: int) -> Config:
        def count(name: str, default: int | None = None) -> int:
            return metadata.get(f"{self.gguf_name}.{name}", int, default)

        def real(name: str, default: float | None = None) -> float:
            return _shortest(metadata.get(f"{self.gguf_name}.{name}", float, default))

        heads = count("attention.head_count")
        config = Config(
            dim=count("embedding_length"),
            hidden_dim=count("feed_forward_length"),
            layers=count("block_count"),
            heads=heads,
            kv_heads=count("attention.head_count_kv", heads),
            vocab_size=vocab_size,
            context=count("context_length"),
            rope_theta=real("rope.freq_base", 10000.0),
            norm_eps=real("attention.layer_norm_rms_epsilon"),
            head_dim=count("attention.key_length", 0),
        )
        values = count("attention.value_length", config.dim // config.heads)
        if values != config.head_dim:
            raise ModelError(
                f"keys of {config.head_dim} elements and values of {values} in a head: those of"
                " different sizes are not supported"
            )
        turned = count("rope.dimension_count", config.head_dim)
        if turned != config.head_dim:
            raise ModelError(
                f"rope on {turned} of a head's {config.head_dim} elements is not supported"
            )
        scaling = metadata.get(f"{self.gguf_name}.rope.scaling.type", str, "none")
        if scaling != "none":
            raise ModelError(f"rope scaling {scaling} is not supported")
        for name in _SCALES:
            if real(name, 1.0) not in (0, 1):  # 0 stands for none, too
                raise ModelError(f"{name} is not supported")
        if not metadata.get(f"{self.gguf_name}.attention.causal", bool, True):
            raise ModelError("a model that looks ahead (attention.causal) is not supported")
        if experts := count("expert_count", 0):
            raise ModelError(f"a mixture of {experts} experts is not supported")
        window = count("attention.sliding_window", 0)
        if 0 < window < config.context:
            raise ModelError(f"a sliding window of {window} positions is not supported")
        return config

    def huggingface_names(self) -> dict[str, str]:
        layer = {
            "attention_norm": "input_layernorm",
            "wq": "self_attn.q_proj",
            "wk": "self_attn.k_proj",
            "wv": "self_attn.v_proj",
            "wo": "self_attn.o_proj",
            "ffn_norm": "post_attention_layernorm",
            "w1": "mlp.gate_proj",
            "w2": "mlp.down_proj",
            "w3": "mlp.up_proj",
        }
        return {
            "embedding": "model.embed_tokens.weight",
            **{weight: f"{_HUGGINGFACE_LAYER}{name}.weight" for weight, name in layer.items()},
            "final_norm": "model.norm.weight",
            "classifier": "lm_head.weight",
        }

    def gguf_names(self) -> dict[str, str]:
        layer = {
            "attention_norm": "attn_norm",
            "wq": "attn_q",
            "wk": "attn_k",
            "wv": "attn_v",
            "wo": "attn_output",
            "ffn_norm": "ffn_norm",
            "w1": "ffn_gate",
            "w2": "ffn_down",
            "w3": "ffn_up",
        }
        return {
            "embedding": "token_embd.weight",
            **{weight: f"{_GGUF_LAYER}{name}.weight" for weight, name in layer.items()},
            "final_norm": "output_norm.weight",
            "classifier": "output.weight",
        }

    def arrange_huggingface(self, weights: Weights, config: Config) -> Weights:
        paired = {
            "wq": pair_rows(weights["wq"], config.heads),
            "wk": pair_rows(weights["wk"], config.kv_heads),
        }
        return {**weights, **paired}

    def arrange_gguf(self, weights: Weights, config: Config) -> Weights:
        return weights


def _shortest(value: float) -> float:
    """Returns the float with the shortest decimal form of a float32: 1e-05, not 9.99999974e-06."""
    return float(str(np.float32(value)))
