"""Which kernels a chip can run.

By chip, not by the architecture that mpy-cross compiles for: ESP32, S2 and S3 share `xtensawin`,
and what one of them executes is an illegal instruction on another.
"""

from __future__ import annotations

from protocol.shard_layout import PAIRS, VECTORS

# Machine code of ours (host/build/machine_code/) by chip, as esptool names it. The S2, which has
# no MAC16, and chips that are unknown run what viper's compiler makes. The P4's and C5's scalar
# cores execute the C3's instructions.
_NATIVE = {
    **dict.fromkeys(("esp32c3", "esp32c5", "esp32c6", "esp32h2", "esp32p4"), "rv32im"),
    "esp32": "lx6",
    "esp32s3": "pie",
}


# How these kernels want matrices; what is not here, as viper's compiler does.
PADDING = {"lx6": PAIRS, "pie": VECTORS}


# How many positions of a request a chip's kernels multiply a matrix with together: where a pass
# takes fewer instructions than one position after the other (bench/kernels.py), or as many but
# reads weights once. On an ESP32 two positions take as many, on an ESP32-S3 a sixth more.
PASSES = {"rv32im": (4, 2), "lx6": (4,), "pie": (4,)}


def matrix_padding(chip: str | None) -> int:
    """Returns how a chip's matrices are stored, whichever kernels it runs: see
    protocol/shard_layout.py."""
    return PADDING.get(native_kernels(chip) or "", 1)


def native_kernels(chip: str | None) -> str | None:
    """Returns the name of the kernels that a chip has in machine code of ours, None for none;
    chip: None for a simulated one."""
    return _NATIVE.get(chip) if chip else None
