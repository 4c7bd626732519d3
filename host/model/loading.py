"""Loads a model and its tokenizer, by a loader that is chosen by the files' content.

It takes llama2.c checkpoints, Hugging Face folders, GGUF files, and this project's quantized
models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from host.errors import Curable, ModelError
from host.home.home_file import load_home
from host.model import prompt_format
from host.model.architectures import LLAMA, QWEN3, Architecture
from host.model.chat import ChatTemplate
from host.model.checkpoint import Checkpoint, Config
from host.model.files import naming
from host.model.float_model import FloatModel
from host.model.float_weights import FloatWeights
from host.model.formats import gguf, quantized_file
from host.model.formats.detection import Format, detect_format, read_start
from host.model.formats.gguf import GgufModel
from host.model.formats.huggingface import HuggingFaceModel
from host.model.formats.llama2c import Llama2cModel
from host.model.other_files import name_start
from host.model.outline import Outline
from host.model.own_text import own_text_path
from host.model.prompt_format import CONTINUATION, PromptFormat
from host.model.quantization.massive import calibrate
from host.model.quantization.quantize import quantize, sample_calibration
from host.model.quantized import QuantizedModel
from host.model.tokenizers.bpe import BpeTokenizer
from host.model.tokenizers.huggingface import HuggingFaceTokenizer
from host.model.tokenizers.text import Tokenizer

T = TypeVar("T")

__all__ = ["Format", "LoadedModel", "ModelHeader", "detect_format", "load_model", "read_header"]

Check = Callable[[Outline], None]


@dataclass(frozen=True)
class LoadedModel:
    """A model, in floats or quantized already, with its tokenizer, its prompt format, and the path
    of its own texts, if there are any."""

    weights: FloatWeights | QuantizedModel
    tokenizer: Tokenizer
    prompt_format: PromptFormat = CONTINUATION
    own_text: Path | None = None

    @property
    def config(self) -> Config:
        """The model's dimensions."""
        return self.weights.config

    def quantize(self) -> QuantizedModel:
        """Returns the quantized model, which is calibrated now if it is in floats. Raises
        ModelError."""
        if isinstance(self.weights, QuantizedModel):
            return self.weights
        model = FloatModel(self.weights)
        sequences = sample_calibration(model, self.tokenizer.bos)
        return quantize(*calibrate(self.weights, model, sequences))

    def save(self, path: str | Path) -> None:
        """Writes the model, quantized, to `path`, all or nothing. Raises ModelError."""
        quantized_file.save(self.quantize(), self.tokenizer, path, self.prompt_format)


@dataclass(frozen=True)
class ModelHeader:
    """All of a model except its weights: dimensions, tokenizer, prompt format."""

    config: Config
    tokenizer: Tokenizer
    prompt_format: PromptFormat
    load_weights: Callable[[], FloatWeights | QuantizedModel]
    own_text: Path | None = None  # the path of the model's own texts, if there are any

    def load(self) -> LoadedModel:
        """Returns the model with its weights. Raises ModelError, naming the file."""
        return LoadedModel(
            self.load_weights(), self.tokenizer, self.prompt_format, self.own_text
        )


M = TypeVar("M", LoadedModel, ModelHeader)


def use_home(source: M, path: str | Path | None) -> M:
    """Returns the model for the home in a file (host/home/home_file.py); unchanged if `path` is
    None. Raises HomeError, and ModelError for a model whose answers are not about a home."""
    if path is None:
        return source
    form = source.prompt_format.at_home(load_home(path))
    return replace(source, prompt_format=form)


class _Source(Protocol):
    """A float model's file or folder; each format has a class with these methods, which raise
    ModelError without the file's name."""

    def architecture(self) -> Architecture: ...
    def outline(self) -> Outline: ...
    def tokenizer(self, vocab_size: int) -> Tokenizer: ...
    def chat_template(self) -> ChatTemplate | None: ...
    def checkpoint(self) -> Checkpoint: ...
    def weights(self) -> FloatWeights: ...


_SOURCES: dict[Format, Callable[[str | Path], _Source]] = {
    Format.LLAMA2C: Llama2cModel,
    Format.HUGGING_FACE: HuggingFaceModel,
    Format.GGUF: GgufModel,
}


def load_model(
    path: str | Path, tokenizer: str | Path | None = None, check: Check = lambda outline: None
) -> LoadedModel:
    """Loads the model at `path` with its own tokenizer, or with the one at `tokenizer`.

    check: as for read_header. Raises ModelError, naming the file and what is wrong with it.
    """
    return read_header(path, tokenizer, check).load()


