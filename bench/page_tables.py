"""Makes the tables of docs/benchmarks.md from the rows of a run of `python -m bench`."""

from __future__ import annotations

from collections.abc import Callable

from bench.air import BOARD as AIR_BOARD
from bench.air import CHIPS as AIR_CHIPS
from bench.chip import counted
from bench.contention import MODULATIONS
from bench.kernel_tables import kernels, native, native_chip
from bench.links import CHIPS as LINK_CHIPS
from bench.memory import CASES as HEAPS
from bench.page_figures import MODEL, Cells, Figures, goal_cell
from bench.ring import BAUDS, KINDS, shape_of
from bench.ring import BOARD as RING_BOARD
from bench.speed import BOARDS, CHIPS, MANY
from host.hardware.boards import load

_CHIP_GOALS = {1: 3.3, 5: 0.9}  # millions, at position 128
_WHOLE = "chip"
# What the table calls each chip, its shape, and the name of its figure.
_CHIPS = (
    ("1 chip, host adds", "1 chip", _WHOLE),
    ("5 chips, host adds", "5 chips", _WHOLE),
    ("1 chip, version 3", "1 chip signed", _WHOLE),
    ("5 chips, version 3", "5 chips signed", _WHOLE),
    ("5 chips, gateway, ESP-NOW", "5 chips gateway", _WHOLE),
    ("the same with the driver's calls, modelled", "5 chips gateway", "chip with radio driver"),
    ("5 chips, chips add", "5 chips combining", _WHOLE),
)
_CHIP_POSITIONS = (16, 128, 256)
_PHASES = {
    "protocol": "protocol: frames in and out, message loop",
    "calls": "calls: bytecode between kernels",
    "matrix": "matrix",
    "attention": "attention with softmax",
    "elementwise": "elementwise",
    "packing": "packing",
}
_LINK_MODES = (("host", "host adds"), ("chips, best tokens", "chips add, best tokens"))
_RATES = ("54 Mbit/s", "1 Mbit/s")
_HEAP_PARTS = ("weights", "kv cache", "tables", "buffers", "code")
_BOARDS = {
    "esp32s2": "ESP32-S2",
    "esp32c3": "ESP32-C3, C6",
    "esp32": "ESP32",
    "esp32s3": "ESP32-S3",
    "esp32s3-psram": "ESP32-S3 with PSRAM",
}

def chip(figures: Figures) -> list[Cells]:
    """Returns the table of instructions of a whole chip for a token, and of what it allocates."""
    heads = [f"position {position}" for position in _CHIP_POSITIONS]
    made: list[Cells] = [["", *heads, "goal at 128", "allocated"]]
    goals = {counted(chips): goal for chips, goal in _CHIP_GOALS.items()}
    for label, shape, name in _CHIPS:
        places = {p: f"{MODEL} {shape} position {p}" for p in _CHIP_POSITIONS}
        counts = {p: figures.value(name, "rv32imc", at) / 1e6 for p, at in places.items()}
        cells = [label, *(f"{count:.2f} M" for count in counts.values())]
        if name == _WHOLE:
            allocated = figures.value("chip: allocated", "rv32imc", places[128]) / 1000
            cells += [goal_cell(counts[128], goals.get(shape), " M"), f"{allocated:.1f} KB"]
        else:
            cells += ["", ""]
        made.append(cells)
    return made


def phases(figures: Figures) -> list[Cells]:
    """Returns the table of a chip's instructions by phase."""
    made: list[Cells] = [["", *(counted(chips) for chips in _CHIP_GOALS)]]
    for phase, label in _PHASES.items():
        counts = (
            figures.value(f"chip: {phase}", "rv32imc", f"{MODEL} {counted(chips)} position 128")
            for chips in _CHIP_GOALS
        )
        made.append([label, *(f"{count / 1e6:.2f} M" for count in counts)])
    return made


