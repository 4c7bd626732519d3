"""Writes one small model with words for its tokens in any format, its tokenizer with it or not."""

from pathlib import Path

from host.model.checkpoint import Config
from host.model.formats import llama2c
from tests.host.model_files import (
    VOCABULARY,
    config_of,
    small_tokenizer,
    write_gguf,
    write_huggingface,
    write_llama2c_tokenizer,
    write_tokenizer_json,
)
from tests.host.tiny import random_checkpoint

WORDY = config_of(8, 1, 2, 9, VOCABULARY)
KINDS = ("gguf", "folder", "llama2c")


def write_model(kind: str, folder: Path, config: Config = WORDY, complete: bool = True) -> Path:
    """Writes a model of one of KINDS, whose path it returns, with its tokenizer if `complete`."""
    checkpoint = random_checkpoint(config)
    if kind == "gguf":
        extra: dict[str, object] = {} if complete else {"tokenizer.ggml.model": "gpt2"}
        tokenizer = small_tokenizer() if complete else None
        return write_gguf(checkpoint, folder / "m.gguf", tokenizer, extra=extra)
    if kind == "folder":
        path = write_huggingface(checkpoint, folder / "m")
        if complete:
            write_tokenizer_json(path / "tokenizer.json")
        return path
    path = folder / "m.bin"
    llama2c.save(checkpoint, path)
    if complete:
        write_llama2c_tokenizer(folder / "tokenizer.bin")
    return path