def read_header(
    path: str | Path, tokenizer: str | Path | None = None, check: Check = lambda outline: None
) -> ModelHeader:
    """Reads all of the model at `path` except its weights, which may take long.

    check: raises ModelError for a model that the caller cannot use. Raises one ModelError for all
    problems that can be solved: of the tokenizer, the prompt format and, by `check`, the chips;
    but if nothing can make the model run, for that only.
    """
    if detect_format(path) is Format.QUANTIZED:
        return _read_quantized(path, tokenizer, check)
    source = _open_source(path)
    with naming(path):
        outline = source.outline()
        size = outline.config.vocab_size
    problems: list[ModelError] = []
    try:
        check(outline)
    except Curable as problem:
        problems.append(problem)
    form = _attempt(lambda: _find_format(path, source), problems)
    tokens = _attempt(lambda: find_tokenizer(path, tokenizer, size, source), problems)
    if form is None or tokens is None or problems:
        raise join_refusals(problems)

    def load_weights() -> FloatWeights:
        with naming(path):
            return source.weights()

    return ModelHeader(outline.config, tokens, form, load_weights, own_text_path(path))


def _read_quantized(path: str | Path, tokenizer: str | Path | None, check: Check) -> ModelHeader:
    model, own, form = quantized_file.load(path)
    check(Outline(model.config, model.accumulator_bits))
    size = model.config.vocab_size
    tokens = load_tokenizer(tokenizer, size) if tokenizer else own
    return ModelHeader(model.config, tokens, form, lambda: model, own_text_path(path))


def _find_format(path: str | Path, source: _Source) -> PromptFormat:
    """Returns the prompt format beside the model; without a chat template in it, it gets the
    model's."""
    form = prompt_format.load_format(path)
    if form.chat:
        return form
    with naming(path):
        return replace(form, chat=source.chat_template())


def _open_source(path: str | Path) -> _Source:
    kind = detect_format(path)
    if kind is Format.QUANTIZED:
        raise ModelError(f"{path}: is quantized already: give the model that it was made from")
    with naming(path):
        return _SOURCES[kind](path)


def _attempt(read: Callable[[], T], problems: list[ModelError]) -> T | None:
    try:
        return read()
    except ModelError as problem:
        problems.append(problem)
        return None


def join_refusals(problems: Sequence[ModelError]) -> ModelError:
    """Returns one error for all of these."""
    if len(problems) == 1:
        return problems[0]
    return ModelError("; and ".join(map(str, problems)))


def detect_architecture(path: str | Path) -> Architecture:
    """Returns the architecture of the model at `path`; for a quantized one, an architecture with
    the same layers. Raises ModelError."""
    if detect_format(path) is Format.QUANTIZED:
        return QWEN3 if read_header(path).config.qk_norm else LLAMA
    source = _open_source(path)
    with naming(path):
        return source.architecture()


def load_weights(path: str | Path) -> FloatWeights:
    """Returns the float weights of the model at `path`, which may be read only when needed.

    Raises ModelError, also for a quantized model.
    """
    source = _open_source(path)
    with naming(path):
        return source.weights()


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Loads the float weights of the model at `path`. Raises ModelError, also for a quantized
    model."""
    source = _open_source(path)
    with naming(path):
        return source.checkpoint()


def find_tokenizer(
    model: str | Path, tokenizer: str | Path | None, size: int, source: _Source
) -> Tokenizer:
    """Loads the tokenizer at `tokenizer`, or else the one in or beside the float model at `model`,
    of `size` tokens.

    Raises ModelError.
    """
    if tokenizer:
        return load_tokenizer(tokenizer, size)
    if isinstance(source, GgufModel):
        with naming(model):
            return source.tokenizer(size)
    return source.tokenizer(size)  # its errors name the tokenizer's file


def load_tokenizer(path: str | Path, size: int) -> Tokenizer:
    """Loads the tokenizer at `path`, of `size` tokens: llama2.c's, a tokenizer.json or its folder,
    or a GGUF file's.

    Raises ModelError.
    """
    path = Path(path)
    if path.is_dir():
        path /= "tokenizer.json"
    start = read_start(path)
    if start.startswith(gguf.MAGIC):
        return gguf.load_tokenizer(path, size)
    if name := name_start(start, path):
        raise ModelError(f"{path}: not a tokenizer but {name}")
    if path.suffix == ".json" or start.lstrip().startswith(b"{"):
        return HuggingFaceTokenizer.load(path, size)
    return BpeTokenizer.load(path, size)
