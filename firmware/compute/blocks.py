"""Reads matrices that stay in a flash partition, in chunks of some blocks, into buffers in turn.

While one buffer is in use, or its sums are being sent, the next chunks are read into the others
whenever the chip is idle, a piece at a time, so that it does not answer late. Matrices lie in the
partition in the order in which they are used (protocol/flash_layout.py), so what comes next is
known. A kernel works on a block of rows as on a whole matrix: the sums are the same.

Matrices for which the heap has room are read into it once, and stay there.
"""

from array import array

from protocol.compat import const, micropython, ptr32
from protocol.fields import int32s, u32
from protocol.flash_layout import MOST_ROWS, rows_bytes, rows_in_block

_NONE = const(-1)
_SECTOR_BITS = const(12)  # Partition.readblocks counts in blocks of 4,096 bytes
_SECTOR = const(4095)
_PIECE = const(8192)  # bytes that an idle chip reads at once at most
_SIZE_BITS = const(16)  # of a chunk's


class Order:
    """The matrices that are read again and again, in the order in which they are used, and the
    chunk that is read next: `place`, its offset in the partition, and its `bytes`, 0 for none.

    begins, ends, chunks: of each matrix the offsets in the partition, and the bytes of a chunk.
    """

    def __init__(self, begins, ends, chunks):
        self.begins, self.ends, self._chunks = array("i", begins), array("i", ends), chunks
        self._matrix = self.place = self.bytes = 0
        if begins:
            self.turn_to(begins[0])

    @micropython.native
    def turn_to(self, place):
        """Makes the chunk at `place` the next one, or that of the next matrix if this one ends
        there."""
        ends, matrix = self.ends, self._matrix
        if place >= ends[matrix]:
            matrix += 1
            if matrix == len(ends):
                matrix = 0
            place = self.begins[matrix]
        self._matrix, self.place = matrix, place
        self.bytes = min(self._chunks[matrix], ends[matrix] - place)

    @micropython.native
    def seek(self, place):
        """Makes the chunk at `place`, in any matrix, the next one."""
        begins, ends, matrix = self.begins, self.ends, self._matrix
        while place < begins[matrix] or place >= ends[matrix]:
            matrix += 1
            if matrix == len(ends):
                matrix = 0
        self._matrix = matrix
        self.turn_to(place)


