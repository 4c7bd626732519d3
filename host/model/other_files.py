"""Recognizes files that users mistake for models and tokenizers, to say what they are."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from host.model.files import open_file

LONGEST_START = 512  # bytes by which a file is recognized

_SAFETENSORS = (
    "get the safetensors files of the same model, or save it so:"
    " model.save_pretrained(folder, safe_serialization=True)"
)
_OLD_GGML = "a GGML file, of before GGUF: get the model's GGUF file"
_UNPACK = "unpack it, and give what is in it"
_TOKENIZER_JSON = (
    "give tokenizer.json, from the same place or written by"
    " transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
)
# What files begin with, and what they are.
_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs.github.com/",
     "a Git LFS pointer, which stands for the file itself: run git lfs pull where it was cloned,"
     " or download the file from its page"),
    (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9", f"a PyTorch file of an old version: {_SAFETENSORS}"),
    (b"lmgg", _OLD_GGML),
    (b"fmgg", _OLD_GGML),
    (b"tjgg", _OLD_GGML),
    (b"GGLA", "a LoRA adapter, not a model: merge it into its model first"),
    (b"\x89HDF\r\n\x1a\n", f"an HDF5 file, as Keras writes it: {_SAFETENSORS}"),
    (b"\x93NUMPY", f"a NumPy array: {_SAFETENSORS}"),
    (b"\x1f\x8b\x08", f"a gzip file: {_UNPACK}"),
    (b"\xfd7zXZ\0", f"an xz file: {_UNPACK}"),
    (b"BZh", f"a bzip2 file: {_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"a zstd file: {_UNPACK}"),
    (b"7z\xbc\xaf\x27\x1c", f"a 7z archive: {_UNPACK}"),
    (b"Rar!\x1a\x07", f"a RAR archive: {_UNPACK}"),
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x7fELF", "a program"),
    (b"#!/", "a script"),
)  # fmt: skip
_HTML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|head|\?xml)", re.IGNORECASE)
_PICKLE = re.compile(rb"\x80[\x02-\x05][}\](cX\x95\x8a]")
# Protocol buffers of a list of pieces, each with its text first: "<unk>" is among the first.
_SENTENCEPIECE = re.compile(rb"\x0a.\x0a.[^\0]{1,30}?\x15", re.DOTALL)


def name_file(path: str | Path) -> str:
    """Returns what a file is, and where to get the right one, as "a PDF document"; "" if it is not
    recognized or cannot be read."""
    try:
        with open_file(path) as file:
            start = file.read(LONGEST_START)
    except OSError:
        return ""
    return name_start(start, Path(path))


def name_start(start: bytes, path: Path) -> str:
    """Returns the same for a file that begins with `start`."""
    if start.startswith(b"PK\x03\x04"):
        return _name_zip(path)
    for begin, name in _STARTS:
        if start.startswith(begin):
            return name
    if _HTML.match(start):
        return (
            "an HTML page: download the file itself (at Hugging Face, from /resolve/ in place of"
            " /blob/)"
        )
    if start[257:262] == b"ustar":
        return f"a tar archive: {_UNPACK}"
    if start[4:8] == b"TFL3":
        return f"a TensorFlow Lite file: {_SAFETENSORS}"
    if b"<unk>" in start and _SENTENCEPIECE.match(start):
        return f"a SentencePiece model (tokenizer.model): {_TOKENIZER_JSON}"
    if _PICKLE.match(start):
        return f"a Python pickle, as PyTorch wrote them: {_SAFETENSORS}"
    return ""


def _name_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return "a zip archive that is damaged or truncated: download it again"
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return f"a PyTorch file (.bin, .pt or .pth): {_SAFETENSORS}"
    if names and all(name.endswith(".npy") for name in names):
        return f"NumPy arrays (.npz): {_SAFETENSORS}"
    return f"a zip archive: {_UNPACK}"
