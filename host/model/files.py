"""Opens the files of models, safely for any path that a user gives."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from host.errors import ModelError

# No tokenizer or configuration is that large: those with 250,000 tokens have 35 MB.
LARGEST_TEXT = 1 << 28


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Puts the name of a file or folder before the text of a ModelError, as a context manager."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def open_file(path: str | Path) -> BinaryIO:
    """Opens the regular file at `path`. Raises OSError, also for a pipe or device: a pipe can
    block and be read only once, and a device may never end."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    return open(path, "rb")


def file_size(file: BinaryIO) -> int:
    """Returns the size of a file in bytes."""
    return os.fstat(file.fileno()).st_size


def read_small_file(path: str | Path) -> bytes:
    """Reads a file that holds no weights. Raises OSError, also for one that is too large."""
    with open_file(path) as file:
        if file_size(file) > LARGEST_TEXT:
            raise OSError(errno.EFBIG, f"it has {file_size(file):,} bytes")
        return file.read()
