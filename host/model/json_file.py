"""Reads JSON files of models: configurations, indices, tokenizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from host.errors import ModelError
from host.model.files import read_small_file
from host.model.other_files import name_file


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object in the JSON file at `path`.

    Raises ModelError, which names the file without its folder.
    """
    try:
        fields = json.loads(read_small_file(path))
    except OSError as error:
        raise ModelError(f"cannot read {path.name}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError too
        name = name_file(path)
        what = f"no JSON file but {name}" if name else f"no JSON file: {error}"
        raise ModelError(f"{path.name} is {what}") from None
    if not isinstance(fields, dict):
        raise ModelError(f"{path.name} holds no JSON object")
    return fields
