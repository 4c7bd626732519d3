"""The parts of `python -m bench`: each yields rows for the given models."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import air, link_figures, links, memory, peers, ring, simulation
from bench import kernels as kernel_figures
from bench.chip import ChipBench
from bench.combining_chip import CombiningBench
from bench.faults.rows import fault_rows
from bench.gateway_chip import GatewayBench
from bench.program_chips import ProgramBench
from bench.recording import Caches, Request, record, requests
from bench.results import Row
from bench.speed import SpeedModel
from host.build.machine_code.registry import LX6, PIE, RV32IM
from host.cli.console import Console
from host.hardware.boards import load
from host.model.checkpoint import Checkpoint, Config
from host.model.loading import LoadedModel
from host.model.quantized import QuantizedModel
from host.model.tokenizers.bpe import BOS, BpeTokenizer

# The shapes of the stories260K of llama2.c's tinyllamas, for which no file is needed.
STORIES260K = Config(
    dim=64, hidden_dim=172, layers=5, heads=8, kv_heads=4, vocab_size=512, context=512
)
POSITIONS = (16, 128, 256)
CHIPS = (1, 5)
SPEED_POSITION = 128
_SCALED_BOARD = "esp32c3"
_COUNTED_TOKENS = 5


@dataclass(frozen=True)
class Subject:
    """A model to measure: quantized, and as loaded."""

    name: str
    model: QuantizedModel
    loaded: LoadedModel | None = None

    def positions(self) -> list[int]:
        """Returns the positions at which a chip's work is counted, within the model's context."""
        last = self.model.config.context - 1
        return sorted({min(position, last) for position in POSITIONS})


Part = Callable[[list[Subject], int, Console], Iterator[Row]]


def kernel_rows(subjects: list[Subject], steps: int, console: Console) -> Iterator[Row]:
    """Yields instructions of kernels."""
    yield from kernel_figures.figures_of_shapes()
    configs = {subject.name: subject.model.config for subject in subjects}
    for name, config in {**configs, "stories260K": STORIES260K}.items():
        yield from kernel_figures.figures_of_model(config, name)


def chip_rows(subjects: list[Subject], steps: int, console: Console) -> Iterator[Row]:
    """Yields instructions of whole chips."""
    for subject in subjects:
        positions = subject.positions()
        recorded, caches = record(subject.model, [BOS], positions[-1] + 1)
        _say(console, f"{subject.name}: compiler, QEMU and MicroPython's QEMU port")
        bench = ChipBench(subject.model, recorded, positions)
        for chips in CHIPS:
            _say(console, f"{subject.name}: {chips} emulated, one after another")
            yield from bench.rows(chips, subject.name)
        yield from _gateway(subject, bench, console)
        signing = ChipBench(subject.model, recorded, positions, signed=True)
        for chips in CHIPS:
            _say(console, f"{subject.name}: {chips} emulated with version 3")
            yield from signing.rows(chips, subject.name)
        yield from _native(subject, recorded, caches, positions, console)
        _say(console, f"{subject.name}: {CHIPS[-1]} emulated that combine")
        yield from CombiningBench(subject.model, recorded, positions).rows(
            CHIPS[-1], subject.name
        )  # fmt: skip


def _native(
    subject: Subject,
    recorded: Sequence[Request],
    caches: Caches,
    positions: list[int],
    console: Console,
) -> Iterator[Row]:
    """Yields the same chips with native kernels: whole chips if QEMU has their processor."""
    for signed in (True, False):
        bench = ChipBench(subject.model, recorded, positions, signed=signed, kernels=RV32IM)
        for chips in CHIPS:
            _say(console, f"{subject.name}: {chips} emulated with {RV32IM.name} kernels")
            yield from bench.rows(chips, subject.name)
    programs = ProgramBench(bench, caches)
    for kernels in (LX6, PIE):
        for chips in CHIPS:
            _say(console, f"{subject.name}: machine code of {chips} with {kernels.name} kernels")
            yield from programs.rows(chips, subject.name, kernels)


def _gateway(subject: Subject, bench: ChipBench, console: Console) -> Iterator[Row]:
    gateway = GatewayBench(bench)
    if gateway.fits(CHIPS[-1]):
        _say(console, f"{subject.name}: a gateway emulated")
        yield from gateway.rows(CHIPS[-1], subject.name)
    else:
        _say(console, f"{subject.name}: no gateway: its frames are too long for one on the radio")


def link_rows(subjects: list[Subject], steps: int, console: Console) -> Iterator[Row]:
    """Yields frames and bytes."""
    for subject in subjects:
        tokens = min(_COUNTED_TOKENS, subject.model.config.context - 8)
        for link in ("uart", "espnow"):
            _say(console, f"{subject.name}: {tokens} tokens counted on {link}")
            for chips in links.CHIPS:
                for mode in links.MODES:
                    yield from links.figures(
                        subject.model, link, chips, mode, tokens, subject.name
                    )  # fmt: skip


def speed_rows(subjects: list[Subject], steps: int, console: Console) -> Iterator[Row]:
    """Yields modelled tokens per second; prints formulas and constants."""
    for line in link_figures.constants():
        console.print(f"model: {line}")
    for subject in subjects:
        position = min(SPEED_POSITION, subject.model.config.context - 1)
        recorded = requests(subject.model, [BOS], position + 1)
        _say(console, f"{subject.name}: chips of all sizes emulated at position {position}")
        model = SpeedModel(subject.model, recorded, position)
        for line in model.constants():
            console.print(f"model: {subject.name}, instructions where {line}")
        yield from model.fit_errors(subject.name)
        _say(console, f"{subject.name}: federations modelled")
        yield from model.figures(subject.name)
        yield from model.greedy(subject.name)
        _say(console, f"{subject.name}: up to 100 chips modelled")
        yield from model.scaling(subject.name, load(_SCALED_BOARD))


def air_rows(subjects: list[Subject], steps: int, console: Console) -> Iterator[Row]:
    """Yields the model of the air with others' measurements, and what collisions cost."""
    yield from air.throughput_rows()
    for subject in subjects:
        _say(console, f"{subject.name}: federations whose frames collide")
        yield from air.collision_rows(subject.model, subject.name)


