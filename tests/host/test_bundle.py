"""The files of a chip, and the compiler's cache."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from host.build import bundle
from host.build.bundle import chip_files
from host.build.compilation import chip_module
from host.build.firmware_version import HOST_ONLY, chip_sources
from host.build.kernels import kernel_source
from host.build.machine_code.registry import RV32IM
from host.build.packages import chip_path, flatten_imports
from host.build.pass_kernels import pass_source
from host.build.shard import matrix_columns, shard_file
from host.hardware.kernels import pass_counts
from host.model.quantization.quantize import quantize
from tests.host.tiny import coarsened_model, random_checkpoint
from tests.plans import staged_plan, tensor_plan


@pytest.mark.parametrize(("arch", "number"), [("x86", 1), ("xtensawin", 10), ("rv32imc", 11)])
def test_a_chip_has_all_it_needs(arch: str, number: int) -> None:
    model = quantize(random_checkpoint())
    plan = tensor_plan(model, 3)
    shard = plan.shards[1]
    files = chip_files(model, plan, shard, arch, {"chip": 1, "link": "uart"})
    sources = {
        path.relative_to(bundle.SOURCES).as_posix()
        for folder in ("protocol", "firmware")
        for path in (bundle.SOURCES / folder).rglob("*.py")
        if path.name not in (*HOST_ONLY, "boot.py")
    }
    assert {"protocol/frame.py", "firmware/main.py", "firmware/compute/kernels.py"} < sources
    modules = {chip_path(name) for name in sources} - {None} | {"firmware/model_kernels.mpy"}
    assert "firmware/attention.mpy" in modules and "firmware/__init__.mpy" in modules
    modules.remove("protocol/header_check.mpy")  # which signed frames have
    modules.remove("firmware/passes.mpy")  # of native kernels that take several positions
    modules.remove("firmware/placed.mpy")  # and of those that take weights from where flash is
    # And those whose weights stay in flash.
    modules -= {"firmware/blocks.mpy", "firmware/partition.mpy", "protocol/flash_layout.mpy"}
    modules -= {"firmware/several.mpy", "firmware/mapping.mpy", "firmware/exchange_blocks.mpy"}
    assert set(files) == modules | {"boot.py", "main.py", "config.json", "shard.bin"}
    for name in modules:
        assert files[name][:2] == b"M\x06"  # what MicroPython 1.23 and later load
        # Files without native code name no architecture.
        assert files[name][2] >> 2 in (0, number)
    assert files["firmware/kernels.mpy"][2] >> 2 == number
    kernels = kernel_source(matrix_columns(model, shard), model.config.head_dim)
    expected = chip_module(kernels, "firmware/compute/model_kernels.py", arch)
    assert files["firmware/model_kernels.mpy"] == expected
    assert files["shard.bin"] == shard_file(model, plan, shard)
    assert json.loads(files["config.json"]) == {"chip": 1, "link": "uart"}
    compile(files["main.py"], "main.py", "exec")
    assert b"firmware.main" in files["main.py"]
    compile(files["boot.py"], "boot.py", "exec")


def test_a_chip_imports_nothing_that_is_left_on_the_host() -> None:
    left = {Path(name).stem for name in HOST_ONLY}
    for folder in ("firmware", "protocol"):
        for path in (bundle.SOURCES / folder).rglob("*.py"):
            if path.name not in HOST_ONLY:
                imported = re.findall(r"(?:from|import) protocol\.(\w+)", path.read_text())
                imported += re.findall(r"from protocol import (\w+)", path.read_text())
                # What CPython imports in place of pointer kernels, which a chip never reaches.
                plain = {n.replace("_pointers", "_plain") for n in imported if "_pointers" in n}
                assert not (left - plain) & set(imported), path.name


def test_each_module_of_a_chip_has_a_place_of_its_own() -> None:
    paths = [path.relative_to(bundle.SOURCES).as_posix() for path in chip_sources()]
    places = [place for place in map(chip_path, [*paths, bundle.KERNELS]) if place]
    assert len(places) == len(set(places)) == len(paths) + 1 - 3  # packages that are flattened
    assert all(place.count("/") == 1 for place in places)


@pytest.mark.parametrize(
    ("source", "flat"),
    [
        ("from firmware.compute.shard import x\n", "from firmware.shard import x\n"),
        ("    from firmware.links import uart\n", "    from firmware import uart\n"),
        ('n = "firmware.roles." + role\n', 'n = "firmware." + role\n'),
        ("from firmware.linksome import x\n", "from firmware.linksome import x\n"),
        ("from my_firmware.links import x\n", "from my_firmware.links import x\n"),
    ],
)
def test_modules_are_imported_from_where_a_chip_has_them(source: str, flat: str) -> None:
    assert flatten_imports(source) == flat


@pytest.mark.parametrize("reduce", ["host", "chips"])
@pytest.mark.parametrize(
    ("weights", "resident", "has_addresses"),
    [("heap", 0, True), ("flash", 0, False), ("flash", 99, False), ("flash", 1 << 20, True),
     ("flash-mapped", 0, True)],
)  # fmt: skip
def test_machine_code_that_knows_where_weights_lie_is_there_if_they_have_addresses(
    reduce: str, weights: str, resident: int, has_addresses: bool
) -> None:
    """Programs contain the addresses of weights, and `serve` runs programs; an exchange does
    without them."""
    model = quantize(random_checkpoint())
    flash = [0 if weights == "heap" else 1 << 20] * 2
    plan = tensor_plan(model, 2, 16, reduce=reduce, heap=1 << 20, flash=flash)
    parallelism = replace(plan.parallelism, weights=weights)
    plan = replace(plan, parallelism=parallelism, resident=(resident,) * 2)
    assert bool(plan.block(0)) == (weights != "heap")
    files = chip_files(model, plan, plan.shards[0], "rv32imc", {}, RV32IM)
    native = {path.rpartition("/")[2] for path in files if path.startswith(f"{bundle.NATIVE}/")}
    assert ({"norms.mpy", "sums.mpy"} <= native) == (reduce == "chips")
    expected = {"program.mpy", "serve.mpy" if reduce == "host" else "exchange.mpy"}
    found = native & {"program.mpy", "exchange.mpy", "serve.mpy"}
    assert found == (expected if has_addresses or reduce == "chips" else set())
    small = chip_files(model, plan, plan.shards[0], "rv32imc", {}, RV32IM, lacks_psram=True)
    assert (f"{bundle.NATIVE}/exchange.mpy" in small) == (reduce == "chips" and has_addresses)
    is_placed = has_addresses and weights != "heap"
    assert ("placed.mpy" in native) == ("firmware/placed.mpy" in files) == is_placed
    assert ("pass_kernels.mpy" in native) == has_addresses


@pytest.mark.parametrize(
    ("columns", "padded", "placed"),
    [(288, (4,), (4, 2)), (289, (4,), (2,)), (576, (4,), (2,)), (577, (4,), (4,))],
)
def test_passes_take_as_many_positions_as_have_room_on_the_stack(
    columns: int, padded: tuple[int, ...], placed: tuple[int, ...]
) -> None:
    """Kernels for 577 columns and more are left out."""
    for kernels in ("lx6", "pie"):
        assert pass_counts(kernels, columns, is_placed=False) == padded
        assert pass_counts(kernels, columns, is_placed=True) == placed
    assert pass_counts("rv32im", columns, is_placed=True) == (4, 2)
    assert pass_counts(None, columns, is_placed=True) == ()
    assert bool(pass_source([columns], 16, placed)) == (max(placed) * columns <= 4 * 288)


@pytest.mark.parametrize("change", [1, 2, 3, 4])
def test_chips_in_whose_layers_the_stream_gets_coarser_have_the_kernel_for_it(change: int) -> None:
    model = coarsened_model(change=change)
    plan = staged_plan(model, 2, 2, 16)
    for stage, shard in enumerate(plan.shards):
        files = chip_files(model, plan, shard, "rv32imc", {}, RV32IM)
        norms = files[chip_path("firmware/compute/norms.py")], files[f"{bundle.NATIVE}/norms.mpy"]
        is_there = [b"add_coarser" in module for module in norms]
        assert is_there == 2 * [stage == (change - 1) // 2]
        # Firmware that lacks it refuses the shard.
        assert files[bundle.SHARD][8] == (5 if is_there[0] else 4)
