"""Files without a name: they hold what is secret, and are gone as soon as nobody has them open.

However a process ends, by SIGKILL too, nothing of it stays on disk. A child process opens such a
file by the descriptor that it inherits.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from host.errors import naming_file


class PrivateFile(NamedTuple):
    """descriptor: for `pass_fds` of a child process; path: by which that child, and this process,
    opens the file."""

    descriptor: int
    path: str


@contextmanager
def open_private(content: bytes) -> Iterator[PrivateFile]:
    """Holds `content` in such a file while the context lasts. Raises OSError."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  closed below, after a failure to write too
    try:
        with naming_file(tempfile.gettempdir()):
            file.write(content)
            file.flush()
        # Where the path is a copy of the descriptor (BSD, macOS), who opens it reads from here.
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        yield PrivateFile(file.fileno(), f"/dev/fd/{file.fileno()}")
    finally:
        with suppress(OSError):  # what a full disk has not taken cannot be written now either
            file.close()