def ring_rows(subjects: list[Subject], steps: int, console: Console) -> Iterator[Row]:
    """Yields figures of boards in a ring."""
    for subject in subjects:
        _say(console, f"{subject.name}: boards in a ring modelled")
        yield from ring.figures(subject.model, subject.name)


def memory_rows(subjects: list[Subject], steps: int, console: Console) -> Iterator[Row]:
    """Yields heaps, and the largest models."""
    for subject in subjects:
        yield from memory.figures(subject.model, subject.name)
    console.print(f"memory: largest model of the family {memory.FAMILY}")
    yield from memory.figures_of_boards()


def peer_rows(subjects: list[Subject], steps: int, console: Console) -> Iterator[Row]:
    """Yields the float model, and other projects' all-reduces."""
    for subject in subjects:
        if subject.loaded and isinstance(subject.loaded.weights, Checkpoint):
            count = min(steps, subject.model.config.context)
            yield from peers.figures(subject.loaded.weights, count, subject.name)
            yield from _llama2c(subject, subject.loaded, count, console)


def _llama2c(subject: Subject, source: LoadedModel, steps: int, console: Console) -> Iterator[Row]:
    run_c = os.environ.get("LLAMA2C")
    if not run_c:
        console.print("peers: llama2.c is left out: LLAMA2C= takes the path of its run.c")
    elif isinstance(source.weights, Checkpoint) and isinstance(source.tokenizer, BpeTokenizer):
        yield peers.llama2c_speed(
            source.weights, source.tokenizer, Path(run_c), steps, subject.name
        )  # fmt: skip


def simulation_rows(subjects: list[Subject], steps: int, console: Console) -> Iterator[Row]:
    """Yields figures of simulated federations on this machine."""
    for subject in subjects:
        for link, chips in simulation.CASES:
            _say(console, f"{subject.name}: {chips} simulated on {link}")
            count = min(steps, subject.model.config.context - 1)
            yield from simulation.figures(subject.model, link, chips, count, subject.name)


def faults(subjects: list[Subject], steps: int, console: Console) -> Iterator[Row]:
    """Yields how clusters cope with faults; always with a small model of random weights."""
    _say(console, "losses, restarts, forgeries and malformed answers in virtual time, long runs")
    yield from fault_rows()


def _say(console: Console, what: str) -> None:
    console.print(what, style="dim")


PARTS: dict[str, Part] = {
    "kernels": kernel_rows,
    "chip": chip_rows,
    "links": link_rows,
    "speed": speed_rows,
    "air": air_rows,
    "ring": ring_rows,
    "memory": memory_rows,
    "peers": peer_rows,
    "simulation": simulation_rows,
    "faults": faults,
}
