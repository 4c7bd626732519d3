"""Makes the files of one chip: firmware and protocol as .mpy, kernels, shard, configuration."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from host.build.coarser_kernel import gets_coarser, with_coarser
from host.build.compilation import chip_module, chip_source
from host.build.firmware_version import BOOT, chip_sources
from host.build.kernels import model_kernels
from host.build.packages import chip_path
from host.build.pass_kernels import pass_source
from host.build.shard import held_layers, matrix_columns, shard_file
from host.build.unrolling import FEWEST_PRODUCTS, PRODUCTS
from host.hardware.kernels import pass_counts
from host.model.quantized import QuantizedModel
from host.parallel.plan import Plan, Shard
from host.parallel.resident import may_be_placed
from host.paths import SOURCES
from protocol.shard_layout import DIGEST_SIZE

if TYPE_CHECKING:
    from host.build.machine_code.registry import KernelSet

KERNELS = "firmware/compute/model_kernels.py"  # generated for each chip
# Native kernels that compute several positions in a pass, and the module that runs them.
PASS_KERNELS, _PASSES = "firmware/compute/pass_kernels.py", "firmware/compute/passes.py"
NATIVE = "native"  # the folder of modules with the project's machine code
# The modules with kernels of firmware/kernel_choice.py; and those of them that only chips need
# that keep the residual stream, that sign frames, and that answer on a line.
_NORMS = "firmware/compute/norms.py"
TWINS = (
    "protocol/bitpack_pointers.py", "protocol/bitunpack_pointers.py", "protocol/cobs_pointers.py",
    "protocol/frame_check.py", "protocol/sums.py", "protocol/hmac_pointers.py",
    "firmware/compute/kernels.py", _NORMS, KERNELS,
    "firmware/compute/program.py", "firmware/compute/placed.py", "firmware/compute/serve.py",
    "firmware/compute/exchange.py", "firmware/compute/exchange_stage.py",
    "firmware/compute/exchange_line.py",
)  # fmt: skip
_OF_RESIDUAL = _NORMS, "protocol/bitunpack_pointers.py", "protocol/sums.py"
# The calls of programs, which an exchange runs, contain addresses of weights.
_PROGRAM, _EXCHANGE = "firmware/compute/program.py", "firmware/compute/exchange.py"
_PLACED = "firmware/compute/placed.py"  # of chips whose flash has such addresses
_EXCHANGE_LINE = "firmware/compute/exchange_line.py"  # of chips with a line of their own
_EXCHANGE_STAGE = "firmware/compute/exchange_stage.py"  # of stages of a pipeline
# Only for chips with weights in flash.
_OF_FLASH = (
    "firmware/compute/blocks.py", "firmware/compute/partition.py", "firmware/compute/several.py",
    "firmware/compute/exchange_blocks.py",
    "protocol/flash_layout.py",
)  # fmt: skip
_MAPPING = "firmware/compute/mapping.py"  # of those that may map it
SHARD = "shard.bin"
WEIGHTS = "weights"  # the label of the partition for them
_OF_SIGNING = ("protocol/hmac_pointers.py",)
_OF_LINES = ("firmware/compute/serve.py",)  # for host reduce on a serial line
# The module that checks frames, and the one in its place if all are signed; but serve.py has
# machine code for the former.
_FRAME_CHECK, _HEADER_CHECK = "protocol/frame_check.py", "protocol/header_check.py"
_FRAMING = "protocol/cobs_pointers.py"  # of a serial line

# A board runs boot.py and main.py as source; all else is compiled. Ctrl-C is still an interrupt
# when main.py begins, and a frame that arrives while modules are imported may contain that byte.
_START = b"""import micropython

micropython.kbd_intr(-1)

from firmware.main import run

run()
"""


def chip_files(
    model: QuantizedModel,
    plan: Plan,
    shard: Shard,
    arch: str,
    config: Mapping[str, object],
    kernels: KernelSet | None = None,
    padding: int = 1,
    mapping: Sequence[object] | str = "",
    *,
    lacks_psram: bool = False,
) -> dict[str, bytes]:
    """Returns the content of each file by its path on the chip, including the shard, which
    split_files may move into a partition.

    arch: mpy-cross's name of the processor; config: what firmware/startup.py reads; kernels: the
    machine code that the chip has besides viper's, if any; padding: of its matrices, whichever
    kernels run (protocol/shard_layout.py); mapping: what map_settings of host/hardware/mmu.py
    returns; lacks_psram: whether the board lacks PSRAM, and so has no room for native exchanges
    beside what reads matrices in blocks.
    """
    columns = matrix_columns(model, shard)
    # With native kernels, viper's are only a fallback.
    products = FEWEST_PRODUCTS if kernels else PRODUCTS
    sources = _read_sources()
    sources[KERNELS] = model_kernels(model.config, columns, padding, products)
    if gets_coarser(held_layers(model, plan, shard)):
        sources[_NORMS] = with_coarser(sources[_NORMS])
    has_line = not plan.link.has_radio or shard.chip == 0  # or it is the gateway
    in_flash, keeps_residual = plan.block(shard.chip) > 0, plan.strategy.keeps_residual
    is_placed = bool(kernels) and may_be_placed(plan, shard.chip, padding)
    has_programs = is_placed or not in_flash
    answers_on_line = plan.link.kind == "uart" and has_programs and not keeps_residual
    header_check = sources.pop(_HEADER_CHECK)
    if checks_headers := plan.link.signed and not (kernels and answers_on_line):
        sources[_FRAME_CHECK] = header_check
    passes = _pass_kernels(plan, shard, columns, kernels, is_placed) if has_programs else {}
    for path in _list_unused(plan, shard.chip, bool(passes), is_placed):
        del sources[path]
    files = _compile_modules(sources, arch)
    if kernels:
        is_left_out = {
            **(parts := _list_exchange_parts(plan, shard, has_programs, lacks_psram)),
            **dict.fromkeys(_OF_SIGNING, not plan.link.signed),
            **dict.fromkeys(_OF_LINES, not answers_on_line),
            _PROGRAM: parts[_EXCHANGE] and not has_programs, _PLACED: not is_placed,
            _FRAME_CHECK: checks_headers, _FRAMING: not has_line,
        }  # fmt: skip
        twins = {path: sources[path] for path in TWINS if not is_left_out.get(path)}
        native = native_files({**twins, **passes}, kernels, model.config.head_dim)
        files.update(native)
        # Machine code contains the model's shapes: that of another model is proved anew.
        config = {"kernels": "auto", "native": digest(native), **config}
    files[SHARD] = file = shard_file(model, plan, shard, padding)
    if in_flash:
        config = {**config, "weights": _describe_partition(file, plan, shard.chip, mapping)}
    files["config.json"] = json.dumps(config).encode()
    return files


def _read_sources() -> dict[str, str]:
    """Returns the sources of all of a chip's modules by their path."""
    return {path.relative_to(SOURCES).as_posix(): path.read_text() for path in chip_sources()}


