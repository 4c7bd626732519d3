"""The report of a plan: tables for people, an object for programs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import astuple
from typing import Any

from host.cli.console import Console
from host.cli.matrices import describe_matrices
from host.cli.tables import print_table
from host.errors import ModelError
from host.hardware.mmu import map_settings
from host.parallel.alternatives import Change
from host.parallel.assessment import Assessment, describe_options, recommend
from host.parallel.boards import BoardSet
from host.parallel.cost.estimate import PROMPT
from host.parallel.cost.formula import formula
from host.parallel.cost.latency import Latency
from host.parallel.cost.reading import RAM, Reading, describe_reading
from host.parallel.cost.widths import TYPICAL_TOKENS
from host.parallel.parallelism import Parallelism

Problems = dict[Parallelism, ModelError]
_NOTHING_HELPS = "no single change of link, lines, frame length or number of boards (modelled)"


def make_plan_report(
    boards: BoardSet, fitting: list[Assessment], problems: Problems, change: Change | None
) -> dict[str, Any]:
    """Returns the object that `--json` prints.

    fitting: the strategies that fit, at least one; problems: why others do not; change: the single
    change that would help most, or None.
    """
    best, many = recommend(fitting), recommend(fitting, many=True)
    return {
        "link": boards.kind,
        "line_baud": boards.line_baud,
        "signed": boards.signed,
        "context": fitting[0].plan.context,
        "strategies": [each.as_dict() for each in fitting],
        "do_not_fit": {
            describe_options(each): str(problem) for each, problem in problems.items()
        },
        "recommended": best.options if best else None,
        "recommended_for_many": many.options if many else None,
        "would_help_most": change.as_dict() if change else None,
        "formula": formula(best.plan, boards.boards) if best else [],
    }


def print_plan(
    console: Console,
    boards: BoardSet,
    fitting: list[Assessment],
    problems: Problems,
    change: Change | None,
) -> None:
    """Prints the plan as tables for people; parameters as in make_plan_report."""
    if text := describe_matrices(fitting[0].plan.config):
        console.print(f"weights: {text}", highlight=False)
    for each in fitting:
        console.print(_heading(each), highlight=False)
        _print_chips(console, each)
    for parallelism, problem in problems.items():
        console.print(f"{describe_options(parallelism)}: {problem}", highlight=False)
    console.print()
    _print_token(console, fitting)
    console.print(
        f"bytes: for partial sums as wide as the widest of {TYPICAL_TOKENS} tokens of the model's"
        " text",
        highlight=False,
    )
    best, many = recommend(fitting), recommend(fitting, many=True)
    if best is None or many is None:
        console.print("no latency: a simulated chip has neither clock nor line")
        return
    console.print(
        f"recommended: {best.options} (modelled)"
        + (f", for many sequences {many.options}" if many is not best else ""),
        highlight=False,
    )
    console.print(f"would help most: {change or _NOTHING_HELPS}", highlight=False)
    for line in formula(best.plan, boards.boards):
        console.print(f"  {line}", highlight=False)


def _heading(each: Assessment) -> str:
    plan = each.plan
    part = f"each chip has its part of all {plan.config.layers} layers"
    if plan.slots > 1 or len(plan.stages) > 1:
        layers = ", ".join(_describe_range(stage.layers) for stage in plan.stages)
        part = (
            f"{len(plan.stages)} stages with layers {layers}, room for {plan.slots}"
            f" sequence{'s' * (plan.slots > 1)}"
        )
    return f"{each.options}: {each.plan.strategy.summary}; {part}, heaps in KB"


def _describe_range(numbers: range) -> str:
    first, last = numbers[0], numbers[-1]
    return f"{first}" if first == last else f"{first}-{last}"


def _print_chips(console: Console, each: Assessment) -> None:
    """Prints shards and heaps, chip by chip."""
    headings = [
        "chip", "heads", "units", "rows", "weights", "KV", "tables", "buffers", "code", "room",
        "free",
    ]  # fmt: skip
    names = [board.name for board in each.boards.boards]
    is_mixed = len(set(names)) > 1
    rows = []
    for shard in each.plan.shards:
        sizes = (*astuple(each.plan.heap_need(shard)), each.free(shard))
        parts = shard.chip, len(shard.heads), len(shard.units), len(shard.rows)
        figures = [*map(str, parts), *(f"{n / 1024:.1f}" for n in sizes)]
        rows.append(figures + [names[shard.chip]] * is_mixed)
    print_table(console, headings + ["board"] * is_mixed, rows, left={len(headings)})
    for text in describe_readings(each):
        console.print(text, highlight=False)


def describe_readings(each: Assessment) -> list[str]:
    """Returns lines on where weights are read from, and how many bytes for each token, not for
    chips with weights in internal RAM; and on chips that cannot map their flash."""
    kinds: dict[tuple[str, int | None], dict[int, Reading]] = {}
    for shard in each.plan.shards:
        for read in each.readings(shard):
            if read.place != RAM:
                kinds.setdefault((read.place, read.rate), {})[shard.chip] = read
    lines = [
        f"weights of {_describe_chips(of)}: in {describe_reading(list(of.values()))}"
        for of in kinds.values()
    ]
    unmapped: dict[str, list[int]] = {}
    for chip, board in enumerate(each.boards.boards):
        mapping = map_settings(board) if each.plan.maps(chip) else ()
        if isinstance(mapping, str):
            unmapped.setdefault(mapping, []).append(chip)
    return lines + [
        f"weights of {_describe_chips(of)}, not mapped: {why}" for why, of in unmapped.items()
    ]


def _describe_chips(chips: Collection[int]) -> str:
    return f"chip{'s' * (len(chips) > 1)} {_describe_numbers(list(chips))}"


def _describe_numbers(numbers: list[int]) -> str:
    """Returns the numbers as text: "0-3, 5"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(_describe_range(range(part[0], part[-1] + 1)) for part in parts)


