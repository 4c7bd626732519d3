"""A chip's kernels as they are deployed, for MicroPython processes to import as `deployed`.

They go through mpy-cross, as on the way to a chip, because its code differs from that of the
compiler within MicroPython: tests/firmware runs both.
"""

import functools
from pathlib import Path

from host.build.bundle import compiled
from host.build.kernels import kernel_source
from tests.simulation.launch import REPOSITORY

FOLDER = REPOSITORY / "build" / "tests"
ARCH = "x86"  # of the simulated chips
# One to three blocks, their edges, and the shapes of stories260K on 1, 5 and 8 chips.
COLUMNS = (1, 2, 3, 8, 16, 22, 35, 64, 128, 172, 191, 192, 193, 255, 256, 384, 385, 400)
HEAD_SIZES = (2, 4, 6, 8, 16, 32, 48, 64)


@functools.cache
def deployed_kernels() -> Path:
    """The folder to put on MicroPython's path; in it are deployed.kernels and deployed.residual,
    deployed.matrices with all COLUMNS, and deployed.head_N for each size of HEAD_SIZES."""
    names = ("kernels", "residual")
    sources = {name: (REPOSITORY / "firmware" / f"{name}.py").read_text() for name in names}
    sources["matrices"] = kernel_source(COLUMNS, HEAD_SIZES[0])
    sources |= {f"head_{size}": kernel_source((1,), size) for size in HEAD_SIZES}
    (FOLDER / "deployed").mkdir(parents=True, exist_ok=True)
    for name, source in sources.items():
        code = compiled(source.encode(), f"deployed/{name}.py", ARCH)
        file = FOLDER / "deployed" / f"{name}.mpy"
        if not file.exists() or file.read_bytes() != code:  # another test run may be reading it
            file.write_bytes(code)
    return FOLDER
