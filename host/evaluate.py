"""How many commands a model answers with a right line: `make eval`.

Both floats and the integers of a cluster answer, greedily.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from functools import partial

from host.cli.argument_types import model_path
from host.cli.arguments import Parser, exit_code
from host.cli.console import Console, track
from host.cli.evaluation_report import list_mistakes, print_report
from host.errors import FederationError
from host.generation.command_tables import load_answers, load_commands
from host.generation.evaluation import answer_in_floats, answer_in_integers
from host.generation.scores import cascade
from host.model import loading
from host.paths import HELD_OUT, HOME_MODEL


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    parser = Parser(prog="python -m host.evaluate", description=__doc__)
    parser.add_argument("--model", type=model_path, default=HOME_MODEL, metavar="FILE")
    parser.add_argument("--tokenizer", metavar="FILE", help="default: the one in or beside it")
    parser.add_argument("--home", metavar="FILE", help="the home that commands are about")
    parser.add_argument(
        "--commands",
        default=HELD_OUT,
        metavar="FILE",
        help="a line for each: category, command and right line, divided by tabs; or columns that"
        " the first line names, of command, expected, category, source, group and alt",
    )
    parser.add_argument(
        "--answers",
        metavar="FILE",
        help="answers of another program, a line for each command: they are scored beside the"
        " model's, and with the model behind them where they are unknown",
    )
    parser.add_argument("--mistakes", action="store_true", help="list the wrong answers too")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> int:
    """Prints the scores; returns the exit code. Raises ModelError, HomeError."""
    source = loading.load_model(options.model, options.tokenizer)
    source = loading.use_home(source, options.home)
    commands = load_commands(options.commands)
    texts = [command.text for command in commands]
    columns = {
        name: answer(source, texts, partial(show_progress, name))
        for name, answer in (("float", answer_in_floats), ("integers", answer_in_integers))
    }
    if options.answers:
        others = load_answers(options.answers, len(commands))
        columns |= {"others": others, "both": cascade(others, columns["integers"])}
    if options.mistakes:
        print("\n".join(list_mistakes(commands, columns)))
    print_report(Console(), commands, columns)
    return 0


def show_progress(name: str, starts: Sequence[int]) -> Iterable[int]:
    """Passes on the starts of batches, with a bar on standard error."""
    return track(starts, name, console=Console(stderr=True), transient=True)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    options = parse_arguments(arguments)
    return exit_code(lambda: run(options), (FederationError,))


if __name__ == "__main__":
    sys.exit(main())
