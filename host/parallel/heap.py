"""Computes how much of a chip's heap its shard takes, part by part.

This is what strategies have in common; what each adds is in its module of
host/parallel/strategies/.
"""

from __future__ import annotations

from dataclasses import dataclass

from host.model import arithmetic
from host.model.checkpoint import Config
from host.model.groups import COLUMNS, GROUP_BYTES
from host.model.sampling import count_candidates
from host.parallel.assignment import LocalSizes
from host.parallel.limits import KERNEL_COLUMNS
from host.parallel.shape import Shape
from protocol.fragment import LEAST_MTU
from protocol.shard_layout import NORM_NUMBERS, VECTORS

# Code and objects of firmware and protocol, and on a simulated chip also of the stand-ins for a
# board's modules. Measured: the heap that such a chip reports in use, less the parts below.
# tests/host/test_memory.py compares plans with what chips report.
CODE = {"uart": 36_150, "radio": 43_200, "gateway": 45_760}
# Bytes of the objects of each layer, besides its buffers.
_LAYER = 287
_PLACE = 4  # bytes of an offset of matrices in flash
# Bytes that authentication adds; and bytes for each chip and the host of the windows that detect
# replayed frames.
SIGNING, _WINDOW = 3_900, 12
# What reading weights from flash adds (firmware/compute/blocks.py, and on a simulated chip its
# stand-in of esp32).
FLASH_CODE = 4_800
# What mapping that partition adds, besides what says where matrices are: mostly, on a simulated
# chip, the stand-in of its MMU (host/simulation/standins/mapped).
MAPPED_CODE = 3_300
# What naming the best rows of a large vocabulary adds (firmware/compute/candidates.py).
CANDIDATES_CODE = 1_000
# What kernels of int8 caches add (host/build/int8_kernels.py): of machine code on boards, where it
# is more than on simulated chips (tests/host/test_int8_kernels.py).
INT8_CODE = 1_000
# What kernels of weights in groups, and that of a stream that gets coarser, add in the same way to
# those of int8 weights (tests/host/test_group_kernels.py).
GROUPS_CODE = 900
# Bytes of the objects of each further block of columns in which a matrix is multiplied
# (host/build/kernels.py): of its entry in MATVEC, and of what each matrix keeps of it
# (firmware/compute/linear.py), which of matrices in flash is more.
_ENTRY, _KEPT, _KEPT_IN_FLASH = 40, 68, 270
# What firmware/links/ring.py adds.
RING_CODE = 1_000
# MicroPython's table of interned strings grows in blocks, each twice the size of the last one. The
# sixth, of 640, is allocated when there are more than 620 names, including those of stand-ins.
SIXTH_STRINGS = 4_500
# Bytes that a chip's ESPNow keeps for each station that it hears.
STATION = 90
# MicroPython uses 3 bits of its heap for each block of 16 bytes.
_HEAP_OVERHEAD = 128 / 131
# Bytes of a buffer that finds room in some gap between code, of heaps as full as plans allow.
FITS_GAPS = 1_500
READ_SIZE = 256
_DIGITS = 6  # characters of a number in a shard's header, with a comma
_RELAYED_AT_ONCE = 4


@dataclass(frozen=True)
class HeapNeed:
    """What a chip needs of its heap, in bytes."""

    weights: int  # of the chip's own shard
    kv_cache: int
    tables: int  # the same on all chips: functions, and norms if chips keep the residual stream
    buffers: int
    code: int
    transient: int  # room for transient objects

    @property
    def kept(self) -> int:
        """The bytes of all permanent objects."""
        return self.weights + self.kv_cache + self.tables + self.buffers + self.code

    @property
    def total(self) -> int:
        """All parts."""
        return self.kept + self.transient


def relayed_at_once(mtu: int) -> int:
    """Returns how many of the longest frames a gateway can write to the host at once."""
    return 1 if mtu > LEAST_MTU else _RELAYED_AT_ONCE


def usable_heap(heap: int) -> int:
    """Returns the bytes that a heap of `heap` bytes has for blocks."""
    return int(heap * _HEAP_OVERHEAD)


def weight_bytes(config: Config, sizes: LocalSizes, rows: int, block: int = 0) -> int:
    """Returns the bytes of weights and multipliers of a shard with these sizes of each layer and
    `rows` vocabulary rows; block: bytes that are read at once from flash, 0 for weights in the
    heap."""
    multipliers = 2 * (sizes.q_size + 2 * sizes.kv_size)
    if block:
        layer = multipliers + 4 * sizes.intermediate + _PLACE
        return config.layers * layer + 2 * rows + _PLACE
    weights = matrix_bytes(config, "wq", (sizes.q_size + 2 * sizes.kv_size) * config.dim)
    weights += matrix_bytes(config, "wo", sizes.q_size * config.dim)
    attention = config.layers * (multipliers + weights)
    return attention + sizes.intermediate * unit_bytes(config) + rows * row_bytes(config)