class Blocks:
    """The buffers, what they hold, and the matrices that have buffers of their own.

    resident: for each offset in the partition at which such a matrix begins, its buffer and the
    offset in it. mapped: the bytes of the partition that are mapped, from the first on. current:
    the buffer in use. reads, ahead: the number of chunks read when needed, and read ahead.
    kernels: where no matrix is read in blocks, and kernels are native, by each function that
    `install` has made: the kernel, and the rows and bytes of a block that it takes, 0 rows if that
    is a whole matrix.
    """

    mapped = b""
    kernels = None

    def __init__(self, partition, block, count=2, size=0):
        """partition: an esp32.Partition; block: bytes of a block; count: of buffers; size: bytes
        of each, 0 for a block."""
        self._read, self._block = partition.readblocks, block
        self._size = size or block
        self.buffers = [bytearray(self._size) for _ in range(count)]
        self.resident = {}
        # Memoryviews of each buffer's parts, by their place and size.
        self._views = [{} for _ in range(count)]
        self._held = [_NONE] * count  # the offset in the partition of what each buffer holds
        self.current = 0
        self._whole = 0  # buffers behind the current one that hold the chunks that come next
        self._part = 0  # bytes of the chunk after these that are read
        self.reads = self.ahead = 0

    def order(self, padding, matrices):
        """Sets what is in the partition.

        padding: the shard header's `columns`; matrices: in the order of their offsets (offset,
        rows, columns) of those that are read again and again, one for each kernel's columns.
        """
        self._padding = padding
        self._order = Order(
            [at for at, _, _ in matrices],
            [at + self._stored(rows, columns) for at, rows, columns in matrices],
            [self._in_chunk(columns)[2] for _, _, columns in matrices],
        )

    def _in_chunk(self, columns):
        """Returns the rows of a block of a matrix with so many columns, its bytes, and those of a
        chunk of it."""
        rows = rows_in_block(columns, self._padding, self._block)
        size = rows_bytes(rows, columns, self._padding)
        return rows, size, self._size // size * size

    def _stored(self, rows, columns):
        at_once, whole, _ = self._in_chunk(columns)
        rest = rows % at_once
        return rows // at_once * whole + (rest and rows_bytes(rest, columns, self._padding))

    def install(self, kernels):
        """Replaces the matrix kernels of firmware.compute.model_kernels by ones that read
        flash."""
        sums = int32s(MOST_ROWS)
        # A matrix in groups, with negative `columns`, has one part, with all of them.
        kernels.MATVEC = {
            columns: [
                (first, count, self._streamed(kernel, min(columns, count), first, sums))
                for first, count, kernel in parts
            ]
            for columns, parts in kernels.MATVEC.items()
        }

    def after(self, on_idle):
        """Returns a function for a role's on_idle: it calls `on_idle`, then reads ahead."""

        def read_on_idle():
            on_idle()
            self.read_ahead()

        return read_on_idle

    @micropython.native
    def take(self, place):
        """Makes buffers[current] begin with the chunk at the offset `place` of the partition."""
        held, slot, count = self._held, self.current, len(self.buffers)
        order = self._order
        if held[slot] == place:
            return
        for i in range(self._whole):
            slot += 1
            if slot == count:
                slot = 0
            if held[slot] == place:
                self.current = slot
                self._whole -= i + 1
                return
        slot += 1
        if slot == count:
            slot = 0
        if place != order.place:
            order.seek(place)
            self._part = 0
        while held[slot] != place:
            self._fill(slot, _PIECE if self._part else order.bytes)
        self.current = slot
        self._whole = 0
        self.reads += 1

    @micropython.native
    def read_ahead(self):
        """Reads a piece of what comes next, unless all buffers hold that already."""
        count, slot = len(self.buffers), self.current + self._whole + 1
        place = self._order.place
        if slot - self.current < count and self._order.bytes:
            slot %= count
            self._fill(slot, _PIECE)
            if self._held[slot] == place:
                self._whole += 1
                self.ahead += 1

    @micropython.native
    def _fill(self, slot, size):
        """Reads at most so many bytes of the next chunk into a buffer."""
        part, order = self._part, self._order
        place = order.place
        size = min(size, order.bytes - part)
        views, key = self._views[slot], (part >> _SECTOR_BITS << _SIZE_BITS) + size
        view = views.get(key)
        if not view:
            view = views[key] = memoryview(self.buffers[slot])[part : part + size]
        self._held[slot] = _NONE
        at = place + part
        self._read(at >> _SECTOR_BITS, view, at & _SECTOR)
        self._part = part = part + size
        if part == order.bytes:
            self._held[slot] = place
            self._part = 0
            order.turn_to(place + part)

    def keep(self, place, size, firsts, buffer=None):
        """Reads a matrix of `size` bytes at `place` into a buffer of its own, unless `buffer` has
        it already, as it has all from the first byte of the partition on.

        firsts: offsets in the matrix at which each kernel's columns begin.
        """
        at = place
        if not buffer:
            buffer, at = bytearray(size), 0
            self._read(place >> _SECTOR_BITS, buffer, place & _SECTOR)
        for first in firsts:
            self.resident[place + first] = buffer, at + first

    def _streamed(self, kernel, columns, first, sums):
        """Returns a function that multiplies as `kernel` does, but with a matrix in flash.

        columns: of the matrix, negative if in groups; first: the first of them. If it is not 0,
        the sums are added to y. sums: a buffer for those of a block.
        The function's second argument, unless it is 0, is a number of positions, whose y and x
        are lists then: each block is read once for all of them.
        """
        take, buffers, resident = self.take, self.buffers, self.resident
        one = [None], [None]
        at_once, whole, chunk = self._in_chunk(columns)
        padding, blocks = self._padding, chunk // whole

        @micropython.native
        def multiply(weights, positions, y, x, rows, at):
            if not positions:
                one[0][0], one[1][0] = y, x
                y, x = one
                positions = 1
            at += u32(weights, len(weights) - 4)
            held = resident.get(at)
            left = 0  # blocks of the chunk
            if held:
                buffer, begin = held
                left = rows
            done = 0
            while done < rows:
                if not left:
                    take(at)
                    buffer, begin, left = buffers[self.current], 0, blocks
                    at += chunk
                count, size = at_once, whole
                if rows - done < count:
                    count = rows - done
                    size = rows_bytes(count, columns, padding)
                for i in range(positions):
                    if first:
                        move(y[i], done, sums, 0, count)
                    kernel(buffer, 0, sums, x[i], count, begin)
                    move(sums, 0, y[i], done, count)
                done += count
                begin += size
                left -= 1

        return multiply


@micropython.viper
def move(src: ptr32, at: int, dst: ptr32, to: int, n: int):
    """Copies n integers from src[at] on to dst[to] and on."""
    n += at
    while at < n:
        dst[to] = src[at]
        at += 1
        to += 1
