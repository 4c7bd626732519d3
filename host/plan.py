"""Shows how a model would run on boards: `python -m host.plan --chips 5 --board esp32c3`.

Each chip's shard and heap, what a token puts on the links, and a modelled speed, for each
strategy. Nothing is started, and no board is needed.
"""

from __future__ import annotations

import argparse
import json
import sys

from host.cli.arguments import exit_code
from host.cli.console import Console
from host.cli.plan_options import parse_boards, parse_options
from host.cli.plan_report import Problems, make_plan_report, print_plan
from host.errors import BoardError, ModelError
from host.model.cache import load_quantized
from host.model.outline import Outline
from host.parallel.alternatives import Change, assess_with_advice
from host.parallel.assessment import Assessment
from host.parallel.boards import BoardSet
from host.parallel.fitting import find_first_plan
from host.parallel.options import parse_parallelism
from host.parallel.parallelism import Parallelism


def run(options: argparse.Namespace) -> int:
    """Prints the plan; the exit code. Raises what main prints as one line."""
    boards = parse_boards(options)
    with Console(stderr=True).status("planning"):
        found = _assess(options, boards)
    if options.json:
        print(json.dumps(make_plan_report(boards, *found)))
    else:
        print_plan(Console(), boards, *found)
    return 0


def _assess(
    options: argparse.Namespace, boards: BoardSet
) -> tuple[list[Assessment], Problems, Change | None]:
    """Returns what is known of each strategy that fits, or of the one that options name, why
    others do not, and what would help most. Raises ModelError, also where nothing fits."""
    named = options.parallel, options.stages, options.reduce

    def choose(layers: int, chips: int) -> Parallelism | None:
        return parse_parallelism(*named, layers, chips, options.weights, options.exchange)

    def check(outline: Outline) -> None:
        chosen = choose(outline.config.layers, len(boards.boards))
        find_first_plan(outline, boards, chosen)

    model = load_quantized(options.model, options.tokenizer, check).quantize()
    return assess_with_advice(model, boards, lambda chips: choose(model.config.layers, chips))


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 1 also where nothing fits."""
    options = parse_options(arguments)
    return exit_code(lambda: run(options), (BoardError, ModelError))


if __name__ == "__main__":
    sys.exit(main())
