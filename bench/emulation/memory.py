"""The memory of an emulated chip: small, little-endian, and strict."""

from __future__ import annotations

from array import array


class Fault(Exception):
    """An access that a chip must not make, or an instruction that is unknown here."""


class Memory:
    """Bytes from address BASE on. Loads and stores raise Fault outside of it and where the address
    is no multiple of the size: an ESP32 traps there, at a cost of hundreds of instructions or
    of its life."""

    BASE = 0x10000

    def __init__(self, size: int = 1 << 20) -> None:
        self.bytes = bytearray(size)
        whole = memoryview(self.bytes)
        # The same as numbers of so many bytes, of which a kernel reads and writes millions.
        self.unsigned = {1: whole, 2: whole.cast("H"), 4: whole.cast("I")}
        self.signed = {1: whole.cast("b"), 2: whole.cast("h"), 4: whole.cast("i")}
        self._free = self._kept = 0

    def placed(self, data: bytes, align: int = 16) -> int:
        """Returns the address of a copy of data, aligned, with a gap behind it."""
        at = -(-self._free // align) * align
        if at + len(data) + 64 > len(self.bytes):
            raise Fault(f"the emulated memory of {len(self.bytes)} bytes is full")
        self.bytes[at : at + len(data)] = data
        self._free = at + len(data) + 64
        return self.BASE + at

    def keep(self) -> None:
        """Has all that was placed so far outlast `clear`; what follows lies as in an empty memory,
        to multiples of 64 bytes."""
        self._kept = self._free = -(-self._free // 64) * 64

    def clear(self) -> None:
        """Forgets all that was placed, but for what is kept."""
        self._free = self._kept

    def top(self) -> int:
        """Returns the address just beyond the end."""
        return self.BASE + len(self.bytes)

    def content(self, address: int, size: int) -> bytes:
        """Bytes at an address."""
        return bytes(self.bytes[self._offset(address, size, 1) : address - self.BASE + size])

    def load(self, address: int, size: int) -> int:
        """Returns the unsigned integer of `size` bytes at an address."""
        at = self._offset(address, size, size)
        return int.from_bytes(self.bytes[at : at + size], "little")

    def store(self, address: int, size: int, value: int) -> None:
        """Writes the lowest `size` bytes of a value to an address."""
        at = self._offset(address, size, size)
        self.bytes[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")

    def write(self, address: int, data: bytes | bytearray | memoryview | array[int]) -> None:
        """Copies data to an address."""
        content = bytes(data)
        at = self._offset(address, len(content), 1)
        self.bytes[at : at + len(content)] = content

    def _offset(self, address: int, size: int, align: int) -> int:
        at = address - self.BASE
        if at < 0 or at + size > len(self.bytes):
            raise Fault(f"access of {size} bytes at {address:#x}, outside of the memory")
        if at % align:
            raise Fault(f"unaligned access of {size} bytes at {address:#x}")
        return at