def links(figures: Figures) -> list[Cells]:
    """Returns the table of frames and bytes of a token."""
    made: list[Cells] = [[
        "link", "chips", "who adds", "frames on lines", "bytes", "frames on the air", "bytes",
        "air at 54 / 1 Mbit/s, modelled",
    ]]  # fmt: skip
    for link, label in (("uart", "UART"), ("espnow", "ESP-NOW")):
        for who, words in _LINK_MODES:
            for chips in LINK_CHIPS:
                shape = f"{MODEL} {counted(chips)}, {words}"
                frames = figures.get("line: frames", link, shape)
                if frames is None or (link == "espnow" and chips == 1):
                    continue
                cells = [label, str(chips), who, f"{frames:,.0f}",
                         f"{figures.value('line: bytes', link, shape):,.0f}"]  # fmt: skip
                on_air = figures.get("air: frames", link, shape)
                if on_air is None:
                    made.append([*cells, "", "", ""])
                    continue
                times = [figures.value(f"air: time at {r}", link, shape) for r in _RATES]
                made.append([
                    *cells, f"{on_air:,.0f}", f"{figures.value('air: bytes', link, shape):,.0f}",
                    f"{times[0]:.0f} / {times[1]:.0f} ms",
                ])  # fmt: skip
    return made


def speed(figures: Figures) -> list[Cells]:
    """Returns the table of modelled tokens per second of boards."""
    made: list[Cells] = [
        ["link", "who adds", "chips", "S3", "ESP32", "C3", "at 5 % loss", "at 20 %"]
    ]
    for chips in CHIPS:
        for link, label in (("uart", "UART"), *((f"espnow {r}", f"ESP-NOW {r}") for r in _RATES)):
            for who, words in (("host", "host adds"), ("chips", "chips add")):
                if chips == 1 and who == "chips":
                    continue
                shape = f"{MODEL} {link}, {words}, {counted(chips)}, loss "
                losses = [
                    _speed(figures, "2.0", "esp32c3", f"{shape}{loss}")[0]
                    for loss in ("5%", "20%")
                ]
                made.append([
                    label, who, str(chips),
                    *(_range(figures, board, f"{shape}0%") for board in BOARDS), *losses,
                ])  # fmt: skip
    return made


def scaling(figures: Figures) -> list[Cells]:
    """Returns the table of modelled tokens per second of up to 100 chips."""
    ways = [
        (link, words)
        for link in ("uart", "espnow 54 Mbit/s")
        for words in ("host adds", "chips add")
    ]
    names = {"uart": "UART", "espnow 54 Mbit/s": "54 Mbit/s"}
    made: list[Cells] = [["chips", *(f"{names[link]}, {words}" for link, words in ways)]]
    for chips in MANY:
        speeds = (
            figures.get("speed by count", "esp32c3", f"{MODEL} {link}, {words}, {counted(chips)}")
            for link, words in ways
        )
        made.append([str(chips), *("" if speed is None else f"{speed:.1f}" for speed in speeds)])
    return made


def air(figures: Figures) -> list[Cells]:
    """Returns the table of the models of the air and of a line, with others' measurements."""
    made: list[Cells] = [["between two boards", "modelled", "published", "difference"]]
    for mbit in MODULATIONS:
        for whom in ("to all", "to one"):
            of = [
                figures.value(f"throughput {whom}", f"{mbit} Mbit/s", whose)
                for whose in ("modelled", "published")
            ]
            difference = f"{100 * (of[0] / of[1] - 1):+.0f} %"
            label = f"ESP-NOW at {mbit} Mbit/s, {whom}, bytes a second"
            made.append([label, *(f"{value:,.0f}" for value in of), difference])
    shares = [
        f"{figures.value('share of a token', 'UART', whose):.1f} %"
        for whose in ("modelled", "published")
    ]
    made.append(["1,200 bytes of a token over a UART at 460,800 baud", *shares, ""])
    return made


