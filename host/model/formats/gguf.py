"""Reads models from GGUF files, with any type of tensor that the gguf library dequantizes.

Keys are those of the gguf library's constants; architectures know the names of tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from host.errors import ModelError
from host.model.architectures import Architecture, find_by_gguf_name
from host.model.chat import ChatTemplate
from host.model.checkpoint import Checkpoint, Config, FloatArray
from host.model.files import naming, open_file
from host.model.float_weights import StreamedWeights
from host.model.formats.gguf_tokenizer import read_chat_template, read_tokenizer
from host.model.formats.weights_by_name import check_tensors, gather_weights
from host.model.outline import Outline, count_bits
from host.model.tokenizers.text import Tokenizer

if TYPE_CHECKING:
    from gguf import GGUFReader, ReaderTensor

_T = TypeVar("_T")

MAGIC = b"GGUF"


class GgufModel:
    """An open GGUF file whose metadata were read. The constructor and all methods raise
    ModelError, which does not name the file."""

    def __init__(self, path: str | Path) -> None:
        self._path, self.fields = Path(path), Fields(path)

    def architecture(self) -> Architecture:
        """Returns the model's architecture."""
        kind = self.fields.get("general.type", str, "model")
        if kind != "model":
            raise ModelError(f"it holds no model but what it calls {kind:.60}")
        return find_by_gguf_name(self.fields.get("general.architecture", str))

    def outline(self) -> Outline:
        """Returns the outline of the model, from the header and one layer's matrices."""
        config, names = self._config, self.architecture().gguf_names()
        sampled = (
            (f"{weight} of layer 0", self._tensor(names[weight].format(layer=0)))
            for weight in ("wo", "w2")
        )
        return Outline(config, count_bits(sampled))

    def tokenizer(self, vocab_size: int) -> Tokenizer:
        """Returns the tokenizer in the file, for a model with `vocab_size` tokens."""
        return read_tokenizer(self.fields, vocab_size)

    def chat_template(self) -> ChatTemplate | None:
        """Returns the chat template in the file, None if it has none."""
        return read_chat_template(self.fields)

    def checkpoint(self) -> Checkpoint:
        """Returns the weights in floats."""
        config, architecture = self._config, self.architecture()
        names = architecture.gguf_names()
        weights = gather_weights(config, names, self._tensor, self._is_tied(names))
        return Checkpoint(config=config, **architecture.arrange_gguf(weights, config))

    def weights(self) -> StreamedWeights:
        """Returns the weights, each of which is read when it is needed."""
        architecture = self.architecture()
        names = architecture.gguf_names()
        return StreamedWeights(
            self._config, names, self._tensor, architecture.arrange_gguf, [self._path],
            shared=self._is_tied(names),
        )  # fmt: skip

    @cached_property
    def _config(self) -> Config:
        """The model's dimensions; the shapes of all tensors agree with them."""
        architecture = self.architecture()
        parts = self.fields.get("split.count", int, 1)
        if parts > 1:
            raise ModelError(
                f"it is one of {parts} parts of a model: merge them, as llama.cpp's"
                " llama-gguf-split --merge does"
            )
        config = architecture.read_metadata(self.fields, self._count_tokens())
        if "rope_freqs.weight" in self._tensors:
            raise ModelError("rope scaling (rope_freqs.weight) is not supported")
        names = architecture.gguf_names()
        shapes = {
            name: tuple(map(int, reversed(each.shape))) for name, each in self._tensors.items()
        }
        check_tensors(config, names, shapes, self._is_tied(names))
        return config

    def _count_tokens(self) -> int:
        """Returns the number of tokens: the rows of the embedding, which files of any age have; in
        GGUF that is the last number of its shape."""
        name = self.architecture().gguf_names()["embedding"]
        if name not in self._tensors:
            raise ModelError(f"tensor {name} is missing")
        return int(self._tensors[name].shape[-1])

    @cached_property
    def _tensors(self) -> dict[str, ReaderTensor]:
        return {tensor.name: tensor for tensor in self.fields.reader.tensors}

    def _is_tied(self, names: Mapping[str, str]) -> bool:
        return names["classifier"] not in self._tensors

    def _tensor(self, name: str) -> FloatArray:
        return _dequantize(self._tensors[name])


def load(path: str | Path) -> Checkpoint:
    """Loads the model in the GGUF file at `path`. Raises ModelError, naming the file."""
    with naming(path):
        return GgufModel(path).checkpoint()


def load_tokenizer(path: str | Path, vocab_size: int) -> Tokenizer:
    """Loads the tokenizer in the GGUF file at `path`, for a model of `vocab_size` tokens.

    Raises ModelError, also for one of a kind that is not supported.
    """
    with naming(path):
        return GgufModel(path).tokenizer(vocab_size)


def _dequantize(tensor: ReaderTensor) -> FloatArray:
    from gguf.quants import dequantize

    try:
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is refused
            values = dequantize(tensor.data, tensor.tensor_type)
    except NotImplementedError:
        raise ModelError(
            f"tensor {tensor.name} holds {tensor.tensor_type.name}, which is not supported"
        ) from None
    return values.astype(np.float32, copy=False)


class Fields:
    """The metadata of a file, by key and type; `reader` has its tensors."""

    def __init__(self, path: str | Path) -> None:
        self.reader = _open_reader(path)

    def get(self, key: str, kind: type[_T], default: _T | None = None) -> _T:
        """Returns the value of `key`. Raises ModelError if it is missing or of another type."""
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

    def has(self, key: str) -> bool:
        """Returns whether the file has a value for `key`."""
        return self.reader.get_field(key) is not None

    def is_list(self, key: str) -> bool:
        """Returns whether the value of `key` is an array."""
        field = self.reader.get_field(key)
        return field is not None and isinstance(field.contents(), list)

    def items(self, key: str, kind: type[_T]) -> list[_T]:
        """Returns the values of an array. Raises ModelError as `get` does."""
        values = self.get(key, list)
        if not all(type(value) is kind for value in values):
            raise ModelError(f"{key} holds other values than {kind.__name__}")
        return values


def _open_reader(path: str | Path) -> GGUFReader:
    import gguf

    class Reader(gguf.GGUFReader):
        """Raises an error at the end of the file, where the library's reader would go on."""

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
