"""Llama models as GGUF files, of any type of tensor that the gguf library dequantizes.

Keys and names are those of the gguf library's constants. The converter of llama.cpp puts the rows
of q and k in the order for a rope of adjacent pairs (`LlamaModel.permute`; llama.cpp runs this
architecture with LLAMA_ROPE_TYPE_NORM), which is the order here, so they stay as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from host.errors import ModelError
from host.model.checkpoint import Checkpoint, Config, FloatArray
from host.model.formats.reading import open_file
from host.model.formats.weights_by_name import gather_weights
from host.model.tokenizers.bpe import BpeTokenizer

if TYPE_CHECKING:
    from gguf import GGUFReader, ReaderTensor

_T = TypeVar("_T")

MAGIC = b"GGUF"
_LAYER = "blk.{layer}."
NAMES = {
    "embedding": "token_embd.weight",
    "attention_norm": _LAYER + "attn_norm.weight",
    "wq": _LAYER + "attn_q.weight",
    "wk": _LAYER + "attn_k.weight",
    "wv": _LAYER + "attn_v.weight",
    "wo": _LAYER + "attn_output.weight",
    "ffn_norm": _LAYER + "ffn_norm.weight",
    "w1": _LAYER + "ffn_gate.weight",
    "w2": _LAYER + "ffn_down.weight",
    "w3": _LAYER + "ffn_up.weight",
    "final_norm": "output_norm.weight",
    "classifier": "output.weight",
}
_SPACE = "\u2581"  # SentencePiece's sign for a space


def load(path: str | Path) -> Checkpoint:
    """The model in the GGUF file at `path`. Raises ModelError, naming it and what is wrong."""
    try:
        return _checkpoint(_Fields(path))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def load_tokenizer(path: str | Path, vocab_size: int) -> BpeTokenizer:
    """The tokenizer in the GGUF file at `path`, for a model of `vocab_size` tokens.

    Raises ModelError, also for one that is not SentencePiece's BPE ("llama").
    """
    try:
        return _tokenizer(_Fields(path), vocab_size)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def _checkpoint(fields: _Fields) -> Checkpoint:
    config = _config(fields)
    tensors = {tensor.name: tensor for tensor in fields.reader.tensors}
    if "rope_freqs.weight" in tensors:
        raise ModelError("rope scaling (rope_freqs.weight) is not supported")
    shared = NAMES["classifier"] not in tensors
    weights = gather_weights(config, NAMES, tensors, lambda name: _float32(tensors[name]), shared)
    return Checkpoint(config=config, **weights)


def _float32(tensor: ReaderTensor) -> FloatArray:
    from gguf.quants import dequantize

    try:
        values = dequantize(tensor.data, tensor.tensor_type)
    except NotImplementedError:
        raise ModelError(
            f"tensor {tensor.name} holds {tensor.tensor_type.name}, which is not supported"
        ) from None
    return values.astype(np.float32, copy=False)


def _tokenizer(fields: _Fields, vocab_size: int) -> BpeTokenizer:
    kind = fields.get("tokenizer.ggml.model", str)
    if kind != "llama":
        raise ModelError(
            f"its tokenizer is of the kind {kind}, expected llama: give the model's"
            " tokenizer.json with --tokenizer"
        )
    texts = fields.items("tokenizer.ggml.tokens", str)
    scores = fields.items("tokenizer.ggml.scores", float)
    if not len(texts) == len(scores) == vocab_size:
        raise ModelError(
            f"the tokenizer has {len(texts)} tokens and {len(scores)} scores, the model has"
            f" {vocab_size} tokens"
        )
    token_of = {text: token for token, text in enumerate(texts)}
    return BpeTokenizer(
        [text.replace(_SPACE, " ").encode() for text in texts],
        scores,
        bos=_special(fields, "bos", 1, vocab_size),
        eos=_special(fields, "eos", 2, vocab_size),
        byte_tokens=[token_of.get(f"<0x{byte:02X}>", vocab_size) for byte in range(256)],
        space_first=fields.get("tokenizer.ggml.add_space_prefix", bool, True),
    )


def _config(fields: _Fields) -> Config:
    architecture = fields.get("general.architecture", str)
    if architecture != "llama":
        raise ModelError(f"architecture {architecture:.60}, expected llama")
    heads = fields.get("llama.attention.head_count", int)
    config = Config(
        dim=fields.get("llama.embedding_length", int),
        hidden_dim=fields.get("llama.feed_forward_length", int),
        layers=fields.get("llama.block_count", int),
        heads=heads,
        kv_heads=fields.get("llama.attention.head_count_kv", int, heads),
        vocab_size=_vocab_size(fields),
        context=fields.get("llama.context_length", int),
        rope_theta=_meant(fields.get("llama.rope.freq_base", float, 10000.0)),
        norm_eps=_meant(fields.get("llama.attention.layer_norm_rms_epsilon", float)),
    )
    for name in ("rope.dimension_count", "attention.key_length", "attention.value_length"):
        size = fields.get(f"llama.{name}", int, config.head_dim)
        if size != config.head_dim:
            raise ModelError(f"llama.{name} is {size}, expected the head size {config.head_dim}")
    scaling = fields.get("llama.rope.scaling.type", str, "none")
    if scaling != "none":
        raise ModelError(f"rope scaling {scaling} is not supported")
    experts = fields.get("llama.expert_count", int, 0)
    if experts:
        raise ModelError(f"a mixture of {experts} experts is not supported")
    return config


def _meant(value: float) -> float:
    """The shortest decimal number of a float32: 1e-05, which float32 has only nearly."""
    return float(str(np.float32(value)))


def _vocab_size(fields: _Fields) -> int:
    """Rows of the embedding, which files of any age have; its shape's last number there."""
    for tensor in fields.reader.tensors:
        if tensor.name == NAMES["embedding"]:
            return int(tensor.shape[-1])
    raise ModelError(f"tensor {NAMES['embedding']} is missing")


