"""The flash memory of a stand-in board: a file, in which faults can be sown."""

SECTOR = 4096
ERASED = b"\xff"


class FlashChip:
    """`size` bytes in the file at `path`, erased where the file is new.

    damage_next_write(): one bit of what is written next arrives wrong, as with a worn cell or a
    bad supply; what is written after that is right again. last_written: the offset of it.
    """

    def __init__(self, path, size):
        self.path, self.size = path, size
        self._damage = False
        self.last_written = -1
        if not path.exists():
            path.write_bytes(ERASED * size)

    def damage_next_write(self):
        self._damage = True

    def read(self, offset, length):
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read(length)

    def write(self, offset, data):
        """Whether there was room."""
        if offset + len(data) > self.size:
            return False
        self.last_written = offset
        if self._damage and data:
            data = bytes([data[0] ^ 1]) + data[1:]
            self._damage = False
        with open(self.path, "r+b") as file:
            file.seek(offset)
            file.write(data)
        return True

    def erase(self, offset, length):
        """Whole sectors, as far as there are any."""
        first = offset - offset % SECTOR
        end = min(-(-(offset + length) // SECTOR) * SECTOR, self.size)
        with open(self.path, "r+b") as file:
            file.seek(first)
            file.write(ERASED * (end - first))
