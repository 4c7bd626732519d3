"""Says which kernels a chip can run.

It goes by chip, not by the architecture that mpy-cross compiles for: ESP32, S2 and S3 share
`xtensawin`, but what one of them executes may be an illegal instruction on another.
"""

from __future__ import annotations

from protocol.shard_layout import PAIRS, VECTORS

# Our machine code (host/build/machine_code/) by chip, as esptool names it. The S2, which has no
# MAC16, and unknown chips run the kernels of viper's compiler. The P4's and C5's scalar cores
# execute the C3's instructions.
_NATIVE = {
    **dict.fromkeys(("esp32c3", "esp32c5", "esp32c6", "esp32h2", "esp32p4"), "rv32im"),
    "esp32": "lx6",
    "esp32s3": "pie",
}


# The padding of matrices that these kernels need; kernels not listed use that of viper's.
PADDING = {"lx6": PAIRS, "pie": VECTORS}


# The numbers of positions that a chip's kernels multiply a matrix with in one pass: those with
# which a pass takes fewer instructions than single positions (bench/kernels.py), or as many but
# reads weights only once. On an ESP32 two positions take as many, on an ESP32-S3 a sixth more.
PASSES = {"rv32im": (4, 2), "lx6": (4,), "pie": (4,)}
# The same for matrices of a flash shard that are mapped or kept in PSRAM: two positions save more
# by reading weights once than they take.
_PLACED_PASSES = (4, 2)
# Where rows are padded, the inputs of a pass are on the stack: at most so many of all positions
# together.
MOST_INPUTS = 4 * 288
MOST_POSITIONS = 4


def matrix_padding(chip: str | None) -> int:
    """Returns the padding with which a chip's matrices are stored, whichever kernels it runs: the
    header's `columns` of protocol/shard_layout.py."""
    return PADDING.get(native_kernels(chip) or "", 1)


def positions_in_pass(columns: int) -> int:
    """Returns for how many positions of a matrix with so many columns, in padded rows, there is
    room on the stack: an even number, 0 if there is none for two."""
    return min(MOST_POSITIONS, MOST_INPUTS // columns & -2)


def pass_counts(kernels: str | None, widest: int, *, is_placed: bool) -> tuple[int, ...]:
    """Returns the numbers of positions that a chip multiplies a matrix with in one pass, the
    largest first; widest: columns of its widest matrix; is_placed: whether these are in flash, and
    have addresses."""
    counts = PASSES.get(kernels or "", ())
    if not counts or not is_placed:
        return counts
    most = positions_in_pass(widest) if kernels in PADDING else MOST_POSITIONS
    return tuple(count for count in _PLACED_PASSES if count <= most) or counts


def native_kernels(chip: str | None) -> str | None:
    """Returns the name of a chip's native kernels, None if there are none; chip: None for a
    simulated one."""
    return _NATIVE.get(chip) if chip else None