def _special(fields: _Fields, name: str, default: int, vocab_size: int) -> int:
    token = fields.get(f"tokenizer.ggml.{name}_token_id", int, default)
    if not 0 <= token < vocab_size:
        raise ModelError(f"the {name} token {token} is not among the {vocab_size} tokens")
    return token


class _Fields:
    """The metadata of a file, by key and type; `reader` has its tensors."""

    def __init__(self, path: str | Path) -> None:
        self.reader = _reader(path)

    def get(self, key: str, kind: type[_T], default: _T | None = None) -> _T:
        """The value of `key`. Raises ModelError for another type, or where there is none."""
        field = self.reader.get_field(key)
        if field is None:
            if default is None:
                raise ModelError(f"{key} is missing")
            return default
        try:
            value = field.contents()
        except UnicodeDecodeError:
            raise ModelError(f"{key} is no UTF-8 text") from None
        if type(value) is not kind:
            raise ModelError(f"{key} is a {type(value).__name__}, expected {kind.__name__}")
        return value

    def items(self, key: str, kind: type[_T]) -> list[_T]:
        """The values of `key`, as `get`."""
        values = self.get(key, list)
        if not all(type(value) is kind for value in values):
            raise ModelError(f"{key} holds other values than {kind.__name__}")
        return values


def _reader(path: str | Path) -> GGUFReader:
    import gguf

    class Reader(gguf.GGUFReader):
        """Ends at the end of the file, where the library's would count empty items on and on."""

        def _get(self, offset: int, dtype: Any, count: int = 1, *order: Any, **named: Any) -> Any:
            if offset + np.dtype(dtype).itemsize * int(count) > len(self.data):
                raise ValueError("the file ends too early")
            return super()._get(offset, dtype, count, *order, **named)

    try:
        open_file(path).close()  # the library would wait for a pipe
        return Reader(path)
    except OSError as error:
        raise ModelError(f"cannot read the model: {error.strerror}") from error
    except Exception as error:  # whatever its parsing meets in a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        kind = "damaged or truncated GGUF file"
        if "version" in reason:
            kind = "GGUF file of another version"
        raise ModelError(f"{kind}: {reason}") from None
