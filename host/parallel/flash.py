"""Computes what a chip's shard takes of the flash partition, and of the heap that reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from host.model.checkpoint import Config
from host.parallel.assignment import LocalSizes
from host.parallel.limits import KERNEL_COLUMNS
from protocol.flash_layout import MOST_ROWS, PLACE_SIZE, matrix_bytes
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY
from protocol.shard_layout import VECTORS

# Bytes that are read at once: at 10 MB/s, a call then adds 2 % to the time of its bytes.
BLOCK = 8_192
# At least two rows of a matrix fit into a block, each with so many bytes of padding.
_FILLING = 20
# Bytes of each of the two buffers beyond a block, because rows may begin a little later in it.
_SLACK = 16
# Bytes of an object and its dictionary entry that say where a resident matrix is; and how many
# more of them than kernels each layer has.
_ENTRY, _SKIPPED = 48, 2
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
    return 2 * (block + _SLACK) + 4 * MOST_ROWS + _OBJECTS if block else 0


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
    parts = sum(_count_parts(columns) for _, columns in matrices)
    return _ENTRY * (config.layers * (parts + _SKIPPED) + _count_parts(config.dim))


def _count_parts(columns: int) -> int:
    return -(-columns // KERNEL_COLUMNS)


def split_resident(
    config: Config, sizes: LocalSizes, rows: int, room: int, elements: int = 0
) -> tuple[dict[int, int], dict[int, int]]:
    """Returns the bytes of weights that a token uses in each phase: of those that are resident in
    `room` bytes of heap, and of those read from flash (firmware/compute/partition.py).

    elements: those of the residual stream that the chip finishes, if chips use all-gather.
    """
    attention, output, gate_up, down = (
        count * columns for count, columns in matrices_of_layer(config, sizes, elements)
    )
    ordered = [(PHASE_ATTENTION, size) for size in (attention, output) * config.layers]
    ordered += [(PHASE_FEED_FORWARD, size) for size in (gate_up, down) * config.layers]
    ordered.append((PHASE_VOCABULARY, rows * config.dim))
    resident, read = Counter[int](), Counter[int]()
    for phase, size in ordered:
        fits = size <= room
        (resident if fits else read)[phase] += size
        room -= size * fits
    return resident, read


def matrices_of_layer(
    config: Config, sizes: LocalSizes, elements: int = 0
) -> tuple[tuple[int, int], ...]:
    """Returns the rows and columns of a chip's matrices in a layer: q, k, v; o; gate, up; down.
    elements: as for split_resident."""
    q, kv, units = sizes.q_size, sizes.kv_size, sizes.intermediate
    output, down = (config.dim, q), (config.dim, units)
    if elements:
        output, down = (elements, config.q_dim), (elements, config.hidden_dim)
    return (q + 2 * kv, config.dim), output, (2 * units, config.dim), down


def flash_bytes(config: Config, sizes: LocalSizes, rows: int, padding: int) -> int:
    """Returns the most bytes that a shard with these sizes of each layer and `rows` vocabulary
    rows takes of the partition; padding: that of its kernels' matrices
    (protocol/shard_layout.py)."""
    block = block_bytes(config)

    def sizes_of(matrices: tuple[tuple[int, int], ...]) -> Iterator[int]:
        return (matrix_bytes(count, columns, padding, block) for count, columns in matrices)

    layer = sum(sizes_of(matrices_of_layer(config, sizes)))
    multipliers = 2 * (sizes.q_size + 2 * sizes.kv_size + 2 * sizes.intermediate) + padding
    multipliers += PLACE_SIZE
    norms = 8 * config.dim
    layers = config.layers * (layer + multipliers + norms + _HEAD_LAYER)
    vocabulary = sum(sizes_of(((rows, config.dim),))) + 2 * rows
    return layers + vocabulary + _HEAD + 2 * config.dim + 24 * config.head_dim
