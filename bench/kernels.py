"""Counts the executed instructions of every kernel on the real targets, emulated.

It counts the code of a function with its prologue, but not MicroPython's call of it; nor, for
viper's kernels, the conversion of their arguments, and the division, once for each output of
`mean`: native kernels do these themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from bench import REPOSITORY
from bench.emulation.module import TARGETS, EmulatedModule
from bench.kernel_cases import Case, attention, elementwise, grouped, matmul, matvec
from bench.native import NATIVE_SETS, until
from bench.results import Label, Row
from host.build.attention_kernel import PARTS, attention_kernel
from host.build.group_kernels import group_kernel
from host.build.kernels import kernel_source
from host.build.machine_code.registry import KernelSet
from host.build.pass_kernels import pass_source
from host.model.checkpoint import Config
from host.model.groups import COLUMNS

# Square and thin shapes, whatever the models are: those that the goals are stated for.
SHAPES = ((64, 64), (172, 64), (64, 172), (288, 288), (64, 16), (64, 35))
POSITIONS = 128
# In int8 and in groups of four bits: at the shape by which plans know what such weights cost.
GROUPED = (40, 576)
PASSED = (2, 4)  # positions of a pass
_CHIPS = (1, 5)
_HEAD_DIM = 8


def cases_of_shapes() -> list[Case]:
    """Returns cases at the shapes of the goals, attention at head size 8, and other kernels at 64
    elements."""
    products = [matvec(rows, columns) for rows, columns in SHAPES]
    passes = [
        matmul(rows, columns, count) for rows, columns in SHAPES for count in PASSED
    ]
    return [
        *products,
        *passes,
        matvec(*GROUPED),
        grouped(*GROUPED),
        *attention(_HEAD_DIM, POSITIONS),
        *attention(_HEAD_DIM, 512),
        *elementwise(64, _HEAD_DIM),
    ]


def cases_of_model(config: Config) -> list[Case]:
    """Returns cases at the shapes of a model's shards, on one chip and on the busiest of five."""
    products = {case[:2]: case for chips in _CHIPS for case in _products(config, chips)}
    positions = min(POSITIONS, config.context)
    return [
        *products.values(),
        *attention(config.head_dim, positions),
        *elementwise(-(-config.hidden_dim // _CHIPS[-1]), config.head_dim),
    ]


def _products(config: Config, chips: int) -> Iterator[Case]:
    """Yields the matrices of the chip with the most heads, where groups of heads stay together."""
    groups = -(-config.kv_heads // chips)
    q_rows = groups * (config.heads // config.kv_heads) * config.head_dim
    units, rows = -(-config.hidden_dim // chips), -(-config.vocab_size // chips)
    if "w2" in config.grouped:
        units += -units % COLUMNS
    for name, count, columns in (
        ("wq", q_rows + 2 * groups * config.head_dim, config.dim),
        ("wo", config.dim, q_rows),
        ("w1", 2 * units, config.dim),
        ("w2", config.dim, units),
        ("classifier", rows, config.dim),
    ):
        yield (grouped if name in config.grouped else matvec)(count, columns)


@cache
def figures_of_shapes() -> tuple[Row, ...]:
    """Returns rows at the shapes of the goals, cached, because emulating them takes seconds."""
    return tuple(figures(cases_of_shapes(), _HEAD_DIM))


def figures_of_model(config: Config, name: str) -> Iterator[Row]:
    """Returns rows of the kernels at a model's shapes; `name` is the model's."""
    return figures(cases_of_model(config), config.head_dim, name)


def figures(cases: Iterable[Case], head_dim: int, name: str = "") -> Iterator[Row]:
    """Returns the instructions per unit of work for each case on each target."""
    cases = list(cases)
    columns, in_groups = _columns(cases, "matvec"), _columns(cases, "grouped")
    fixed = (REPOSITORY / "firmware" / "compute" / "kernels.py").read_text()
    viper: list[tuple[str, str, KernelSet | None]] = [(target, target, None) for target in TARGETS]
    native = [(kernels.name, kernels.mpy_arch, kernels) for kernels in NATIVE_SETS]
    for target, arch, kernels in [*viper, *native]:
        modules = attention_modules(head_dim, arch, kernels)
        padding = kernels.padding if kernels else 1
        sources = {"matvec": kernel_source(columns, head_dim, padding)}
        if in_groups:
            sources["grouped"] = "\n".join(["import micropython", *map(group_kernel, in_groups)])
        for kernel, source in sources.items():
            modules[kernel] = EmulatedModule(
                source, "firmware/compute/model_kernels.py", arch, kernels, head_dim
            )
        if kernels:
            modules["matmul"] = EmulatedModule(
                pass_source(columns, padding), "firmware/compute/pass_kernels.py", arch, kernels,
                head_dim,
            )  # fmt: skip
        by_none = EmulatedModule(fixed, "firmware/compute/kernels.py", arch, kernels, head_dim)
        before = 0
        for case in cases:
            module = modules.get(case.kernel, by_none)
            if case.kernel == "matmul" and not kernels:
                continue
            if case.kernel not in PARTS[1:]:
                before = 0
            yield figure(case, module, target, name, before)
            before = module.instructions


def _columns(cases: Iterable[Case], kernel: str) -> set[int]:
    """Returns how many columns the matrices of a kernel's cases have."""
    return {int(case.shape.split("x")[1]) for case in cases if case.kernel == kernel}


def attention_modules(
    head_dim: int, target: str, kernels: KernelSet | None = None
) -> dict[str, EmulatedModule]:
    """Returns for each part of attention the kernel that stops after it; kernels: in machine
    code."""
    return {
        part: EmulatedModule(
            "import micropython\n" + attention_kernel(head_dim, PARTS[: count + 1]),
            f"attention_to_{part}.py",
            target,
            kernels and until(kernels, PARTS[: count + 1]),
            head_dim,
        )
        for count, part in enumerate(PARTS)
    }


def figure(
    case: Case, module: EmulatedModule, target: str, name: str = "", before: int = 0
) -> Row:
    """Returns the row of one case; before: instructions that belong to another row. Raises
    WrongResult if the kernel computes something else."""
    module.clear()
    work = case.run(module)
    shape = f"{name} {case.shape}".strip()
    value = round((module.instructions - before) / work, 2)
    return Row(case.kernel, target, shape, value, f"instr/{case.unit}", Label.EMULATED)
