"""Finds out which files of a board to remove and write, to leave those of a deployment only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

# The file that starts a chip. It is removed first and written last, so that a board on which
# copying was interrupted waits at its prompt, and never runs a mixture of two deployments.
START = "main.py"
FOLDERS = ("protocol", "firmware", "native")  # they hold only files of a deployment
_POINTERS = 8  # bytes of each block that littlefs uses for itself in a long file
# Blocks for folders, for names and for those that littlefs reserves.
_SPARE_BLOCKS = 8


@dataclass(frozen=True)
class File:
    """A file or folder on a board; the path of a folder ends with "/", and its digest is empty."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Changes:
    """Files to remove, then files to write, each in order."""

    remove: tuple[str, ...]
    write: dict[str, bytes]

    @property
    def size(self) -> int:
        """The number of bytes to write."""
        return sum(map(len, self.write.values()))

    def blocks(self, block: int, present: Mapping[str, File]) -> int:
        """Returns how many blocks of `block` bytes must be free before the first removal."""
        freed = sum(present[path].size // block for path in self.remove)
        taken = sum(-(-len(content) // (block - _POINTERS)) for content in self.write.values())
        return taken + _SPARE_BLOCKS - freed


def find_changes(files: Mapping[str, bytes], present: Mapping[str, File]) -> Changes:
    """Returns the changes from the `present` files to `files`, compared by SHA-256.

    present: all that is in FOLDERS, and of other paths only those that `files` has.
    """
    write = {
        path: content
        for path, content in files.items()
        if path not in present or present[path].sha256 != hashlib.sha256(content).hexdigest()
    }
    if write:
        write.pop(START, None)
        write[START] = files[START]
    # Changed files are removed too: littlefs frees old content only after writing the new.
    remove = [path for path in present if path in write or path not in files]
    return Changes(tuple(sorted(remove, key=lambda path: path != START)), write)
