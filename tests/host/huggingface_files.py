"""A Hugging Face folder of a small model, changed and refused."""

import json
from pathlib import Path

import pytest

from host.errors import ModelError
from host.model.formats import huggingface
from tests.host.model_files import SHAPES

CONFIG = SHAPES[1]


def changed(folder: Path, **fields: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return folder


def refusal(folder: Path) -> str:
    """What loading says after the folder's name, in one line."""
    with pytest.raises(ModelError) as caught:
        huggingface.load(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder}: ") and "\n" not in message
    return message.removeprefix(f"{folder}: ")
