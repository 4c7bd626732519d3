"""Opens the files of models, whatever a user's path leads to."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from host.errors import ModelError

# No tokenizer or configuration comes near: those of vocabularies of 250,000 tokens have 35 MB.
LARGEST_TEXT = 1 << 28


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """A context in which a ModelError gets the name of a file or folder before it."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


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