def alignment(config: Config, padding: int) -> int:
    """Returns the number of bytes to a multiple of which multipliers, and the matrices behind
    them, are padded; padding: that of matrices (protocol/shard_layout.py)."""
    return VECTORS if config.groups else padding


def padding_bytes(
    config: Config, layers: int, sizes: LocalSizes, rows: int, padding: int
) -> int:
    """Returns how many more bytes a chip's matrices take, in `layers` layers and `rows` vocabulary
    rows, if their rows are padded to a multiple of `padding` columns and, with VECTORS, have a
    bias each (protocol/shard_layout.py)."""
    if padding == 1 and not config.groups:
        return 0
    bias = 4 if padding == VECTORS else 0

    def more(name: str, count: int, columns: int) -> int:
        if name in config.grouped or not columns:
            return 0
        return count * (-columns % padding + bias)

    dim, units = config.dim, sizes.intermediate
    layer = more("wq", sizes.q_size + 2 * sizes.kv_size, dim) + more("wo", dim, sizes.q_size)
    layer += more("w1", 2 * units, dim) + more("w2", dim, units)
    # Each matrix, and the offset of the first, is padded too.
    apart = alignment(config, padding)
    return layers * (layer + 5 * apart) + more("classifier", rows, dim) + 2 * apart


def unit_bytes(config: Config, block: int = 0) -> int:
    """Returns the bytes of one feed-forward unit in all layers; block: as for weight_bytes."""
    if block:
        return config.layers * 4
    weights = matrix_bytes(config, "w1", 2 * config.dim) + matrix_bytes(config, "w2", config.dim)
    return config.layers * (weights + 4)


def matrix_bytes(config: Config, name: str, weights: int) -> int:
    """Returns the bytes of so many weights of a matrix, or of a chip's part of it."""
    if name not in config.grouped:
        return weights
    return -(-weights * GROUP_BYTES // COLUMNS)


def row_bytes(config: Config, block: int = 0) -> int:
    """Returns the bytes of one vocabulary row; block: as for weight_bytes."""
    if block:
        return 2
    return config.dim + 2


def norm_bytes(config: Config) -> int:
    """Returns the bytes that a chip holds besides its shard if chips keep the residual stream: the
    gains of all norms, and the row multipliers of o and down."""
    return 2 * config.dim * (4 * config.layers + 1)


def cache_bytes(shape: Shape, sizes: LocalSizes) -> int:
    """Returns the bytes of the keys and values of all slots."""
    rows = 2 * shape.config.layers * shape.slots * shape.context * sizes.kv_heads
    return rows * shape.config.cache_row


def table_bytes(shape: Shape) -> int:
    """Returns the bytes of the exponential, sigmoid and rope tables."""
    rope_rows = arithmetic.ROPE_STRIDE + -(-shape.context // arithmetic.ROPE_STRIDE)
    entries = len(arithmetic.exp_table()) + len(arithmetic.sigmoid_table())
    return 2 * (entries + rope_rows * shape.config.head_dim) + _qk_norm_bytes(shape.config)


def _qk_norm_bytes(config: Config) -> int:
    """Returns the bytes of the norms of queries and keys: as int32 and, while a chip starts, also
    as a list of numbers and as digits in its shard's header."""
    numbers = 2 * (config.head_dim + NORM_NUMBERS) if config.qk_norm else 0
    return config.layers * numbers * (4 + 4 + _DIGITS)


def workspace_bytes(shape: Shape, sizes: LocalSizes, rows: int) -> int:
    """Returns the bytes of the buffers in which a chip computes
    (firmware/compute/workspace.py)."""
    dim = shape.config.dim
    widest = max(sizes.q_size + 2 * sizes.kv_size, 2 * sizes.intermediate, rows)
    scores = shape.context if sizes.heads else 0
    return 4 * (dim + widest + sizes.q_size + sizes.head_dim + scores + shape.elements)


def column_bytes(config: Config, sizes: LocalSizes, in_flash: bool) -> int:
    """Returns the bytes of heap of the objects for all further blocks of columns, where a chip's
    matrices take several; in_flash: whether it has them in flash."""
    columns = [config.dim, sizes.q_size, sizes.intermediate]
    wide, heads, units = (max(0, -(-each // KERNEL_COLUMNS) - 1) for each in columns)
    kept = _KEPT_IN_FLASH if in_flash else _KEPT
    return _ENTRY * (wide + heads + units) + kept * (3 * wide + heads + units)


def code_bytes(shape: Shape, place: str) -> int:
    """Returns the bytes of a chip's code and objects; place: "uart", "radio" or "gateway"."""
    code = CODE[place] + _LAYER * shape.config.layers
    if place == "gateway":
        code += shape.link.gateway_code
    if shape.link.signed:
        code += SIGNING + _WINDOW * (shape.chips + 1)
    if count_candidates(shape.config.vocab_size):
        code += CANDIDATES_CODE
    if shape.config.int8_kv:
        code += INT8_CODE
    if shape.config.groups:
        code += GROUPS_CODE
    if shape.link.is_ring:
        code += RING_CODE
    return code
