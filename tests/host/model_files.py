"""Writes small models in the formats that loaders read, and computes their logits plainly."""

import json
import struct
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import save_file

from host.model.checkpoint import Checkpoint, Config, weight_shapes
from host.model.tokenizers.bpe import BpeTokenizer, serialize_tokens

NORMS = ("attention_norm", "ffn_norm", "final_norm")
# The names in Hugging Face and GGUF files, written out once more: (ours, theirs, theirs).
LAYER_NAMES = [
    ("attention_norm", "input_layernorm", "attn_norm"),
    ("wq", "self_attn.q_proj", "attn_q"),
    ("wk", "self_attn.k_proj", "attn_k"),
    ("wv", "self_attn.v_proj", "attn_v"),
    ("wo", "self_attn.o_proj", "attn_output"),
    ("ffn_norm", "post_attention_layernorm", "ffn_norm"),
    ("w1", "mlp.gate_proj", "ffn_gate"),
    ("w2", "mlp.down_proj", "ffn_down"),
    ("w3", "mlp.up_proj", "ffn_up"),
]


def config_of(head_dim: int, kv_heads: int, group: int, hidden: int, vocab: int = 40) -> Config:
    """Two layers, 16 positions; `group` query heads share a KV head."""
    heads = kv_heads * group
    return Config(head_dim * heads, hidden, 2, heads, kv_heads, vocab, 16)


# Head sizes 8 to 64, with and without grouped queries, odd feed-forward sizes.
SHAPES = [
    config_of(8, 3, 1, 21),
    config_of(8, 2, 4, 53),
    config_of(16, 1, 3, 37),
    config_of(32, 2, 1, 9),
    config_of(64, 1, 2, 131),
]


