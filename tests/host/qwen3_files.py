"""A small Qwen3 in the files of transformers and of llama.cpp, and its logits.

The logits are computed from the model's description (Qwen3 Technical Report, 2025, section 2), one
position and head at a time, with nothing of the program's own.
"""

import json
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from host.model.checkpoint import Config

CONFIG = Config(
    dim=24, hidden_dim=20, layers=2, heads=4, kv_heads=2, vocab_size=40, context=32,
    rope_theta=1e6, norm_eps=1e-6, head_dim=16, qk_norm=True,
)  # fmt: skip
Tensors = dict[str, NDArray[np.float32]]
_LAYER = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def random_tensors(c: Config = CONFIG, tied: bool = True, seed: int = 0) -> Tensors:
    """Under transformers' names, rows in the order of its rope."""
    random = np.random.default_rng(seed)
    q, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
    shapes = {
        "input_layernorm": (c.dim,), "self_attn.q_proj": (q, c.dim),
        "self_attn.k_proj": (kv, c.dim), "self_attn.v_proj": (kv, c.dim),
        "self_attn.o_proj": (c.dim, q), "self_attn.q_norm": (c.head_dim,),
        "self_attn.k_norm": (c.head_dim,), "post_attention_layernorm": (c.dim,),
        "mlp.gate_proj": (c.hidden_dim, c.dim), "mlp.up_proj": (c.hidden_dim, c.dim),
        "mlp.down_proj": (c.dim, c.hidden_dim),
    }  # fmt: skip
    all_shapes: dict[str, tuple[int, ...]] = {
        f"model.layers.{layer}.{name}.weight": shape
        for layer in range(c.layers)
        for name, shape in shapes.items()
    }
    all_shapes["model.embed_tokens.weight"] = (c.vocab_size, c.dim)
    all_shapes["model.norm.weight"] = (c.dim,)
    if not tied:
        all_shapes["lm_head.weight"] = (c.vocab_size, c.dim)
    return {
        name: (0.4 * random.standard_normal(shape) + ("norm" in name)).astype(np.float32)
        for name, shape in all_shapes.items()
    }


def write_folder(folder: Path, tensors: Tensors, **changed: object) -> Path:
    """config.json as Qwen3's are, and model.safetensors."""
    folder.mkdir()
    c = CONFIG
    fields = {
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "bos_token_id": 1,
        "eos_token_id": 2, "head_dim": c.head_dim, "hidden_act": "silu", "hidden_size": c.dim,
        "intermediate_size": c.hidden_dim, "max_position_embeddings": c.context,
        "max_window_layers": 28, "model_type": "qwen3", "num_attention_heads": c.heads,
        "num_hidden_layers": c.layers, "num_key_value_heads": c.kv_heads,
        "rms_norm_eps": c.norm_eps, "rope_scaling": None, "rope_theta": c.rope_theta,
        "sliding_window": None, "tie_word_embeddings": "lm_head.weight" not in tensors,
        "use_sliding_window": False, "vocab_size": c.vocab_size, **changed,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(fields))
    save_file(tensors, folder / "model.safetensors")
    return folder


def write_gguf(path: Path, tensors: Tensors) -> Path:
    """As llama.cpp's converter does: other names, the same rows."""
    writer = gguf.GGUFWriter(path, "qwen3")
    c = CONFIG
    writer.add_context_length(c.context)
    writer.add_embedding_length(c.dim)
    writer.add_block_count(c.layers)
    writer.add_feed_forward_length(c.hidden_dim)
    writer.add_head_count(c.heads)
    writer.add_head_count_kv(c.kv_heads)
    writer.add_key_length(c.head_dim)
    writer.add_value_length(c.head_dim)
    writer.add_rope_freq_base(c.rope_theta)
    writer.add_layer_norm_rms_eps(c.norm_eps)
    names = {
        "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"
    }  # fmt: skip
    for layer in range(c.layers):
        for theirs, ours in _LAYER.items():
            names[f"model.layers.{layer}.{theirs}"] = f"blk.{layer}.{ours}"
    for name, tensor in tensors.items():
        writer.add_tensor(f"{names[name.removesuffix('.weight')]}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def plain_logits(tensors: Tensors, tokens: list[int], c: Config = CONFIG) -> NDArray[np.float64]:
    """Logits [positions, vocab], one position and head at a time."""
    get = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    angles = c.rope_theta ** (-np.arange(0, c.head_dim, 2) / c.head_dim)
    keys: list[list[NDArray[np.float64]]] = [[] for _ in range(c.layers)]
    values: list[list[NDArray[np.float64]]] = [[] for _ in range(c.layers)]
    out = []

    def norm(x: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(x / np.sqrt((x * x).mean() + c.norm_eps) * weight)

    def turn(head: NDArray[np.float64], position: int) -> NDArray[np.float64]:
        low, high = np.split(head, 2)
        cosine, sine = np.cos(position * angles), np.sin(position * angles)
        return np.concatenate([low * cosine - high * sine, high * cosine + low * sine])

    for position, token in enumerate(tokens):
        x = get["model.embed_tokens.weight"][token]
        for layer in range(c.layers):
            def of(name: str, layer: int = layer) -> NDArray[np.float64]:
                return get[f"model.layers.{layer}.{name}.weight"]

            normed = norm(x, of("input_layernorm"))
            q = (of("self_attn.q_proj") @ normed).reshape(c.heads, -1)
            k = (of("self_attn.k_proj") @ normed).reshape(c.kv_heads, -1)
            q = np.array([turn(norm(h, of("self_attn.q_norm")), position) for h in q])
            k = np.array([turn(norm(h, of("self_attn.k_norm")), position) for h in k])
            keys[layer].append(k)
            values[layer].append((of("self_attn.v_proj") @ normed).reshape(c.kv_heads, -1))
            means = []
            for head in range(c.heads):
                shared = head // (c.heads // c.kv_heads)
                scores = np.array([past[shared] @ q[head] for past in keys[layer]])
                weights = np.exp((scores - scores.max()) / np.sqrt(c.head_dim))
                past_values = np.array([past[shared] for past in values[layer]])
                means.append(weights @ past_values / weights.sum())
            x = x + of("self_attn.o_proj") @ np.concatenate(means)
            normed = norm(x, of("post_attention_layernorm"))
            gate = of("mlp.gate_proj") @ normed
            hidden = gate / (1 + np.exp(-gate)) * (of("mlp.up_proj") @ normed)
            x = x + of("mlp.down_proj") @ hidden
        final = norm(x, get["model.norm.weight"])
        out.append(get.get("lm_head.weight", get["model.embed_tokens.weight"]) @ final)
    return np.array(out)
