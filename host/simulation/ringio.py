"""`micropython.RingIO` for CPython, where the stand-in modules run in unit tests."""


class RingIO:
    """A first-in first-out buffer of a fixed number of bytes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._bytes = bytearray()

    def any(self) -> int:
        """Returns the number of bytes waiting."""
        return len(self._bytes)

    def write(self, source: bytes, offset: int, length: int) -> int:
        """Copies source[offset : offset + length] as far as there is room; returns the number of
        bytes."""
        taken = min(length, self._size - len(self._bytes))
        self._bytes += memoryview(source)[offset : offset + taken]
        return taken

    def readinto(self, target: bytearray | memoryview, length: int) -> int:
        """Moves at most `length` bytes to the start of target; returns their number."""
        moved = min(length, len(self._bytes))
        target[:moved] = self._bytes[:moved]
        del self._bytes[:moved]
        return moved
