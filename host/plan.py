"""Tells how a model would run on boards: `python -m host.plan --chips 5 --board esp32c3`.

Each chip's share and heap, what a token puts on the links, and a modelled speed, for each way to
divide the work. Nothing is started, and no board is needed.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import astuple
from typing import Any

from rich.console import Console
from rich.table import Table

from host.cli.arguments import Parser, count_up_to, exit_code
from host.errors import BoardError, ModelError
from host.hardware.board import board_names, load
from host.model import loading
from host.parallel.assessment import Assessment, assess, assess_all, describe_options, recommend
from host.parallel.boards import BoardSet
from host.parallel.cost.latency import formula
from host.parallel.cost.widths import TYPICAL_TOKENS
from host.parallel.options import CHOICES, parse_parallelism
from host.parallel.parallelism import REDUCERS, Parallelism
from host.parallel.plan import MAX_CHIPS
from host.paths import HOME_MODEL

CHIPS, BOARD = 5, "esp32s3"


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m host.plan",
        description="Tells how a model would run on boards, for each way to divide the work.",
    )
    add = parser.add_argument
    add(
        "--model",
        metavar="PATH",
        default=str(HOME_MODEL),
        help="a llama2.c checkpoint, Hugging Face folder, GGUF file or quantized model (default:"
        " models/home.bin)",
    )
    add("--chips", type=count_up_to(MAX_CHIPS), metavar="N", help=f"how many (default {CHIPS})")
    add(
        "--board",
        metavar="NAME",
        help=f"which (default {BOARD}; python -m host.boards lists them)",
    )
    add("--boards", metavar="NAME,...", help="a board for each chip, where they differ")
    add(
        "--link",
        choices=("uart", "espnow"),
        default="espnow",
        help="a serial line per chip, or radio with chip 0 as the gateway (default)",
    )
    add(
        "--context",
        type=int,
        metavar="N",
        help="positions that the chips' caches hold (default: what the model allows)",
    )
    add("--parallel", choices=CHOICES,
        help="one way to divide the model (default auto: all of them, and which is the fastest)")
    add("--stages", type=count_up_to(MAX_CHIPS), metavar="S",
        help="how many groups of --parallel hybrid (default 2)")
    add("--reduce", choices=REDUCERS,
        help="who adds up partial sums in --parallel tensor")
    add("--key", action=argparse.BooleanOptionalAction, default=None,
        help="frames are signed with a cluster key, as make flash has it (default), or not")
    add("--json", action="store_true", help="print one JSON object")
    return parser.parse_args(arguments)  # fmt: skip


def parse_boards(options: argparse.Namespace) -> BoardSet:
    """The boards that the options name. Raises BoardError."""
    if options.boards is None:
        names = [options.board or BOARD] * (options.chips or CHIPS)
    elif options.board or options.chips:
        raise BoardError("--boards names a board for each chip: leave --board and --chips out")
    else:
        names = board_names(options.boards)
    if len(names) > MAX_CHIPS:
        raise BoardError(f"{len(names)} boards: a federation has 1 to {MAX_CHIPS}")
    kinds = {name: load(name) for name in dict.fromkeys(names)}
    boards = tuple(kinds[name] for name in names)
    # As flashing has it, and simulating these boards.
    signed = any(board.chip for board in boards) if options.key is None else options.key
    return BoardSet(boards, options.link, options.context, signed, "pins")


def run(options: argparse.Namespace) -> int:
    """Prints the plan; the exit code. Raises what main prints as one line."""
    boards = parse_boards(options)
    model = loading.load_model(options.model, None).quantize()
    chosen = parse_parallelism(
        options.parallel, options.stages, options.reduce, model.config.layers, len(boards.boards)
    )
    problems: dict[Parallelism, ModelError] = {}
    if chosen:
        fitting = [assess(model, boards, chosen)]
    else:
        fitting, problems = assess_all(model, boards)
    if not fitting:
        raise next(iter(problems.values()))
    if options.json:
        print(json.dumps(_object(boards, fitting, problems)))
    else:
        _print(Console(), boards, fitting, problems)
    return 0


def _object(
    boards: BoardSet, fitting: list[Assessment], problems: dict[Parallelism, ModelError]
) -> dict[str, Any]:
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


def _print(
    console: Console,
    boards: BoardSet,
    fitting: list[Assessment],
    problems: dict[Parallelism, ModelError],
) -> None:
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
        part = (
            f"{len(plan.stages)} stages with layers"
            f" {', '.join(_from_to(stage.layers) for stage in plan.stages)}, room for"
            f" {plan.slots} sequence{'s' * (plan.slots > 1)}"
        )
    return f"{each.options}: {each.plan.strategy.summary}; {part}, heaps in KB"


def _from_to(numbers: range) -> str:
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
    """What a token takes, a column for each mode."""
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


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 1 also where no mode fits."""
    options = parsed(arguments)
    return exit_code(lambda: run(options), (BoardError, ModelError))


if __name__ == "__main__":
    sys.exit(main())
