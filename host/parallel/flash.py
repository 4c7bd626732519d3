"""What a chip's shard takes of the flash partition for weights, and of its heap to read it."""

from __future__ import annotations

from collections.abc import Iterator

from host.model.checkpoint import Config
from host.parallel.assignment import LocalSizes
from protocol.flash_layout import MOST_ROWS, PLACE_SIZE, matrix_bytes
from protocol.shard_layout import VECTORS

# Bytes that are read at once: at 10 MB/s, what a reading costs beside its bytes is then 2 % of it.
BLOCK = 8_192
# Two rows of a matrix at least go into a block, with what they are filled up with.
_FILLING = 20
# Beyond a block each of its two buffers has some bytes, for what follows may begin a little later.
_SLACK = 16
# Objects of what reads blocks: views of its buffers, and a closure for each shape.
_OBJECTS = 1_600
# The shard's header and tables, and what each layer adds to the header: at most.
_HEAD, _HEAD_LAYER = 12_288, 320


def block_bytes(config: Config) -> int:
    """Bytes of a block: whatever a chip has of the model, it holds two rows of its matrices."""
    widest = max(config.dim, config.hidden_dim, config.heads * config.head_dim)
    return max(BLOCK, 2 * (widest + _FILLING) + VECTORS & -VECTORS)


def reading_bytes(block: int) -> int:
    """Bytes of heap that reading blocks takes, 0 for no reading."""
    return 2 * (block + _SLACK) + 4 * MOST_ROWS + _OBJECTS if block else 0


def matrices_of_layer(config: Config, sizes: LocalSizes) -> tuple[tuple[int, int], ...]:
    """Rows and columns of a chip's matrices in a layer: q, k, v; o; gate, up; down."""
    q, kv, units = sizes.q_size, sizes.kv_size, sizes.intermediate
    return (q + 2 * kv, config.dim), (config.dim, q), (2 * units, config.dim), (config.dim, units)


def flash_bytes(config: Config, sizes: LocalSizes, rows: int, padding: int) -> int:
    """Bytes that a shard with so much of each layer, and so many vocabulary rows, takes of the
    partition, at most; padding: as its kernels want matrices (protocol/shard_layout.py)."""
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
