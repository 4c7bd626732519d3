"""What must be done so that a board holds the files of a deployment and no older ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

# The file that starts a chip. While others change it is not there, so that a board on which
# copying was interrupted waits at its prompt and never runs a mixture of two deployments.
START = "main.py"
FOLDERS = ("protocol", "firmware", "native")  # which hold nothing but a deployment
_POINTERS = 8  # bytes of each block that littlefs uses for itself in a long file
# Blocks for folders, for names and for what littlefs sets aside.
_SPARE_BLOCKS = 8


@dataclass(frozen=True)
class File:
    """A file on a board; of a folder the path ends with "/" and the digest is empty."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Changes:
    """First `remove`, then `write`, each in this order."""

    remove: tuple[str, ...]
    write: dict[str, bytes]

    @property
    def size(self) -> int:
        """Bytes to write."""
        return sum(map(len, self.write.values()))

    def blocks(self, block: int, present: Mapping[str, File]) -> int:
        """Returns how many blocks of `block` bytes must be free before the first removal."""
        freed = sum(present[path].size // block for path in self.remove)
        taken = sum(-(-len(content) // (block - _POINTERS)) for content in self.write.values())
        return taken + _SPARE_BLOCKS - freed


def find_changes(files: Mapping[str, bytes], present: Mapping[str, File]) -> Changes:
    """Returns the changes from what is `present` to `files`, which are compared by SHA-256.

    present: all that is in FOLDERS, and of other paths those that `files` has.
    """
    write = {
        path: content
        for path, content in files.items()
        if path not in present or present[path].sha256 != hashlib.sha256(content).hexdigest()
    }
    if write:
        write.pop(START, None)
        write[START] = files[START]
    # Changed files go first too: littlefs frees the old content of one only after writing the new.
    remove = [path for path in present if path in write or path not in files]
    return Changes(tuple(sorted(remove, key=lambda path: path != START)), write)
