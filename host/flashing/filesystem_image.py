"""Makes a board's file system, MicroPython's littlefs, as one image to be written by esptool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from littlefs import LittleFS, LittleFSError

from host.errors import FlashError

BLOCK = 4096  # bytes: a sector of the flash, which is a block of MicroPython's Partition
# The defaults of VfsLfs2 in extmod/vfs_lfsx.c. The place of a file's data depends on some of them.
_READ, _PROGRAM, _LOOKAHEAD, _CYCLES = 32, 32, 32, 100
_CACHE = 4 * max(_READ, _PROGRAM)
# The oldest layout on flash, 2.0, which any MicroPython can mount.
_LAYOUT = 0x0002_0000
# Unused blocks between two used ones that are written too, because esptool erases 64 KB at a time.
_GAP = 16


def make_filesystem(files: Mapping[str, bytes], size: int) -> bytes:
    """Returns a file system of `size` bytes that holds `files`, content by path, and nothing else.

    The same files give the same image. Raises FlashError if they do not fit.
    """
    littlefs = LittleFS(
        block_size=BLOCK, block_count=size // BLOCK, block_cycles=_CYCLES, read_size=_READ,
        prog_size=_PROGRAM, cache_size=_CACHE, lookahead_size=_LOOKAHEAD, disk_version=_LAYOUT,
    )  # fmt: skip
    try:
        for path, content in files.items():
            folder, _, _ = path.rpartition("/")
            if folder:
                littlefs.makedirs(folder, exist_ok=True)
            with littlefs.open(path, "wb") as file:
                file.write(content)
    except LittleFSError as error:
        if error.code == LittleFSError.Error.LFS_ERR_NOSPC:
            raise FlashError(
                f"the file system has {size // 1024} KB, too little for"
                f" {-(-sum(map(len, files.values())) // 1024)} KB of files: take a board with"
                " more flash, or more chips"
            ) from None
        raise
    return bytes(littlefs.context.buffer)


def used_segments(image: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the used parts of an image, with their offsets, in whole blocks.

    littlefs erases a block before it writes it, so the content of an unused one does not matter.
    """
    used = [
        start
        for start in range(0, len(image), BLOCK)
        if image[start : start + BLOCK].strip(b"\xff")
    ]
    first = last = used[0]
    for start in used[1:]:
        if start - last > _GAP * BLOCK:
            yield first, image[first : last + BLOCK]
            first = start
        last = start
    yield first, image[first : last + BLOCK]
