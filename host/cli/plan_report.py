"""The report of a plan: tables for people, an object for programs."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from rich.console import Console
from rich.table import Table

from host.errors import ModelError
from host.parallel.assessment import Assessment, describe_options, recommend
from host.parallel.boards import BoardSet
from host.parallel.cost.latency import formula
from host.parallel.cost.widths import TYPICAL_TOKENS
from host.parallel.parallelism import Parallelism

Problems = dict[Parallelism, ModelError]


def make_plan_report(
    boards: BoardSet, fitting: list[Assessment], problems: Problems
) -> dict[str, Any]:
    """Returns the object that `--json` prints. fitting: one strategy at least."""
    best, many = recommend(fitting), recommend(fitting, many=True)
    return {
        "link": boards.kind,
        "signed": boards.signed,
        "context": fitting[0].plan.context,
        "strategies": [each.as_dict() for each in fitting],
        "do_not_fit": {
            describe_options(each): str(problem) for each, problem in problems.items()
        },
        "recommended": best.options if best else None,
        "recommended_for_many": many.options if many else None,
        "formula": formula(fitting[0].plan, boards.boards) if best else [],
    }


def print_plan(
    console: Console, boards: BoardSet, fitting: list[Assessment], problems: Problems
) -> None:
    """Prints the same for people."""
    for each in fitting:
        console.print(_heading(each), highlight=False)
        console.print(_chips(each))
    for parallelism, problem in problems.items():
        console.print(f"{describe_options(parallelism)}: {problem}", highlight=False)
    console.print()
    console.print(_token(fitting))
    console.print(
        f"partial sums as wide as the widest of {TYPICAL_TOKENS} tokens of the model's own text",
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


def _chips(each: Assessment) -> Table:
    """Shards and heaps, chip by chip."""
    table = Table(box=None, pad_edge=False)
    for heading in ("chip", "heads", "units", "rows", "weights", "KV", "tables", "buffers",
                    "code", "room", "free"):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    names = [board.name for board in each.boards.boards]
    if len(set(names)) > 1:  # last, where a narrow terminal cuts
        table.add_column("board", no_wrap=True)
    for shard in each.plan.shards:
        need = each.plan.heap_need(shard)
        sizes = (*astuple(need), each.free(shard))
        table.add_row(
            f"{shard.chip}", f"{len(shard.heads)}", f"{len(shard.units)}", f"{len(shard.rows)}",
            *(f"{n / 1024:.1f}" for n in sizes), *names[shard.chip :][: len(set(names)) > 1],
        )  # fmt: skip
    return table


def _token(fitting: list[Assessment]) -> Table:
    """What a token takes, a column for each strategy."""
    table = Table(box=None, pad_edge=False)
    table.add_column("a token, greedy decoding")
    for each in fitting:
        table.add_column(each.options, justify="right")
    columns = [_figures(each) for each in fitting]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    return table


def _figures(each: Assessment) -> dict[str, str]:
    """By name, in order."""
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
        "  of that, the slowest chip computes": _milliseconds(times.compute),
        "  links": _milliseconds(times.links),
        "  waits": _milliseconds(times.waits),
        "tokens a second, modelled": f"{times.tokens_per_second:.1f}",
        "  of many sequences": f"{each.throughput:.1f}",
    }


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.1f} ms"