def _print_token(console: Console, fitting: list[Assessment]) -> None:
    """Prints what a token takes, with a column for each strategy."""
    reads = any(each.latency and each.latency.reading for each in fitting)
    columns = [_figures(each, reads) for each in fitting]
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    headings = ["a token, greedy decoding", *(each.options for each in fitting)]
    print_table(console, headings, rows, left={0})


def _figures(each: Assessment, reads: bool) -> dict[str, str]:
    """Returns the figures of a token by name, in order; reads: whether any strategy waits for
    weights."""
    used, times = each.traffic, each.latency
    figures = {
        "synchronizations": f"{used.synchronizations:,}",
        "frames on serial lines": f"{used.lines.frames:,}",
        "bytes on serial lines": f"{used.lines.bytes:,}",
    }
    if each.plan.link.has_radio:
        figures["frames on the air"] = f"{used.air.frames:,}"
        figures["bytes on the air"] = f"{used.air.bytes:,}"
    if times is None:
        return figures
    if each.plan.link.has_radio:
        figures["airtime, modelled"] = _milliseconds(times.airtime)
    return figures | {
        f"latency at position {each.position}, modelled": _milliseconds(times.total),
        "  the slowest chip computes": _part(times, "compute"),
        **({"  weights are read": _part(times, "reading")} if reads else {}),
        "  serial lines": _part(times, "lines"),
        "  air": _part(times, "air"),
        "  waits": _part(times, "waits"),
        "tokens a second, modelled": _rate(times.tokens_per_second),
        "  of many sequences": _rate(each.throughput),
        f"first token, prompt of {PROMPT}": _milliseconds(each.first_token),
    }


def _rate(tokens: float) -> str:
    return f"{tokens:.1f}" if tokens >= 1 else f"{tokens:.2f}"


def _part(times: Latency, name: str) -> str:
    return f"{_milliseconds(getattr(times, name))} {times.percent[name]:3}%"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.1f} ms"
