"""Models as GGUF files, of any type of tensor that the gguf library dequantizes.

Keys are those of the gguf library's constants; what the tensors are called is a matter of the
architecture.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from host.errors import ModelError
from host.model.architectures import Architecture, find_by_gguf_name
from host.model.checkpoint import Checkpoint, FloatArray
from host.model.files import open_file
from host.model.formats.weights_by_name import gather_weights
from host.model.tokenizers.bpe import BpeTokenizer

if TYPE_CHECKING:
    from gguf import GGUFReader, ReaderTensor

_T = TypeVar("_T")

MAGIC = b"GGUF"
_SPACE = "\u2581"  # SentencePiece's sign for a space


def load(path: str | Path) -> Checkpoint:
    """Loads the model in the GGUF file at `path`. Raises ModelError, naming the file."""
    try:
        return _load_checkpoint(_Fields(path))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def load_tokenizer(path: str | Path, vocab_size: int) -> BpeTokenizer:
    """Loads the tokenizer in the GGUF file at `path`, for a model of `vocab_size` tokens.

    Raises ModelError, also for one that is not SentencePiece's BPE ("llama").
    """
    try:
        return _load_tokenizer(_Fields(path), vocab_size)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def read_architecture(path: str | Path) -> Architecture:
    """Returns the architecture of the model in the GGUF file at `path`. Raises ModelError."""
    try:
        return _find_architecture(_Fields(path))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def _find_architecture(fields: _Fields) -> Architecture:
    return find_by_gguf_name(fields.get("general.architecture", str))


def _load_checkpoint(fields: _Fields) -> Checkpoint:
    architecture = _find_architecture(fields)
    names = architecture.gguf_names()
    tensors = {tensor.name: tensor for tensor in fields.reader.tensors}
    if names["embedding"] not in tensors:
        raise ModelError(f"tensor {names['embedding']} is missing")
    # Its rows, which files of any age have: the last number of its shape there.
    vocab_size = int(tensors[names["embedding"]].shape[-1])
    config = architecture.read_metadata(fields, vocab_size)
    if "rope_freqs.weight" in tensors:
        raise ModelError("rope scaling (rope_freqs.weight) is not supported")
    is_tied = names["classifier"] not in tensors
    weights = gather_weights(
        config, names, tensors, lambda name: _dequantize(tensors[name]), is_tied
    )
    return Checkpoint(config=config, **architecture.arrange_gguf(weights, config))


def _dequantize(tensor: ReaderTensor) -> FloatArray:
    from gguf.quants import dequantize

    try:
        values = dequantize(tensor.data, tensor.tensor_type)
    except NotImplementedError:
        raise ModelError(
            f"tensor {tensor.name} holds {tensor.tensor_type.name}, which is not supported"
        ) from None
    return values.astype(np.float32, copy=False)


def _load_tokenizer(fields: _Fields, vocab_size: int) -> BpeTokenizer:
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
        bos=_special_token(fields, "bos", 1, vocab_size),
        eos=_special_token(fields, "eos", 2, vocab_size),
        byte_tokens=[token_of.get(f"<0x{byte:02X}>", vocab_size) for byte in range(256)],
        space_first=fields.get("tokenizer.ggml.add_space_prefix", bool, True),
    )


def _special_token(fields: _Fields, name: str, default: int, vocab_size: int) -> int:
    token = fields.get(f"tokenizer.ggml.{name}_token_id", int, default)
    if not 0 <= token < vocab_size:
        raise ModelError(f"the {name} token {token} is not among the {vocab_size} tokens")
    return token


class _Fields:
    """The metadata of a file, by key and type; `reader` has its tensors."""

    def __init__(self, path: str | Path) -> None:
        self.reader = _open_reader(path)

    def get(self, key: str, kind: type[_T], default: _T | None = None) -> _T:
        """Returns the value of `key`. Raises ModelError where it is of another type or missing."""
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
        """Returns the values of an array. Raises ModelError as `get` does."""
        values = self.get(key, list)
        if not all(type(value) is kind for value in values):
            raise ModelError(f"{key} holds other values than {kind.__name__}")
        return values


def _open_reader(path: str | Path) -> GGUFReader:
    import gguf

    class Reader(gguf.GGUFReader):
        """Stops at the end of the file, where the library's goes on counting empty items."""

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
