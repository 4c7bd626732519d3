"""Opens the files of models, whatever a user's path leads to."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from host.errors import ModelError

# No tokenizer or configuration comes near: those of vocabularies of 250,000 tokens have 35 MB.
LARGEST_TEXT = 1 << 28


def open_file(path: str | Path) -> BinaryIO:
    """Opens the regular file at `path`. Raises OSError, also for anything else: a pipe would be
    waited for or give its bytes but once, and a device may never end."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    return open(path, "rb")


def file_size(file: BinaryIO) -> int:
    """Returns the bytes of a file."""
    return os.fstat(file.fileno()).st_size


def read_small_file(path: str | Path) -> bytes:
    """Reads a file that holds no weights. Raises OSError, also for one too large to be that."""
    with open_file(path) as file:
        if file_size(file) > LARGEST_TEXT:
            raise OSError(errno.EFBIG, f"it has {file_size(file):,} bytes")
        return file.read()


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object in the JSON file at `path`.

    Raises ModelError, which names the file without its folder.
    """
    try:
        fields = json.loads(read_small_file(path))
    except OSError as error:
        raise ModelError(f"cannot read {path.name}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError too
        raise ModelError(f"{path.name} is no JSON file: {error}") from None
    if not isinstance(fields, dict):
        raise ModelError(f"{path.name} holds no JSON object")
    return fields
