"""Makes the tables of docs/benchmarks.md on kernels: instructions and goals, viper and native."""

from __future__ import annotations

from collections.abc import Iterable

from bench.kernels import GROUPED, PASSED
from bench.kernels import POSITIONS as SEEN
from bench.native import NATIVE_SETS
from bench.page_figures import MODEL, Cells, Figures, goal_cell

TARGETS = ("rv32imc", "xtensawin")
_MATRIX = {"rv32imc": 6.8, "xtensawin": 8.5}
_ATTENTION = dict.fromkeys(TARGETS, 9.5)
_GATE = dict.fromkeys(TARGETS, 26.0)
_WIDE = "x".join(map(str, GROUPED))
# What the table calls each kernel, its name and shapes, and its goal by target.
_KERNELS: tuple[tuple[str, str, tuple[str, ...], dict[str, float]], ...] = (
    ("matrix 64x64", "matvec", ("64x64",), _MATRIX),
    ("172x64", "matvec", ("172x64",), _MATRIX),
    ("64x172", "matvec", ("64x172",), _MATRIX),
    ("288x288", "matvec", ("288x288",), _MATRIX),
    (_WIDE, "matvec", (_WIDE,), {}),
    ("the same in groups of 4 bits", "grouped", (_WIDE,), {}),
    ("thin: 64x16, 64x35", "matvec", ("64x16", "64x35"), {}),
    (f"q·k, head size 8, {SEEN} positions", "scores", (f"{SEEN}x8",), _ATTENTION),
    ("a·v, the same", "mean", (f"{SEEN}x8",), _ATTENTION),
    (f"softmax, {SEEN} positions", "softmax", (f"{SEEN}",), {}),
    ("SiLU and product", "gate", ("64",), _GATE),
    ("rescale", "rescale", ("64",), {}),
    ("rope", "rotate", ("64",), {}),
)
# Native kernels: by set, the goal of each of these that has one.
_NATIVE_GOALS: dict[str, dict[str, float]] = {
    "rv32im": {
        "matvec": 3.3, "scores": 3.6, "mean": 3.6, "softmax": 15, "gate": 20, "rescale": 14,
        "rotate": 16,
    },
    "lx6": {"matvec": 1.9},
    "pie": {"matvec": 0.45},
}  # fmt: skip
# Rows of matrices with several positions a pass.
_PASSED = {
    f"{shape}, {' and '.join(map(str, PASSED))} positions a pass": shape
    for shape in ("64x64", "288x288")
}
_BY_ELEMENT = ("gate", "softmax", "rescale", "rotate")  # not by multiply-accumulate
_WITHOUT_GOALS = {("64x16", "64x35"), (_WIDE,)}  # shapes
# Goals of chips with native kernels, millions at position 128, None for those that have none;
# with frames of version 3, 0.5 more.
_NATIVE_CHIP_GOALS: dict[str, dict[str, float | None]] = {
    "rv32im": {"1 chip": 1.3, "5 chips": 0.45, "5 chips signed": 0.95},
    "lx6": {"1 chip": None, "5 chips": None},
    "pie": {"1 chip": None, "5 chips": 0.25},
}
_MODELLED = ("lx6", "pie")  # of which only the machine code is emulated
# The target with whose viper kernels each set is compared.
_VIPER = {kernels.name: kernels.mpy_arch for kernels in NATIVE_SETS}


def kernels(figures: Figures) -> list[Cells]:
    """Returns the table of instructions of kernels and their goals."""
    made: list[Cells] = [["kernel", "rv32imc", "goal", "xtensawin", "goal"]]
    for label, kernel, shapes, goals in _KERNELS:
        cells = [label]
        for target in TARGETS:
            values = [figures.value(kernel, target, shape) for shape in shapes]
            cells += [_values(values, kernel), goal_cell(max(values), goals.get(target))]
        made.append(cells)
    return made


def native(figures: Figures) -> list[Cells]:
    """Returns the table of instructions of native kernels, with viper's and their goals."""
    heads = [cell for name in _NATIVE_GOALS for cell in (name, "goal", "viper")]
    made: list[Cells] = [["kernel", *heads]]
    for label, kernel, shapes, _ in _KERNELS:
        cells = [label]
        for name, goals in _NATIVE_GOALS.items():
            goal = None if shapes in _WITHOUT_GOALS else goals.get(kernel)
            values = [figures.value(kernel, name, shape) for shape in shapes]
            before = [figures.value(kernel, _VIPER[name], shape) for shape in shapes]
            cells += [
                _values(values, kernel), goal_cell(max(values), goal), _values(before, kernel)
            ]  # fmt: skip
        made.append(cells)
    return made + [_passed(figures, label, rows) for label, rows in _PASSED.items()]


def _passed(figures: Figures, label: str, rows: str) -> Cells:
    """Returns the table of instructions of a matrix for several positions in one pass."""
    cells = [label]
    for name in _NATIVE_GOALS:
        values = [figures.value("matmul", name, f"{rows}x{count}") for count in PASSED]
        cells += [_values(values, "matmul"), "", ""]
    return cells


def native_chip(figures: Figures) -> list[Cells]:
    """Returns the table of instructions of a whole chip for a token, with native kernels."""
    made: list[Cells] = [["", "kernels", "position 128", "goal", "viper", "machine code alone"]]
    for name, goals in _NATIVE_CHIP_GOALS.items():
        for shape, goal in goals.items():
            place = f"{MODEL} {shape} position 128"
            label = shape.replace(" signed", ", version 3")
            count = figures.value("chip", name, place)
            cells = [label, name, f"{count / 1e6:.2f} M", goal_cell(count / 1e6, goal, " M")]
            if name in _MODELLED:
                own = figures.value("chip: machine code", name, place)
                cells[2] += ", modelled"
                cells += ["", f"{own / 1e6:.2f} M"]
            else:
                cells += [f"{figures.value('chip', _VIPER[name], place) / 1e6:.2f} M", ""]
            made.append(cells)
    return made


def _values(values: Iterable[float], kernel: str) -> str:
    digits = 1 if kernel in _BY_ELEMENT else 2
    return ", ".join(f"{value:.{digits}f}" for value in values)
