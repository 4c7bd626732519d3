"""A model in a file, and the command `python -m host.model`, for tests of what it does with it."""

from pathlib import Path

import pytest

from host.model.__main__ import main
from host.model.checkpoint import Checkpoint
from tests.host.model_files import VOCABULARY, config_of, small_tokenizer, write_gguf

CONFIG = config_of(8, 2, 2, 19, VOCABULARY)


def write_model(checkpoint: Checkpoint, folder: Path) -> Path:
    """Writes a checkpoint of CONFIG as a GGUF file with a tokenizer; its path."""
    return write_gguf(checkpoint, folder / "model.gguf", small_tokenizer())


def printed(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, and what went to standard output and error."""
    code = main([str(argument) for argument in arguments])
    return (code, *capsys.readouterr())
