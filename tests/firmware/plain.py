"""The kernels' arithmetic in plain Python: whole numbers of any size, which never wrap.

`PlainKernels` has the names and signatures of firmware/compute/kernels.py and of the code that
host/build/kernels.py generates, and works on the same buffers. It is written from
host/model/arithmetic.py, not from the kernels, so that it can stand in for them under CPython
and be their peer under MicroPython.
"""

EXP_TABLE = [round(32768 * 2.0 ** (-i / 512)) for i in range(512)]
E = 2.718281828459045
SIGMOID_TABLE = [round(32768 / (1 + E ** ((512 - i) / 64))) for i in range(1024)]


def clipped(value, limit):
    return limit if value > limit else -limit if value < -limit else value


def half_up(value, shift):
    """value / 2**shift, a half rounded up."""
    return (2 * value + (1 << shift)) >> (shift + 1)


def bit_length(value):
    """Bits of a positive integer; MicroPython's have no such method before 1.26."""
    return len(bin(value)) - 2


def read_u16(buffer, index):
    """The index-th little-endian u16 of a buffer of bytes."""
    return buffer[2 * index] | buffer[2 * index + 1] << 8


def write_u16(buffer, index, value):
    if not 0 <= value < 65536:
        raise OverflowError("%d is not an unsigned 16-bit integer" % value)
    buffer[2 * index] = value & 255
    buffer[2 * index + 1] = value >> 8


def u16_buffer(values):
    """The values as a bytearray of little-endian u16."""
    buffer = bytearray(2 * len(values))
    for index, value in enumerate(values):
        write_u16(buffer, index, value)
    return buffer


