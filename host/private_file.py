"""Files without a name: they hold what is secret, and are gone as soon as nobody has them open.

However a process ends, by SIGKILL too, nothing of it stays on disk. A child process opens such a
file by the descriptor that it inherits.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from types import TracebackType

from host.errors import naming_file


class PrivateFile:
    """A context manager. descriptor: for `pass_fds` of a child process; path: by which that child,
    and this process, opens the file."""

    def __init__(self, content: bytes) -> None:
        """content: what the file holds. Raises OSError."""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  closed with this object
        try:
            with naming_file(tempfile.gettempdir()):
                self._file.write(content)
                self._file.flush()
        except OSError:  # a full disk
            with suppress(OSError):  # what is left cannot be written either
                self._file.close()
            raise
        # Where the path is a copy of the descriptor (BSD, macOS), who opens it reads from here.
        os.lseek(self._file.fileno(), 0, os.SEEK_SET)
        self.descriptor = self._file.fileno()
        self.path = f"/dev/fd/{self.descriptor}"

    def close(self) -> None:
        """Closes the file, which ends with the last process that has it open."""
        self._file.close()

    def __enter__(self) -> PrivateFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
