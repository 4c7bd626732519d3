"""How many held-out commands a model answers with exactly the right line: `make eval`.

Both floats and the integers of a cluster answer, greedily.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from functools import partial

from host.cli.arguments import Parser, exit_code
from host.cli.console import Console, Table, track
from host.errors import ModelError
from host.generation.evaluation import (
    Command,
    answer_in_floats,
    answer_in_integers,
    load_commands,
    measure_exact_match,
)
from host.model import loading
from host.paths import HELD_OUT, HOME_MODEL


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    parser = Parser(prog="python -m host.evaluate", description=__doc__)
    parser.add_argument("--model", default=HOME_MODEL, metavar="FILE")
    parser.add_argument("--tokenizer", metavar="FILE", help="default: the one in or beside it")
    parser.add_argument("--commands", default=HELD_OUT, metavar="FILE")
    parser.add_argument("--mistakes", action="store_true", help="list the wrong answers too")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> int:
    """Prints the table of exact matches; returns the exit code. Raises ModelError."""
    source = loading.load_model(options.model, options.tokenizer)
    commands = load_commands(options.commands)
    texts = [command.text for command in commands]
    columns = {
        name: answer(source, texts, partial(show_progress, name))
        for name, answer in (("float", answer_in_floats), ("integers", answer_in_integers))
    }
    if options.mistakes:
        print("\n".join(list_mistakes(commands, columns)))
    Console().print(make_table(commands, columns))
    return 0


def show_progress(name: str, starts: Sequence[int]) -> Iterable[int]:
    """Passes on the starts of batches, with a bar on standard error."""
    return track(starts, name, console=Console(stderr=True), transient=True)


def make_table(commands: Sequence[Command], columns: dict[str, list[str]]) -> Table:
    """Returns the exact matches by category, a column for the answers of each arithmetic."""
    table = Table(title=f"exact match on {len(commands)} held-out commands (measured)")
    table.add_column("category")
    table.add_column("commands", justify="right")
    matches = {name: measure_exact_match(commands, found) for name, found in columns.items()}
    for name in columns:
        table.add_column(name, justify="right")
    for category in next(iter(matches.values())):
        count = sum(category in (command.category, "all") for command in commands)
        figures = (f"{found[category]:.2%}" for found in matches.values())
        table.add_row(category, str(count), *figures)
    return table


def list_mistakes(commands: Sequence[Command], columns: dict[str, list[str]]) -> list[str]:
    """Returns a line for each command that either arithmetic answers wrongly."""
    lines = []
    for command, *found in zip(commands, *columns.values(), strict=True):
        if any(answer != command.action for answer in found):
            said = "  ".join(f"{n}: {a!r}" for n, a in zip(columns, found, strict=True))
            lines.append(f"{command.text!r} should be {command.action!r}  {said}")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    options = parse_arguments(arguments)
    return exit_code(lambda: run(options), (ModelError,))


if __name__ == "__main__":
    sys.exit(main())
