"""Detects the format of a model by the first bytes of its file."""

from __future__ import annotations

import enum
import struct
from pathlib import Path

from host.errors import ModelError
from host.model.files import open_file
from host.model.formats import gguf, quantized_file
from host.model.other_files import LONGEST_START, name_start

# llama2.c's tokenizer begins with the longest token's length, then "<unk>" with score and length.
_LLAMA2C_TOKENIZER = struct.Struct("<ifi")


class Format(enum.Enum):
    """The format of a model's file or folder; the value is its name for messages."""

    LLAMA2C = "llama2.c checkpoint"
    HUGGING_FACE = "Hugging Face folder"
    GGUF = "GGUF file"
    QUANTIZED = "quantized model"


def detect_format(path: str | Path) -> Format:
    """Detects the format at `path` by its first bytes; llama2.c's if no other fits.

    Raises ModelError for formats that are known but not read, and for files that are known not to
    be models.
    """
    path = Path(path)
    if path.is_dir():
        _check_folder(path)
        return Format.HUGGING_FACE
    start = read_start(path)
    if start.startswith(gguf.MAGIC):
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
    if _is_tokenizer(start):
        raise ModelError(f"{path}: a llama2.c tokenizer: give it with --tokenizer, beside --model")
    if name := name_start(start, path):
        raise ModelError(f"{path}: not a model but {name}")
    return Format.LLAMA2C


def read_start(path: Path) -> bytes:
    """Reads the first bytes of a file; b"" if it cannot be read, which its loader reports."""
    try:
        with open_file(path) as file:
            return file.read(LONGEST_START)
    except OSError:
        return b""


def _is_tokenizer(start: bytes) -> bool:
    if len(start) < _LLAMA2C_TOKENIZER.size:
        return False
    longest, score, length = _LLAMA2C_TOKENIZER.unpack_from(start)
    piece = start[_LLAMA2C_TOKENIZER.size :][: max(length, 0)]
    return 0 < length <= longest < 1024 and score == 0 and piece.strip() in (b"<unk>", b"unk")


def _check_folder(folder: Path) -> None:
    """Raises ModelError for a folder that holds models of other formats."""
    if (folder / "config.json").exists():
        return
    files = sorted(folder.glob("*.gguf"))
    if files:
        raise ModelError(f"{folder}: a folder: give the GGUF file in it, as {files[0]}")
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{folder}: a LoRA adapter, not a model: merge it into its model first, as peft's"
            " merge_and_unload does"
        )
    if (folder / "params.json").exists() or any(folder.glob("consolidated.*")):
        raise ModelError(
            f"{folder}: weights in Meta's own format: get the model in Hugging Face's, which has"
            " config.json and safetensors files"
        )