def grouped_checkpoint(config: Config, shared: bool, group: int = 8, seed: int = 0) -> Checkpoint:
    """Random weights that int8 with a float32 scale for each `group` of them says exactly."""
    random = np.random.default_rng(seed)
    weights = {}
    for name, shape in weight_shapes(config).items():
        if name in NORMS:
            weights[name] = (1 + 0.3 * random.standard_normal(shape)).astype(np.float32)
            continue
        integers = random.integers(-127, 128, (int(np.prod(shape)) // group, group))
        integers[:, 0] = 127  # so that the scale is the largest magnitude over 127
        # Of so few bits that 127 times a scale, over 127, is the scale again.
        scales = random.integers(500, 1500, (len(integers), 1)) * np.float32(2.0**-18)
        weights[name] = (integers * scales).astype(np.float32).reshape(shape)
    if shared:
        weights["classifier"] = weights["embedding"]
    return Checkpoint(config=config, **weights)


def write_version_2(checkpoint: Checkpoint, path: Path, group: int) -> None:
    """As version2_export of llama2.c does: int8 values and scales, one tensor after another."""
    c, shared = checkpoint.config, checkpoint.shared_classifier
    header = struct.pack("<Ii", 0x616B3432, 2)
    header += struct.pack("<7i", c.dim, c.hidden_dim, c.layers, c.heads, c.kv_heads,
                          c.vocab_size, c.context)  # fmt: skip
    header += struct.pack("<B", shared) + struct.pack("<i", group)
    body = b"".join(getattr(checkpoint, name).tobytes() for name in NORMS)
    tensors = [checkpoint.embedding]
    for name in ("wq", "wk", "wv", "wo", "w1", "w2", "w3"):
        tensors += list(getattr(checkpoint, name))
    for tensor in tensors if shared else [*tensors, checkpoint.classifier]:
        rows = tensor.reshape(-1, group)
        scale = np.abs(rows).max(axis=1) / np.float32(127)
        integers = np.round(rows / scale[:, None]).astype(np.int8)
        body += integers.tobytes() + scale.astype("<f4").tobytes()
    path.write_bytes(header.ljust(256, b"\0") + body)


def huggingface_tensors(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """Under Hugging Face's names, rows of q and k in the order for its rope."""
    tensors = {
        "model.embed_tokens.weight": checkpoint.embedding,
        "model.norm.weight": checkpoint.final_norm,
    }
    if not checkpoint.shared_classifier:
        tensors["lm_head.weight"] = checkpoint.classifier
    size = checkpoint.config.head_dim
    # Element 2i of a head goes to i, element 2i + 1 to i + size / 2.
    order = [*range(0, size, 2), *range(1, size, 2)]
    for ours, theirs, _ in LAYER_NAMES:
        for layer, weight in enumerate(getattr(checkpoint, ours)):
            if ours in ("wq", "wk"):
                starts = range(0, len(weight), size)
                weight = weight[[start + place for start in starts for place in order]]
            tensors[f"model.layers.{layer}.{theirs}.weight"] = weight
    return tensors


def huggingface_config(config: Config, **others: object) -> dict[str, object]:
    """The fields of config.json; `others` replace them or, where None, stand there as null."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": config.dim,
        "intermediate_size": config.hidden_dim,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context,
        "rope_theta": config.rope_theta,
        "rms_norm_eps": config.norm_eps,
        **others,
    }


def write_huggingface(checkpoint: Checkpoint, folder: Path, **others: object) -> Path:
    """A folder with config.json and model.safetensors, the tokenizer not in it."""
    folder.mkdir(exist_ok=True)
    tied = checkpoint.shared_classifier
    fields = huggingface_config(checkpoint.config, tie_word_embeddings=tied, **others)
    (folder / "config.json").write_text(json.dumps(fields))
    tensors = huggingface_tensors(checkpoint)
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    save_file(contiguous, folder / "model.safetensors", {"format": "pt"})
    return folder


def write_gguf(
    checkpoint: Checkpoint,
    path: Path,
    tokenizer: BpeTokenizer | None = None,
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
    extra: dict[str, object] | None = None,
    architecture: str = "llama",
) -> Path:
    """`kind`: of the matrices; `extra`: more metadata, text, numbers, or arrays as tensors."""
    writer = gguf.GGUFWriter(path, architecture)
    c = checkpoint.config
    writer.add_context_length(c.context)
    writer.add_embedding_length(c.dim)
    writer.add_block_count(c.layers)
    writer.add_feed_forward_length(c.hidden_dim)
    writer.add_head_count(c.heads)
    if c.kv_heads != c.heads:
        writer.add_head_count_kv(c.kv_heads)
    writer.add_layer_norm_rms_eps(c.norm_eps)
    writer.add_rope_dimension_count(c.head_dim)
    if tokenizer:
        _add_tokenizer(writer, tokenizer)
    for name, value in (extra or {}).items():
        if isinstance(value, np.ndarray):
            writer.add_tensor(name, value)
        elif isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        elif isinstance(value, list):
            writer.add_array(name, value)
        else:
            writer.add_uint32(name, value)
    tensors = {"token_embd": checkpoint.embedding, "output_norm": checkpoint.final_norm}
    if not checkpoint.shared_classifier:
        tensors["output"] = checkpoint.classifier
    for ours, _, theirs in LAYER_NAMES:
        for layer, weight in enumerate(getattr(checkpoint, ours)):
            tensors[f"blk.{layer}.{theirs}"] = weight
    for name, tensor in tensors.items():
        stored = gguf.quants.quantize(tensor, kind) if tensor.ndim > 1 else tensor
        writer.add_tensor(f"{name}.weight", stored, raw_dtype=kind if tensor.ndim > 1 else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: BpeTokenizer) -> None:
    writer.add_tokenizer_model("llama")
    writer.add_token_list([piece.decode().replace(" ", "\u2581") for piece in tokenizer.pieces])
    writer.add_token_scores(tokenizer.scores)
    writer.add_bos_token_id(tokenizer.bos)
    if isinstance(tokenizer.eos, list):  # as some files have it
        writer.add_array(gguf.Keys.Tokenizer.EOS_ID, tokenizer.eos)
    else:
        writer.add_eos_token_id(tokenizer.eos)


# A vocabulary as SentencePiece makes them: three special tokens, all bytes, merges by score,
# then the characters.
WORDS = [" a", "ab", "ba", " ab", "abba", " ba", "é", "cab", " c", "ca", "b a", "ll"]
LETTERS = [" ", "a", "b", "c", "d", "é", "l"]
PIECES = ["<unk>", "<s>", "</s>", *[f"<0x{byte:02X}>" for byte in range(256)]]
PIECES += [word for word in WORDS if len(word) > 1] + LETTERS
SCORES = [0.0] * 259 + [-float(rank) for rank in range(len(PIECES) - 259)]
VOCABULARY = len(PIECES)


def small_tokenizer() -> BpeTokenizer:
    """Of this vocabulary."""
    return BpeTokenizer([piece.encode() for piece in PIECES], SCORES)


def write_llama2c_tokenizer(path: Path) -> Path:
    """llama2.c's file of this vocabulary."""
    path.write_bytes(serialize_tokens(small_tokenizer()))
    return path


def write_tokenizer_json(path: Path) -> Path:
    """The tokenizer.json that transformers makes of a Llama 2 tokenizer of this vocabulary."""
    from tokenizers import AddedToken, decoders, models, normalizers
    from tokenizers import Tokenizer as Library

    texts = [piece.replace(" ", "\u2581") for piece in PIECES]
    merges = [
        (text[:cut], text[cut:])
        for text in texts[259:]
        for cut in range(1, len(text))
        if text[:cut] in texts and text[cut:] in texts
    ]
    vocabulary = {text: token for token, text in enumerate(texts)}
    library = Library(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    prepend, replace = normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")
    library.normalizer = normalizers.Sequence([prepend, replace])
    library.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    library.add_special_tokens([AddedToken(piece, special=True) for piece in PIECES[:3]])
    library.save(str(path))
    return path


def plain_logits(config: Config, tensors: dict[str, np.ndarray], tokens: list[int]) -> np.ndarray:
    """Logits [positions, vocab] of a model under Hugging Face's names, in float64.

    As transformers' modeling_llama.py computes them: rope turns the halves of a head.
    """
    w = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    size, count = config.head_dim, len(tokens)
    frequencies = config.rope_theta ** -(np.arange(0, size, 2) / size)
    angles = np.outer(np.arange(count), np.concatenate([frequencies, frequencies]))

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + config.norm_eps) * w[name]

    def turned(x: np.ndarray) -> np.ndarray:
        half = np.concatenate([-x[..., size // 2 :], x[..., : size // 2]], axis=-1)
        return x * np.cos(angles) + half * np.sin(angles)

    def heads(x: np.ndarray, name: str) -> np.ndarray:
        return (x @ w[name].T).reshape(count, -1, size).transpose(1, 0, 2)

    x = w["model.embed_tokens.weight"][tokens]
    for layer in range(config.layers):
        at = f"model.layers.{layer}."
        h = norm(x, at + "input_layernorm.weight")
        q, k, v = (heads(h, f"{at}self_attn.{name}_proj.weight") for name in "qkv")
        shard = config.heads // config.kv_heads
        q, k, v = turned(q), np.repeat(turned(k), shard, 0), np.repeat(v, shard, 0)
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(size)
        scores += np.where(np.tri(count) > 0, 0, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        attended = (weights / weights.sum(-1, keepdims=True)) @ v
        attended = attended.transpose(1, 0, 2).reshape(count, -1)
        x = x + attended @ w[at + "self_attn.o_proj.weight"].T
        h = norm(x, at + "post_attention_layernorm.weight")
        gate, up = h @ w[at + "mlp.gate_proj.weight"].T, h @ w[at + "mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w[at + "mlp.down_proj.weight"].T
    head = w.get("lm_head.weight", w["model.embed_tokens.weight"])
    return norm(x, "model.norm.weight") @ head.T
