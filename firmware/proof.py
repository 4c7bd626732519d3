"""Compares native kernels with viper's on the same numbers, at a chip's first start.

Both must return and write the same, bit for bit. Below, a function `_NAME(numbers)` returns the
arguments with which to call the kernel NAME.
"""

from array import array

from firmware.proof_numbers import Numbers
from protocol.shard_layout import BIAS_FACTOR, DROP, VECTORS, WEIGHT_ZERO

_ROWS, _ODD_AT = 29, 3  # enough rows for blocks of every size; an unaligned offset
_PADDED_AT = 16  # the offset of padded matrices
_SEEN, _HEADS = 19, 2
_COUNT = 21  # elements
_BITS = (5, 17, 24, 27, 32)


def _matvec(numbers, columns):
    # Views, because on a chip vectors are slices that may begin anywhere.
    y = memoryview(numbers.words(-999, 999, 3 + _ROWS))[3:]
    x = memoryview(numbers.words(-32768, 32767, 1 + columns))[1:]
    yield numbers.octets(1, 255, _ODD_AT + _ROWS * columns), 0, y, x, _ROWS, _ODD_AT


def _whole_rows(numbers, columns, padding):
    # Matrices as in protocol/shard_layout.py; both begin at multiples of the padding.
    filled = columns + -columns % padding
    weights = numbers.octets(1, 255, _PADDED_AT + _ROWS * filled)
    if padding == VECTORS:
        biases = array("i")
        for at in range(_PADDED_AT, len(weights), filled):
            for i in range(at + columns, at + filled):
                weights[i] = WEIGHT_ZERO
            bias = BIAS_FACTOR * (sum(weights[at : at + filled]) - WEIGHT_ZERO * filled)
            biases.append((bias + (1 << 31)) % (1 << 32) - (1 << 31))
        weights += bytes(biases)
    x = numbers.words(-32768, 32767, columns)
    yield weights, 0, numbers.words(-999, 999, _ROWS), x, _ROWS, _PADDED_AT


