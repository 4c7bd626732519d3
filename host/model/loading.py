"""The one way to load a model and its tokenizer: the loader is chosen by the files' content.

llama2.c checkpoints, Hugging Face folders, GGUF files, and quantized models of this project.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from host.errors import ModelError
from host.model import prompt_format
from host.model.architectures import LLAMA, Architecture
from host.model.checkpoint import Checkpoint, Config
from host.model.files import open_file
from host.model.float_model import FloatModel
from host.model.formats import gguf as gguf_file
from host.model.formats import huggingface, llama2c, quantized_file
from host.model.prompt_format import CONTINUATION, PromptFormat
from host.model.quantization.quantize import quantize, sample_calibration
from host.model.quantized import QuantizedModel
from host.model.tokenizers.bpe import BpeTokenizer
from host.model.tokenizers.huggingface import HuggingFaceTokenizer
from host.model.tokenizers.text import Tokenizer

_ZIP = b"PK\x03\x04"  # what torch.save writes
_LONGEST_START = 64


class Format(enum.Enum):
    """What a model's file or folder is; the value is its name for people."""

    LLAMA2C = "llama2.c checkpoint"
    HUGGING_FACE = "Hugging Face folder"
    GGUF = "GGUF file"
    QUANTIZED = "quantized model"


@dataclass(frozen=True)
class LoadedModel:
    """A model, in floats or quantized already, its tokenizer, and the format of its prompts."""

    weights: Checkpoint | QuantizedModel
    tokenizer: Tokenizer
    prompt_format: PromptFormat = CONTINUATION

    @property
    def config(self) -> Config:
        """The model's dimensions."""
        return self.weights.config

    def quantize(self) -> QuantizedModel:
        """Returns the model in integers, calibrated where it has floats. Raises ModelError."""
        if isinstance(self.weights, QuantizedModel):
            return self.weights
        model = FloatModel(self.weights)
        sequences = sample_calibration(model, self.tokenizer.bos)
        return quantize(self.weights, model.measure_ranges(sequences))

    def save(self, path: str | Path) -> None:
        """Writes the model, quantized, to `path`, all or nothing. Raises ModelError."""
        quantized_file.save(self.quantize(), self.tokenizer, path, self.prompt_format)


def load_model(path: str | Path, tokenizer: str | Path | None = None) -> LoadedModel:
    """Loads the model at `path` with its own tokenizer, or with the one at `tokenizer`.

    Raises ModelError, naming the file and what is wrong with it.
    """
    if detect_format(path) is Format.QUANTIZED:
        model, own, form = quantized_file.load(path)
        return LoadedModel(
            model, load_tokenizer(tokenizer, model.config) if tokenizer else own, form
        )
    weights = load_checkpoint(path)
    form = prompt_format.load_format(path)
    return LoadedModel(weights, find_tokenizer(path, tokenizer, weights.config), form)


def detect_format(path: str | Path) -> Format:
    """Detects what is at `path`, by its first bytes: llama2.c's where nothing else fits or exists.

    Raises ModelError for formats that are known but not read.
    """
    path = Path(path)
    if path.is_dir():
        return Format.HUGGING_FACE
    start = _read_start(path)
    if start.startswith(gguf_file.MAGIC):
        return Format.GGUF
    if quantized_file.is_quantized(start):
        return Format.QUANTIZED
    # safetensors: the length of a JSON object, 8 bytes, then the object.
    if start[4:9] == b"\0\0\0\0{":
        raise ModelError(
            f"{path}: weights alone: give the folder where config.json is beside them"
        )
    if start.lstrip().startswith(b"{"):
        raise ModelError(f"{path}: a JSON file: give the folder where config.json is, or weights")
    if start.startswith(_ZIP):
        raise ModelError(f"{path}: a PyTorch or zip file: save the model as safetensors first")
    return Format.LLAMA2C


def detect_architecture(path: str | Path) -> Architecture:
    """Returns the architecture of the model at `path`; llama2.c's files, and quantized models of
    this version, hold none but Llama's layers. Raises ModelError."""
    match detect_format(path):
        case Format.HUGGING_FACE:
            return huggingface.read_architecture(path)
        case Format.GGUF:
            return gguf_file.read_architecture(path)
    return LLAMA


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Loads the float weights of the model at `path`. Raises ModelError, also for a quantized
    model."""
    match detect_format(path):
        case Format.HUGGING_FACE:
            return huggingface.load(path)
        case Format.GGUF:
            return gguf_file.load(path)
        case Format.QUANTIZED:
            raise ModelError(f"{path}: is quantized already")
    return llama2c.load(path)


def find_tokenizer(model: str | Path, tokenizer: str | Path | None, config: Config) -> Tokenizer:
    """Loads the tokenizer at `tokenizer`, or else the one in or beside the float model at `model`.

    Raises ModelError.
    """
    if tokenizer:
        return load_tokenizer(tokenizer, config)
    model, size = Path(model), config.vocab_size
    match detect_format(model):
        case Format.HUGGING_FACE:
            return HuggingFaceTokenizer.load(model / "tokenizer.json", size)
        case Format.GGUF:
            return gguf_file.load_tokenizer(model, size)
    for name in (f"tok{size}.bin", "tokenizer.bin"):
        if (model.parent / name).exists():
            return BpeTokenizer.load(model.parent / name, size)
    raise ModelError(f"no tok{size}.bin or tokenizer.bin beside {model}: give --tokenizer")


def load_tokenizer(path: str | Path, config: Config) -> Tokenizer:
    """Loads the tokenizer at `path`: llama2.c's, a tokenizer.json or its folder, or a GGUF file's.

    Raises ModelError.
    """
    path, size = Path(path), config.vocab_size
    if path.is_dir():
        path /= "tokenizer.json"
    start = _read_start(path)
    if start.startswith(gguf_file.MAGIC):
        return gguf_file.load_tokenizer(path, size)
    if path.suffix == ".json" or start.lstrip().startswith(b"{"):
        return HuggingFaceTokenizer.load(path, size)
    return BpeTokenizer.load(path, size)


def _read_start(path: Path) -> bytes:
    """Reads the first bytes of a file; none where it cannot be read, which its loader reports."""
    try:
        with open_file(path) as file:
            return file.read(_LONGEST_START)
    except OSError:
        return b""
