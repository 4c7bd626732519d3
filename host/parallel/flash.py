"""Computes what a chip's shard takes of the flash partition, and of the heap that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from host.model.checkpoint import Config
from host.parallel.assignment import LocalSizes
from host.parallel.limits import KERNEL_COLUMNS
from protocol.flash_layout import MOST_ROWS, PLACE_SIZE, matrix_bytes, rows_bytes, spread
from protocol.shard_layout import VECTORS

# A layer of the chip and one of its matrices, 0 to 3 in the order of matrices_of_layer; and the
# classifier's.
Matrix = tuple[int, int]
VOCABULARY: Matrix = (-1, 0)
# Bytes that are read at once: at 10 MB/s, a call then adds 2 % to the time of its bytes.
# Larger ones would leave five ESP32-C3 that all-reduce over the radio too little heap.
BLOCK = 7_808
# At least two rows of a matrix fit into a block, each with so many bytes of padding.
_FILLING = 20
# Bytes that are read at once where heaps are large, the number of buffers for them, and the bytes
# of views of each.
CHUNK, CHUNKS = 32_768, 16
_VIEWS = 900
# Bytes of an object and its dictionary entry that say where a resident matrix is; and of what says
# where another is, in the order in which they are read.
_ENTRY, _ORDERED = 64, 12
# Bytes of the objects that read blocks: views of the buffers, and a closure for each shape.
_OBJECTS = 1_600
# Code that computes several positions together, and objects of each.
SEVERAL_CODE, _POSITION = 3_100, 750
# At most: bytes of the shard's header and tables, and bytes that each layer adds to the header.
_HEAD, _HEAD_LAYER = 12_288, 320


def block_bytes(config: Config) -> int:
    """Returns the bytes of a block. It holds two rows of any matrix of the model."""
    widest = max(config.dim, config.hidden_dim, config.heads * config.head_dim)
    return max(BLOCK, 2 * (widest + _FILLING) + VECTORS & -VECTORS)


def reading_bytes(block: int) -> int:
    """Returns the bytes of heap that reading blocks takes; block: its bytes, 0 for none."""
    return 2 * block + 4 * MOST_ROWS + _OBJECTS if block else 0


def ahead_bytes(block: int) -> int:
    """Returns the bytes of heap that more and larger buffers take, for reading ahead."""
    return CHUNKS * (chunk_bytes(block) + _VIEWS) - 2 * block


def chunk_bytes(block: int) -> int:
    """Returns the bytes of each of these buffers."""
    return max(CHUNK, block)


def order_bytes(config: Config, sizes: LocalSizes) -> int:
    """Returns the bytes of heap that say in which order matrices are read."""
    columns = config.dim, config.dim, max(sizes.q_size, 1), max(sizes.intermediate, 1)
    parts = sum(_count_parts(count) for count in columns)
    return _ORDERED * (config.layers * parts + _count_parts(config.dim))


def several_bytes(positions: int, dim: int, sizes: LocalSizes) -> int:
    """Bytes of heap with which so many positions of a request are computed together
    (firmware/compute/several.py), 0 if there is one."""
    if positions == 1:
        return 0
    rows = max(sizes.q_size + 2 * sizes.kv_size, 2 * sizes.intermediate)
    numbers = dim + rows + sizes.q_size + sizes.head_dim
    return SEVERAL_CODE + positions * (4 * numbers + _POSITION)


def resident_entries(config: Config, sizes: LocalSizes, elements: int = 0) -> int:
    """Returns the most bytes of heap for objects that say where resident matrices are: one for
    the columns of each kernel."""
    matrices = matrices_of_layer(config, sizes, elements)
    parts = sum(_count_parts(abs(columns)) for _, columns in matrices)
    return _ENTRY * (config.layers * parts + _count_parts(config.dim))


def _count_parts(columns: int) -> int:
    return -(-columns // KERNEL_COLUMNS)


@lru_cache(maxsize=256)
def split_resident(
    config: Config,
    sizes: LocalSizes,
    rows: int,
    room: int,
    elements: int = 0,
    *,
    rows_first: bool = False,
) -> tuple[dict[Matrix, int], dict[Matrix, int]]:
    """Returns the bytes of weights of each matrix: of those that are resident in `room` bytes of
    heap, and of those read from flash (firmware/compute/partition.py).

    elements: those of the residual stream that the chip finishes, if chips use all-gather;
    rows_first: whether the vocabulary's matrix is kept before all others.
    """
    counts = [
        rows_bytes(count, columns, 1)
        for count, columns in matrices_of_layer(config, sizes, elements)
    ]
    ordered: list[tuple[Matrix, int]] = []
    for parts in ((0, 1), (2, 3)):  # attention's matrices, then those of feed-forward units
        for layer in spread(config.layers):
            ordered += [((layer, part), counts[part]) for part in parts]
    ordered.insert(0 if rows_first else len(ordered), (VOCABULARY, rows * config.dim))
    resident: dict[Matrix, int] = {}
    read: dict[Matrix, int] = {}
    for matrix, size in ordered:
        fits = size <= room
        (resident if fits else read)[matrix] = size
        room -= size * fits
    return resident, read


def matrices_of_layer(
    config: Config, sizes: LocalSizes, elements: int = 0
) -> tuple[tuple[int, int], ...]:
    """Returns the rows and columns of a chip's matrices in a layer: q, k, v; o; gate, up; down.

    Columns are negative of those in groups, as protocol/flash_layout.py has them. elements: as for
    split_resident.
    """
    q, kv, units = sizes.q_size, sizes.kv_size, sizes.intermediate
    output, down = (config.dim, q), (config.dim, units)
    if elements:
        output, down = (elements, config.q_dim), (elements, config.hidden_dim)
    whole = (q + 2 * kv, config.dim), output, (2 * units, config.dim), down
    return tuple(
        (rows, -columns if name in config.grouped else columns)
        for name, (rows, columns) in zip(("wq", "wo", "w1", "w2"), whole, strict=True)
    )


def flash_bytes(config: Config, sizes: LocalSizes, rows: int, padding: int) -> int:
    """Returns the most bytes that a shard with these sizes of each layer and `rows` vocabulary
    rows takes of the partition; padding: that of its kernels' matrices
    (protocol/shard_layout.py)."""
    block = block_bytes(config)

    def sizes_of(matrices: tuple[tuple[int, int], ...]) -> Iterator[int]:
        return (matrix_bytes(count, columns, padding, block) for count, columns in matrices)

    layer = sum(sizes_of(matrices_of_layer(config, sizes)))
    multipliers = 2 * (sizes.q_size + 2 * sizes.kv_size + 2 * sizes.intermediate)
    multipliers += VECTORS + PLACE_SIZE  # padded to a multiple of that at most
    norms = 8 * config.dim
    layers = config.layers * (layer + multipliers + norms + _HEAD_LAYER)
    vocabulary = sum(sizes_of(((rows, config.dim),))) + 2 * rows
    return layers + vocabulary + _HEAD + 2 * config.dim + 24 * config.head_dim