class Blocks:
    """For each number of columns, the blocks in which a matrix is stored: (first, columns)."""

    def __init__(self, widest):
        self.widest = widest

    def edges(self, columns):
        count = -(-columns // self.widest)
        at = [columns * i // count for i in range(count + 1)]
        return [(low, high - low) for low, high in zip(at, at[1:])]

    def __getitem__(self, columns):
        return [(first, n, matvec(n, first > 0)) for first, n in self.edges(columns)]


def matvec(columns, adds):
    """A kernel for matrices of this number of columns; adds: to what is in y."""

    def kernel(w, _, y, x, rows, at):
        inputs = [x[i] for i in range(columns)]
        bias = 128 * sum(inputs)
        for row in range(rows):
            begin = at + row * columns
            weights = w[begin : begin + columns]
            total = sum([a * b for a, b in zip(weights, inputs)]) - bias
            y[row] = y[row] + total if adds else total

    return kernel


class PlainKernels:
    """Kernels for one head size and matrices stored in blocks of at most `widest` columns."""

    def __init__(self, head_dim, widest=192):
        self.head_dim = head_dim
        self.MATVEC = Blocks(widest)

    def load_int16s(self, src, _, at, out, n):
        for i in range(n):
            value = src[at + 2 * i] | src[at + 2 * i + 1] << 8
            out[i] = value - 65536 if value > 32767 else value

    def store_int16s(self, src, _, at, out, n):
        for i in range(n):
            value = src[i] % 65536
            out[at + 2 * i] = value % 256
            out[at + 2 * i + 1] = value // 256

    def rescale(self, x, _, multiplier, at, parts, count):
        i = 0
        for part in range(count):
            n, shift, limit = parts[3 * part : 3 * part + 3]
            for _ in range(n):
                product = x[i] * read_u16(multiplier, at // 2 + i)
                x[i] = clipped(half_up(product, shift), limit)
                i += 1

    def rope_row(self, table, _, position, row, pairs):
        near, far = position % 32, 32 + position // 32
        for i in range(pairs):
            c, s = self._rope_entry(table, near * pairs + i)
            far_c, far_s = self._rope_entry(table, far * pairs + i)
            row[2 * i] = half_up(c * far_c - s * far_s, 14)
            row[2 * i + 1] = half_up(c * far_s + s * far_c, 14)

    def _rope_entry(self, table, index):
        return read_u16(table, 2 * index) - 16384, read_u16(table, 2 * index + 1) - 16384

    def rotate(self, x, _, row, pairs, parts, count):
        at = 0
        for part in range(count):
            n, _, limit = parts[3 * part : 3 * part + 3]
            for i in range(n // 2):
                even, odd = x[at], x[at + 1]
                c, s = row[2 * (i % pairs)], row[2 * (i % pairs) + 1]
                x[at] = clipped(half_up(even * c - odd * s, 14), limit)
                x[at + 1] = clipped(half_up(even * s + odd * c, 14), limit)
                at += 2

    def cache_rows(self, x, keys, values, row, heads, head_dim, context, zero):
        for head in range(heads):
            for i in range(head_dim):
                at, own = (head * context + row) * head_dim + i, head * head_dim + i
                write_u16(keys, at, x[own] + zero)
                write_u16(values, at, x[heads * head_dim + own] + 32768)

    def attend(self, _, __, keys, values, rows, heads, q, out, scores, table, seen, shift):
        size = self.head_dim
        for head in range(heads):
            first, at = rows[head], head * size
            query = [q[at + j] for j in range(size)]
            products = [
                sum(read_u16(keys, (first + i) * size + j) * query[j] for j in range(size))
                for i in range(seen)
            ]
            weights = self._weights(products, table, shift)
            total = sum(weights)
            for j in range(size):
                summed = sum(
                    weight * (read_u16(values, (first + i) * size + j) - 32768)
                    for i, weight in enumerate(weights)
                )
                out[at + j] = (summed + total // 2) // total

    def _weights(self, scores, table, shift):
        """Softmax weights, shifted so that their sum has about 15 bits."""
        weights, by, highest = [], 0, max(scores)
        for score in scores:
            halvings, index = divmod((highest - score) >> shift, 512)
            weights.append(read_u16(table, index) // 2 ** min(halvings, 16))
        while (sum(weights) - 1) >> by > 32767:
            by += 1
        return [half_up(weight, by) for weight in weights]

    def gate(self, g, _, up, table, n, index_shift, shift, limit):
        for i in range(n):
            index = half_up(g[i], index_shift) + 512
            sigmoid = read_u16(table, max(0, min(1023, index)))
            silu = half_up(g[i] * sigmoid, 15)
            g[i] = clipped(half_up(silu * up[i], shift), limit)


def narrowed(row):
    """The numbers of a key or value in an int8 cache, and their shift."""
    shift = max(bit_length(max(1, max(map(abs, row)))) - 7, 0)
    return [min(half_up(value, shift), 127) for value in row], shift


class PlainInt8Kernels(PlainKernels):
    """The same for int8 caches: u8 [rows, head_dim], number + 128, then the shift of each row."""

    def cache_rows(self, x, keys, values, row, heads, head_dim, context, _):
        for head in range(2 * heads):
            cache, place = (keys, values)[head // heads], head % heads * context + row
            numbers, shift = narrowed(list(x[head * head_dim : (head + 1) * head_dim]))
            for i, number in enumerate(numbers):
                cache[place * head_dim + i] = number + 128
            cache[heads * context * head_dim + place] = shift

    def attend(self, _, __, keys, values, rows, heads, q, out, scores, table, seen, shift):
        wide = [self._widened(cache, rows[heads]) for cache in (keys, values)]
        PlainKernels.attend(
            self, 0, 0, *wide, rows, heads, q, out, scores, table, seen, shift
        )

    def _widened(self, cache, count):
        """An int8 cache as one of int16 with 2**15 added; both keys and values may have that."""
        size = self.head_dim
        numbers = [
            ((cache[row * size + i] - 128) << cache[count * size + row]) + 32768
            for row in range(count)
            for i in range(size)
        ]
        return u16_buffer(numbers)


class PlainResidual:
    """As PlainKernels, with the names and signatures of firmware/compute/norms.py."""

    def norm(self, residual, _, gain, at, x, n, shift, epsilon, limit):
        log_n = bit_length(n - 1) if n > 1 else 0
        largest = max(abs(residual[i]) for i in range(n))
        down = max(bit_length(largest) - 15, 0) if largest else 0
        values = [min(half_up(residual[i], down), 32767) for i in range(n)]
        total = sum(value * value >> log_n for value in values)
        total = max(total + (epsilon >> (2 * down + log_n)), 1)
        doublings = (30 - bit_length(total)) // 2
        scaled = total << 2 * doublings if doublings >= 0 else total >> 2
        inverse = (1 << 29) // square_root(scaled)
        for i, value in enumerate(values):
            multiplier = read_u16(gain, at // 2 + i) - 32768
            normalized = half_up(value * inverse, 15)
            x[i] = clipped(half_up(normalized * multiplier, shift - doublings), limit)

    def add_rescaled(self, residual, _, acc, multiplier, at, n, shift):
        for i in range(n):
            product = acc[i] * read_u16(multiplier, at // 2 + i)
            kept = half_up(residual[i], shift >> 6)
            residual[i] = clipped(kept + half_up(product, shift & 63), (1 << 24) - 1)

    def best(self, logits, n):
        return max(range(n), key=lambda i: (logits[i], -i))


def square_root(number):
    """The floor of a positive integer's square root; MicroPython has no math.isqrt."""
    low, high = 0, number + 1
    while high - low > 1:
        middle = (low + high) // 2
        if middle * middle <= number:
            low = middle
        else:
            high = middle
    return low
