"""A chip's code as it is deployed, for MicroPython processes that run tests.

Kernels are imported as `deployed`.
They go through mpy-cross, as on the way to a chip, because its code differs from that of the
compiler within MicroPython: tests/firmware runs both.
"""

import functools
from pathlib import Path

from host.build.coarser_kernel import with_coarser
from host.build.compilation import compiled
from host.build.constants import inline_constants
from host.build.firmware_version import chip_sources
from host.build.kernels import kernel_source
from host.build.unrolling import FEWEST_PRODUCTS, PRODUCTS
from tests.simulation.launch import REPOSITORY

FOLDER = REPOSITORY / "build" / "tests"
# Of protocol/, what no chip has but tests of both Pythons use.
TESTED_BESIDE = [f"protocol/{name}" for name in ("frame_v1.py", "gather_scatter.py", "message.py")]
ARCH = "x86"  # of the simulated chips
# One to three blocks, their edges, and the shapes of stories260K on 1, 5 and 8 chips.
COLUMNS = (1, 2, 3, 8, 16, 22, 35, 64, 128, 172, 191, 192, 193, 255, 256, 384, 385, 400)
HEAD_SIZES = (2, 4, 6, 8, 16, 32, 48, 64, 226, 256)  # of the last two in blocks of elements
SHORT_SIZES = (2, 8, 32)
INT8_SIZES = (2, 8, 64, 226)


@functools.cache
def deployed_kernels() -> Path:
    """The folder to put on MicroPython's path; in it are deployed.kernels and deployed.norms;
    deployed.coarser, those of models whose residual stream gets coarser; deployed.matrices with
    all COLUMNS, and deployed.head_N for each size of HEAD_SIZES; matrices_short and head_N_short,
    of SHORT_SIZES, as they are beside native kernels; and head_N_int8, of INT8_SIZES, for int8
    caches."""
    names = ("kernels", "norms")
    folder = REPOSITORY / "firmware" / "compute"
    sources = {name: (folder / f"{name}.py").read_text() for name in names}
    sources["coarser"] = with_coarser(sources["norms"])
    for products, suffix, sizes in (
        (PRODUCTS, "", HEAD_SIZES), (FEWEST_PRODUCTS, "_short", SHORT_SIZES),
    ):  # fmt: skip
        sources["matrices" + suffix] = kernel_source(COLUMNS, HEAD_SIZES[0], products=products)
        for size in sizes:
            kernels = kernel_source((1,), size, products=products)
            sources[f"head_{size}{suffix}"] = kernels
    for size in INT8_SIZES:
        sources[f"head_{size}_int8"] = kernel_source((1,), size, int8_kv=True)
    (FOLDER / "deployed").mkdir(parents=True, exist_ok=True)
    for name, source in sources.items():
        code = compiled(source.encode(), f"deployed/{name}.py", ARCH)
        file = FOLDER / "deployed" / f"{name}.mpy"
        if not file.exists() or file.read_bytes() != code:  # another test run may be reading it
            file.write_bytes(code)
    return FOLDER


@functools.cache
def built_sources() -> Path:
    """The folder with firmware and protocol as they are before they are compiled for a chip; but
    that constants keep their public names, which tests ask for."""
    folder = FOLDER / "sources"
    written = {}
    for path in chip_sources():
        written[folder / path.relative_to(REPOSITORY)] = inline_constants(
            path.read_text(), keeps_names=True
        )
    for name in TESTED_BESIDE:
        source = (REPOSITORY / name).read_text()
        written[folder / name] = inline_constants(source, keeps_names=True)
    for path in folder.rglob("*.py"):
        if path not in written:
            path.unlink(missing_ok=True)
    for path, source in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != source:
            path.write_text(source)
    return folder
