"""Upper bounds of deterministic figures: instructions, allocation, heap, frames and bytes.

bench/bounds.json has the last counts, by part and by kernel, target and shape; tests allow SLACK
more. `python -m bench.bounds` counts again and writes the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench import REPOSITORY, links, memory
from bench.chip import ChipBench
from bench.combining_chip import CombiningBench
from bench.emulated_chip import FOLDER
from bench.gateway_chip import GatewayBench
from bench.kernels import figures_of_shapes
from bench.recording import requests
from bench.results import Label, Row
from bench.stage_chip import StageBench
from host.build.machine_code.registry import RV32IM, KernelSet
from host.model.cache import load_quantized
from host.model.quantized import QuantizedModel
from host.model.tokenizers.bpe import BOS

FILE = Path(__file__).resolve().parent / "bounds.json"
SHIPPED = REPOSITORY / "models" / "home.bin"
SLACK = 1.02  # compilers of other versions may order a few instructions differently
_CHIPS, _POSITION = 5, 3
_BOUNDED = ("chip", "chip: allocated")
_LINKS = (("uart", "host"), ("espnow", "host"), ("espnow", "chips, greedy"))
_TOKENS = 3


def stored(part: str) -> dict[str, float]:
    """Returns the bounds of a part by Row.key."""
    bounds: dict[str, float] = json.loads(FILE.read_text())[part]
    return bounds


def bounded(rows: Iterable[Row]) -> list[Row]:
    """Returns those of a chip's rows that have bounds: not those of phases, because work may move
    between phases."""
    return [row for row in rows if row.name in _BOUNDED]


def chip_figures(folder: Path = FOLDER, *, signed: bool = False) -> Iterator[Row]:
    """Returns rows of the busiest of 5 chips with the shipped model; signed: with frames of
    version 3. Raises SetupError without QEMU."""
    return _chip_bench(folder, signed).rows(_CHIPS, SHIPPED.stem)


def native_chip_figures(folder: Path = FOLDER) -> Iterator[Row]:
    """Yields rows of the same chips with native kernels, with frames of versions 2 and 3, and with
    chips that add up."""
    yield from _chip_bench(folder, kernels=RV32IM).rows(_CHIPS, SHIPPED.stem)
    yield from _chip_bench(folder, signed=True, kernels=RV32IM).rows(_CHIPS, SHIPPED.stem)
    yield from combining_figures(folder, RV32IM)


def gateway_figures(folder: Path = FOLDER) -> Iterator[Row]:
    """Returns rows of the gateway of 5 chips on ESP-NOW."""
    return GatewayBench(_chip_bench(folder)).rows(_CHIPS, SHIPPED.stem)


def _shipped() -> QuantizedModel:
    return load_quantized(SHIPPED).quantize()


def _chip_bench(
    folder: Path, signed: bool = False, kernels: KernelSet | None = None
) -> ChipBench:
    model = _shipped()
    recorded = requests(model, [BOS], _POSITION + 1)
    return ChipBench(
        model, recorded, [_POSITION], folder, signed=signed, kernels=kernels
    )  # fmt: skip


def combining_figures(
    folder: Path = FOLDER, kernels: KernelSet | None = None
) -> Iterator[Row]:
    """Returns rows of 5 chips that add up their partial sums themselves."""
    model = _shipped()
    recorded = requests(model, [BOS], _POSITION + 1)
    bench = CombiningBench(model, recorded, [_POSITION], folder, kernels)
    return bench.rows(_CHIPS, SHIPPED.stem)


def stage_figures(folder: Path = FOLDER) -> Iterator[Row]:
    """Rows of 5 chips that are stages of a pipeline with native kernels, with frames of version 2
    and 3."""
    model = _shipped()
    recorded = requests(model, [BOS], _POSITION + 1)
    for signed in (False, True):
        bench = StageBench(model, recorded, [_POSITION], folder, signed=signed, kernels=RV32IM)
        yield from bench.rows(_CHIPS, SHIPPED.stem)


def link_figures() -> Iterator[Row]:
    """Returns rows of frames and bytes per token with the shipped model on 5 chips, measured."""
    model = _shipped()
    for link, mode in _LINKS:
        rows = links.figures(model, link, _CHIPS, mode, _TOKENS, SHIPPED.stem)
        yield from (row for row in rows if row.label == Label.MEASURED)


def heap_figures() -> Iterator[Row]:
    """Returns rows of the heap in use on the fullest chips with the shipped model, as they report
    it."""
    rows = memory.figures(_shipped(), SHIPPED.stem)
    return (row for row in rows if row.label == Label.MEASURED)


def exceeded(rows: Iterable[Row], bounds: dict[str, float]) -> list[str]:
    """Returns a line for each row that exceeds its bound or has none, and for each bound without a
    row."""
    values = {row.key: row.value for row in rows}
    faults = [f"{key}: has no bound" for key in values.keys() - bounds.keys()]
    faults += [f"{key}: a bound for nothing" for key in bounds.keys() - values.keys()]
    faults += [
        f"{key}: {values[key]} instead of {bound}"
        for key, bound in bounds.items()
        if values.get(key, bound) > bound * SLACK
    ]
    return sorted(faults)


def main() -> None:
    """Writes the bounds."""
    parts: dict[str, Iterable[Row]] = {
        "kernels": figures_of_shapes(),
        "chip": bounded(chip_figures()),
        "signed": bounded(chip_figures(signed=True)),
        "native chip": bounded(native_chip_figures()),
        "gateway": bounded(gateway_figures()),
        "combining": combining_figures(),
        "stages": stage_figures(),
        "links": link_figures(),
        "heap": heap_figures(),
    }
    counted = {part: {row.key: row.value for row in rows} for part, rows in parts.items()}
    FILE.write_text(json.dumps(counted, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