def _attend(numbers, size, is_int8=False):
    table = bytearray(1024)
    for i in range(512):
        table[2 * i + 1] = (32768 - 32 * i) >> 8
    rows = array("i", [i * _SEEN for i in range(_HEADS + 1)])
    q_limit = min(8191, (1 << 29) // (32768 * size))
    count = _HEADS * _SEEN * size
    if is_int8:
        caches = [numbers.octets(0, 255, count) + numbers.octets(0, 8, rows[-1]) for _ in "kv"]
    else:
        caches = [numbers.halves(1, high, count) for high in (32767, 65535)]
    yield (
        0, 0, caches[0], caches[1], rows, _HEADS,
        numbers.words(-q_limit, q_limit, _HEADS * size), array("i", [0] * (_HEADS * size)),
        memoryview(array("i", [0] * (_SEEN + 1)))[1:], table, _SEEN, 12,
    )  # fmt: skip


def _parts(numbers):
    return array("i", [8, 17, 511, 0, 30, 9, 12, 24, 32767])


def _rescale(numbers):
    sums = numbers.words(-(1 << 29), (1 << 29) - 1, _COUNT)
    yield sums, 0, numbers.halves(0, 32767, _COUNT + 1), 2, _parts(numbers), 3


def _rope_row(numbers):
    for position in (0, 31, 65):
        table = numbers.halves(0, 32768, 2 * 5 * 35)
        yield table, 0, position, array("i", [0] * 10), 5


def _rotate(numbers):
    row = numbers.words(-16384, 16384, 4)
    yield numbers.words(-32767, 32767, _COUNT - 1), 0, row, 2, _parts(numbers), 3


def _cache_rows(numbers):
    cache = numbers.halves(0, 65535, 2 * 5 * 6)
    yield numbers.words(-511, 511, 24), cache, bytearray(cache), 3, 2, 6, 5, 512


def _gate(numbers):
    table = numbers.halves(0, 32768, 1024)
    for index_shift, shift in ((4, 13), (0, 0), (20, 30)):
        gates, up = (numbers.words(-32767, 32767, _COUNT) for _ in range(2))
        yield gates, 0, up, table, _COUNT, index_shift, shift, 8191


def _load_int16s(numbers):
    frame = numbers.octets(0, 255, 2 * _COUNT + 4)
    for at in (0, 1, 2, 3):
        yield frame, 0, at, array("i", [0] * _COUNT), _COUNT


def _store_int16s(numbers):
    for at in (0, 1, 2, 3):
        values = numbers.words(-32768, 32767, _COUNT)
        yield values, 0, at, bytearray(2 * _COUNT + 4), _COUNT


def _norm(numbers):
    for high in (100, 40000, 0xFFFFFF):
        residual = numbers.words(-high, high, _COUNT)
        gain = numbers.halves(1, 65535, _COUNT + 1)
        yield residual, 0, gain, 2, array("i", [0] * _COUNT), _COUNT, 22, 77777, 32767


def _add_rescaled(numbers, shift=24):
    residual = numbers.words(-0xFFFFFF, 0xFFFFFF, _COUNT)
    sums = numbers.words(-(1 << 29), (1 << 29) - 1, _COUNT)
    yield residual, 0, sums, numbers.halves(0, 32767, _COUNT + 1), 2, _COUNT, shift


def _add_coarser(numbers):
    return _add_rescaled(numbers, 24 + 5 * DROP)


def _best(numbers):
    yield numbers.words(-9, 9, _COUNT), _COUNT


def _contribute(numbers):
    total, values = (numbers.words(-(1 << 28), 1 << 28, _COUNT) for _ in range(2))
    yield total, 2, values, array("i", [0] * _COUNT), _COUNT - 2


def _clear(numbers):
    yield numbers.words(1, 9, _COUNT), _COUNT - 1


def _bits_needed(numbers):
    for bits in _BITS:
        yield numbers.words(-1 << bits - 4, 1 << bits - 4, _COUNT), _COUNT


def _pack(numbers):
    for bits in _BITS:
        for at in (0, 3):
            values = numbers.words(-(1 << bits - 1), (1 << bits - 1) - 1, _COUNT)
            yield bytearray(4 * _COUNT + 4), at, values, _COUNT, bits


def _unpack(numbers):
    for bits in _BITS:
        packed = numbers.octets(0, 255, 4 * _COUNT + 8)
        yield packed, 1, array("i", [0] * _COUNT), _COUNT, bits


def _add_unpacked(numbers):
    for bits in _BITS:
        packed = numbers.octets(0, 255, 4 * _COUNT + 8)
        yield packed, 2, numbers.words(-99, 99, _COUNT), 1, _COUNT - 1, bits


def _encode(numbers):
    for count in (0, 5, 254, 300):
        yield numbers.octets(0, 9, count), bytearray(count + 8), count, 1


def _decode(numbers):
    for state in ((0, 0, 0, 0), (3, 2, 1, 4), (1, 0, 0, -1)):
        data = numbers.octets(0, 7, 60)
        yield data, bytearray(80), array("i", state), 60, 30


def _check_frame(numbers):
    for size in (0, 5, 8):
        frame = bytearray([2, 16, 3, 254, 1, 0, size, 0]) + numbers.octets(0, 255, size + 4)
        yield frame, len(frame)
    # Each ends in its CRC-32; the second is damaged.
    for last in (0x81, 0x82):
        yield bytearray([2, 1, 0, 0, 0, 0, 0, 0, 0xA0, 0xD3, 0x70, last]), 12


def _put_crc32(numbers):
    for count in (8, 11):
        yield numbers.octets(0, 255, count + 4), count


def _authenticate(numbers):
    # Other constants than SHA-256's do as well; lengths around that which fills the last block.
    for n in (0, 55, 56, 69):
        states, table = (numbers.words(-(1 << 31), (1 << 31) - 1, count) for count in (16, 72))
        frame = numbers.octets(0, 255, n + 8)
        for task in (0, 1, 0, 2):
            yield states, table, array("i", [0] * 16), frame, n, task
    yield states, table, array("i", [0] * 16), frame, 64, 3


_CASES = {
    "rescale": _rescale, "rope_row": _rope_row, "rotate": _rotate, "cache_rows": _cache_rows,
    "cache_rows_int8": _cache_rows, "gate": _gate, "load_int16s": _load_int16s,
    "store_int16s": _store_int16s, "norm": _norm, "add_rescaled": _add_rescaled,
    "add_coarser": _add_coarser, "best": _best, "contribute": _contribute, "_clear": _clear,
    "bits_needed": _bits_needed, "pack": _pack, "unpack": _unpack,
    "add_unpacked": _add_unpacked, "encode": _encode, "decode": _decode,
    "check_frame": _check_frame, "put_crc32": _put_crc32, "authenticate": _authenticate,
}  # fmt: skip
# The index of an argument that is not compared.
_SCRATCH = {"attend": 8, "attend_int8": 8, "authenticate": 2}


def find_wrong(native, viper, head_dim, padding, feed=bool, passes=None):
    """Returns the name of a kernel whose native form differs from viper's, "" if none does.

    native, viper: lists of the same modules in both forms; head_dim, padding: what attention and
    matrices were generated for; feed: the watchdog's function, called before each comparison;
    passes: the module of native kernels for several positions, or None.
    """
    for ours, theirs in zip(native, viper):
        for name in dir(theirs):
            if hasattr(theirs, name + "_int8"):
                continue  # only another name for that
            for seed in range(1, 5):
                feed()
                given, expected = (_cases(name, head_dim, padding, seed) for _ in range(2))
                if not _same(name, getattr(ours, name), getattr(theirs, name), given, expected):
                    return name
    for theirs in viper if passes else ():
        for name in dir(theirs):
            multiply = getattr(passes, "matmul" + name[6:], None)
            for count in passes.COUNTS if multiply else ():
                feed()
                cases = _cases(name, head_dim, padding, count)
                if not _is_pass_right(multiply, getattr(theirs, name), count, next(cases)):
                    return "matmul" + name[6:]
    return "run_program" if _is_program_wrong(native) else ""


def _is_pass_right(multiply, matvec, count, case):
    """Returns whether `multiply` gives for `count` positions what matvec gives for each of them;
    case: arguments for matvec."""
    weights, _, y, x, rows, at = case
    step = len(x) + -len(x) % VECTORS
    numbers = Numbers(count, False)
    inputs = numbers.words(-32768, 32767, count * step)
    got = numbers.words(-999, 999, count * (rows + 1))
    expected = got[:]
    multiply(weights, count, got, inputs, rows, at, 4 * (rows + 1), 4 * step)
    for i in range(count):
        y = memoryview(expected)[i * (rows + 1) :]
        matvec(weights, 0, y, memoryview(inputs)[i * step :], rows, at)
    return got == expected


def _is_program_wrong(native):
    """Returns whether a program of two kernels gives another result than calling them in turn."""
    by_name = {name: getattr(module, name) for module in native for name in dir(module)}
    if "run_program" not in by_name:
        return False
    from uctypes import addressof

    rescale, load, make, run = [
        by_name[name] for name in ("rescale", "load_int16s", "make_program", "run_program")
    ]
    outcomes = []
    for is_program in (True, False):
        numbers = Numbers(3, False)
        x, _, multipliers, at, parts, count = next(_rescale(numbers))
        frame, out = numbers.octets(0, 255, 2 * _COUNT), array("i", [0] * _COUNT)
        if is_program:
            calls = [
                (rescale, (x, 0, multipliers, at, "parts", count)),
                (load, (frame, 0, "position", "out", _COUNT - 1)),
            ]
            values = array("I", [0, 0, 0, addressof(parts)])
            run(make(calls, ("position", "seen", "out", "parts")), values, 1, out)
        else:
            rescale(x, 0, multipliers, at, parts, count)
            load(frame, 0, 1, out, _COUNT - 1)
        outcomes.append((x, out))
    return outcomes[0] != outcomes[1]


def _cases(name, head_dim, padding, seed):
    """Returns lists of arguments to call a function with; none if it is not a kernel."""
    numbers = Numbers(seed, seed > 2)
    if name.startswith("matvec_"):
        columns = int(name.split("_")[-1])
        if name[7] == "g":  # matvec_groups_N, of which any bytes are weights
            return _whole_rows(numbers, columns, 1)
        if padding > 1:
            return _whole_rows(numbers, columns, padding)
        return _matvec(numbers, columns)
    if name in ("attend", "attend_int8"):
        return _attend(numbers, head_dim, name != "attend")
    return _CASES[name](numbers) if name in _CASES else ()


def _same(name, ours, theirs, cases, others):
    """Returns whether two kernels return and write the same, given equal arguments."""
    for given, expected in zip(cases, others):
        got, wanted = ours(*given), theirs(*expected)
        if wanted is not None and got != wanted:
            return False
        for i in range(len(given)):
            if i != _SCRATCH.get(name) and given[i] != expected[i]:
                return False
    return True