def collisions(figures: Figures) -> list[Cells]:
    """Returns the table of what collisions on the air cost."""
    made: list[Cells] = [
        ["rate", "who adds", "chips", "taking turns", "with collisions", "frames that collide",
         "by rank", "frames that collide"]
    ]  # fmt: skip
    for rate in _RATES:
        for who in ("host", "chips"):
            for chips in AIR_CHIPS:
                shape = f"{MODEL} {rate}, {who} adds, {chips} chips"
                speeds = [
                    f"{figures.value(f'speed {how}', AIR_BOARD, shape):.1f}"
                    for how in ("taking turns", "with collisions")
                ]
                part = figures.value("frames that collide", AIR_BOARD, shape)
                by_rank = figures.get("speed by rank", AIR_BOARD, shape)
                still = figures.get("frames that collide by rank", AIR_BOARD, shape)
                turns = ["" if by_rank is None else f"{by_rank:.1f}",
                         "" if still is None else f"{still:.0f} %"]  # fmt: skip
                made.append([rate, who, str(chips), *speeds, f"{part:.0f} %", *turns])
    return made


def ring(figures: Figures) -> list[Cells]:
    """Returns the table of modelled tokens per second of boards in a ring."""
    made: list[Cells] = [
        ["frames are", "baud", "frames a token on all lines", "bytes", "one sequence, `host.plan`",
         "one sequence, events", "several, events", "sequences"]
    ]  # fmt: skip
    for signed in (False, True):
        for baud in BAUDS:
            shape = f"{MODEL} {shape_of(baud, signed)}"
            counts = [figures.value(f"ring: {what}", RING_BOARD, shape)
                      for what in ("frames", "bytes", "sequences")]  # fmt: skip
            rates = [f"{figures.value(f'ring: {kind}', RING_BOARD, shape):.1f}" for kind in KINDS]
            label = "signed" if signed else "unsigned"
            frames, size, sequences = (f"{count:,.0f}" for count in counts)
            made.append([label, f"{baud:,}", frames, size, *rates, sequences])
    return made


def memory(figures: Figures) -> list[Cells]:
    """Returns the table of the heap of the fullest chip by part."""
    made: list[Cells] = [["", *(part.replace("kv", "KV") for part in _HEAP_PARTS),
                          "in use, planned", "reported", "kept free"]]  # fmt: skip
    for link, chips in HEAPS:
        shape = f"{MODEL} {link} {counted(chips)}, chip 0"
        sizes = [figures.value(f"heap: {part}", "plan", shape) for part in _HEAP_PARTS]
        gateway = " (gateway)" if link == "espnow" else ""
        label = {"uart": "UART", "espnow": "ESP-NOW"}[link]
        sizes += [figures.value("heap: in use", by, shape) for by in ("plan", "simulated")]
        sizes.append(figures.value("heap: transient", "plan", shape))
        made.append([f"{label}, {counted(chips)}{gateway}", *(f"{size:,.0f}" for size in sizes)])
    return made


def largest(figures: Figures) -> list[Cells]:
    """Returns the table of the largest model that five boards hold."""
    made: list[Cells] = [["board", "heap over radio", "dim", "layers", "parameters"]]
    for board, label in _BOARDS.items():
        values = (
            figures.value(f"largest model: {what}", board, "espnow 5 chips")
            for what in ("dim", "layers", "parameters")
        )
        heap = f"{load(board).python_heap('espnow') / 1024:,.0f} KB"
        made.append([label, heap, *(f"{value:,.0f}" for value in values)])
    return made


_MAKERS = (
    kernels, native, chip, native_chip, phases, links, speed, scaling, air, collisions, ring,
    memory, largest,
)  # fmt: skip
TABLES: dict[str, Callable[[Figures], list[Cells]]] = {maker.__name__: maker for maker in _MAKERS}


def _speed(figures: Figures, cycles: str, board: str, shape: str) -> tuple[str, bool]:
    """Returns tokens per second, "" if they were not modelled, with a mark if the heap is too
    small."""
    what = f"speed at {cycles} cycles"
    fits = figures.get(what, board, shape)
    small = figures.get(f"{what}, heap too small", board, shape)
    speed = fits if small is None else small
    return "" if speed is None else f"{speed:.1f}", small is not None


def _range(figures: Figures, board: str, shape: str) -> str:
    slow, small = _speed(figures, "2.0", board, shape)
    fast, _ = _speed(figures, "1.2", board, shape)
    return f"{slow} to {fast}" + "*" * small