def _compile_modules(sources: Mapping[str, str], arch: str) -> dict[str, bytes]:
    """Returns compiled modules by their path on the chip, and those that it runs as source."""
    modules = {
        place: chip_module(source, path, arch)
        for path, source in sources.items()
        if (place := chip_path(path))
    }
    return modules | {BOOT: (SOURCES / "firmware" / BOOT).read_bytes(), "main.py": _START}


def _list_unused(
    plan: Plan, chip: int, has_passes: bool, is_placed: bool
) -> tuple[str, ...]:
    """Returns the modules that a chip of the plan has no use for; has_passes: whether kernels take
    several positions a pass; is_placed: whether programs may use matrices of its flash."""
    unused: tuple[str, ...] = () if plan.block(chip) else _OF_FLASH
    unused += () if is_placed else (_PLACED,)
    return unused + (() if plan.maps(chip) else (_MAPPING,)) + (() if has_passes else (_PASSES,))


def _list_exchange_parts(
    plan: Plan, shard: Shard, has_programs: bool, lacks_psram: bool
) -> dict[str, bool]:
    """Returns the modules for what chips exchange natively, and whether this chip does without
    each."""
    keeps_residual = plan.strategy.keeps_residual
    is_stage = plan.strategy.role == "pipeline"
    is_other = not keeps_residual or bool(shard.elements)
    is_other |= not has_programs and (is_stage or lacks_psram)
    return {
        **dict.fromkeys(_OF_RESIDUAL, not keeps_residual),
        _EXCHANGE: is_other,
        _EXCHANGE_LINE: is_other or plan.link.kind != "uart",
        _EXCHANGE_STAGE: is_other or not is_stage,
    }


def _pass_kernels(
    plan: Plan,
    shard: Shard,
    columns: Collection[int],
    kernels: KernelSet | None,
    is_placed: bool,
) -> dict[str, str]:
    """Returns the module of kernels that compute several positions in a pass, by its path; none if
    requests hold too few positions, are handled in bytecode, or matrices are in groups."""
    name = kernels.name if kernels else None
    counts = pass_counts(name, max(columns), is_placed=is_placed)
    in_groups = any(count < 0 for count in columns)
    if not kernels or not counts or plan.positions < min(counts) or shard.elements or in_groups:
        return {}
    source = pass_source(columns, kernels.padding, counts)
    return {PASS_KERNELS: source} if source else {}


def _describe_partition(
    file: bytes, plan: Plan, chip: int, mapping: Sequence[object] | str
) -> dict[str, object]:
    """Returns what firmware/compute/partition.py needs to know of a chip's shard in flash."""
    sha256, block = file[-DIGEST_SIZE:].hex(), plan.block(chip)
    settings: dict[str, object] = {
        "label": WEIGHTS, "size": len(file), "sha256": sha256, "block": block
    }  # fmt: skip
    if resident := plan.resident_room(chip):
        settings["resident"] = resident
        settings["rows"] = plan.rows_first
    if plan.stage_of(chip).shape.together:
        settings["several"] = True
    if any(buffers := plan.buffers(chip)):
        settings["buffers"] = buffers
    return {**settings, "map": mapping} if plan.maps(chip) else settings


def split_files(files: Mapping[str, bytes]) -> tuple[dict[str, bytes], bytes]:
    """Returns the files of a chip's file system, and the content of its flash partition for
    weights, empty if the weights go from a file into the heap."""
    if "weights" not in json.loads(files["config.json"]):
        return dict(files), b""
    return {path: content for path, content in files.items() if path != SHARD}, files[SHARD]


def native_files(
    sources: Mapping[str, str], kernels: KernelSet, head_dim: int
) -> dict[str, bytes]:
    """Returns modules of kernels with the project's machine code, by path on the chip.

    firmware/kernel_choice.py chooses between them and viper's.
    """
    files = {}
    for path, source in sources.items():
        text = chip_source(source).decode()
        mpy = kernels.module(chip_module(source, path, kernels.mpy_arch), text, head_dim)
        if mpy:
            files[f"{NATIVE}/{Path(path).stem}.mpy"] = mpy
    shapes = {"head_dim": head_dim, "padding": kernels.padding}
    files[f"{NATIVE}/shapes.json"] = json.dumps(shapes).encode()
    return files


def digest(files: Mapping[str, bytes]) -> str:
    """Returns the digest of the paths and contents of files."""
    return hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:16]
