"""Reads matrices that stay in a flash partition, block by block, into two alternating buffers.

While one buffer is in use, or its sums are being sent, the next block is read into the other as
soon as the chip is idle. Matrices lie in the partition in the order in which they are used
(protocol/flash_layout.py), so the next block is known. A kernel works on a block of rows as on a
whole matrix: the sums are the same.

Matrices for which the heap has room are read into it once, and stay there.
"""

from protocol.compat import const, micropython, ptr32
from protocol.fields import int32s, u32
from protocol.flash_layout import MOST_ROWS, rows_bytes, rows_in_block

_NONE = const(-1)
_SECTOR_BITS = const(12)  # Partition.readblocks counts in blocks of 4,096 bytes
_SECTOR = const(4095)
# Extra bytes of a buffer: the next block may begin so many bytes behind the end of the last one.
_SLACK = const(16)


class Blocks:
    """The two buffers, what they hold, and the matrices that have buffers of their own.

    resident: for each offset in the partition at which such a matrix begins, its buffer and the
    offset in it. mapped: the bytes of the partition that are mapped, from the first on. reads,
    ahead: the number of blocks read when needed, and read ahead.
    """

    mapped = b""

    def __init__(self, partition, size):
        """partition: an esp32.Partition; size: bytes of a block."""
        self._read, self._size = partition.readblocks, size
        size += _SLACK
        self.buffers = bytearray(size), bytearray(size)
        self.resident = {}
        self._skipped = {}  # from the offset of a resident matrix to that of the next one to read
        self._views = {}  # memoryviews of both buffers, by their size
        self._held = [_NONE, _NONE]  # the offset in the partition of what each buffer holds
        self._bytes = [0, 0]
        self.current = 0
        self._next = _NONE
        self._sums = int32s(MOST_ROWS)
        self.reads = self.ahead = 0

    def place(self, padding, first, end):
        """Sets the offsets in the partition at which the matrices begin and end.

        padding: the shard header's `columns`.
        """
        self._padding = padding
        # The third is the last offset from which a whole buffer can be read.
        self._bounds = first, end, end - len(self.buffers[0]) & ~15

    def install(self, kernels):
        """Replaces the matrix kernels of firmware.compute.model_kernels by ones that read
        flash."""
        kernels.MATVEC = {columns: self._of(parts) for columns, parts in kernels.MATVEC.items()}

    def _of(self, parts):
        return [
            (first, count, self._streamed(kernel, count, first)) for first, count, kernel in parts
        ]

    def after(self, on_idle):
        """Returns a function for a role's on_idle: it calls `on_idle`, then reads ahead."""

        def read_on_idle():
            on_idle()
            self.read_ahead()

        return read_on_idle

    @micropython.native
    def take(self, place, size):
        """Makes buffers[current] hold `size` bytes from the offset `place` of the partition on.

        Returns the offset in that buffer at which they begin.
        """
        held, sizes = self._held, self._bytes
        self._next = place + size
        for i in range(2):
            at = place - held[i]
            if held[i] >= 0 and at >= 0 and at + size <= sizes[i]:
                self.current = i
                return at
        self.current = i = 1 - self.current
        views = self._views.get(size)
        if not views:
            views = [memoryview(buffer)[:size] for buffer in self.buffers]
            self._views[size] = views
        self._fill(i, place, size, views[i])
        self.reads += 1
        return 0

    @micropython.native
    def read_ahead(self):
        """Reads the next block into the buffer that is not in use, unless it is there already."""
        place = self._next
        if place < 0:
            return
        self._next = _NONE
        first, end, last = self._bounds
        place = self._skipped.get(place, place)
        if place + 3 >= end:
            place = self._skipped.get(first, first)
        place = min(place, last) & ~3
        i = 1 - self.current
        if place > 0 and place != self._held[i]:
            buffer = self.buffers[i]
            self._fill(i, place, len(buffer), buffer)
            self.ahead += 1

    @micropython.native
    def _fill(self, i, place, size, buffer):
        self._held[i] = _NONE  # in case reading fails
        self._read(place >> _SECTOR_BITS, buffer, place & _SECTOR)
        self._held[i], self._bytes[i] = place, size

    def keep(self, place, size, firsts, buffer=None):
        """Reads a matrix of `size` bytes at `place` into a buffer of its own, unless `buffer` has
        it already, as it has all from the first byte of the partition on.

        firsts: offsets in the matrix at which each kernel's columns begin. To be called for the
        last matrix in the partition first, so that `_skipped` is right for those before it.
        """
        at = place
        if not buffer:
            buffer, at = bytearray(size), 0
            self._read(place >> _SECTOR_BITS, buffer, place & _SECTOR)
        for first in firsts:
            self.resident[place + first] = buffer, at + first
        self._skipped[place] = self._skipped.get(place + size, place + size)

    def _streamed(self, kernel, columns, first):
        """Returns a function that multiplies as `kernel` does, but with a matrix in flash.

        columns: of the matrix; first: the first of them. If it is not 0, the sums are added to y.
        The function's second argument, unless it is 0, is a number of positions, whose y and x
        are lists then: each block is read once for all of them.
        """
        take, buffers, sums, resident = self.take, self.buffers, self._sums, self.resident
        one = [None], [None]
        at_once = rows_in_block(columns, self._padding, self._size)
        whole = rows_bytes(at_once, columns, self._padding)
        padding = self._padding

        @micropython.native
        def multiply(weights, positions, y, x, rows, at):
            if not positions:
                one[0][0], one[1][0] = y, x
                y, x = one
                positions = 1
            at += u32(weights, len(weights) - 4)
            held = resident.get(at)
            if held:
                buffer, begin = held
            done = 0
            while done < rows:
                count = rows - done
                if count >= at_once:
                    count, size = at_once, whole
                else:
                    size = rows_bytes(count, columns, padding)
                if not held:
                    begin = take(at, size)
                    buffer = buffers[self.current]
                for i in range(positions):
                    if first:
                        move(y[i], done, sums, 0, count)
                    kernel(buffer, 0, sums, x[i], count, begin)
                    move(sums, 0, y[i], done, count)
                done += count
                at += size
                begin += size

        return multiply


@micropython.viper
def move(src: ptr32, at: int, dst: ptr32, to: int, n: int):
    """Copies n integers from src[at] on to dst[to] and on."""
    n += at
    while at < n:
        dst[to] = src[at]
        at += 1
        to += 1
