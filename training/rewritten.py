"""Measures how many right answers stay right if commands are written differently: `python -m
training.rewritten TABLE`.

In capitals, in title case, with punctuation, in quotation marks, and after wake words; answered by
the shipped model, in integers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from host.cli.arguments import Parser, exit_code
from host.cli.console import Console
from host.cli.tables import print_table
from host.errors import ModelError
from host.generation.command_tables import load_commands
from host.generation.evaluation import answer_in_integers
from host.generation.scores import count, is_exact, is_to_be_done
from host.model.loading import load_model
from host.paths import HOME_MODEL

EVERY = 3  # only each third command that is to be done is asked
WRITINGS: dict[str, Callable[[str], str]] = {
    "CAPITALS": str.upper,
    "Title Case": str.title,
    "with a full stop": "{}.".format,
    "in quotation marks, with an exclamation mark": '"{}!"'.format,
    'after "Alexa,"': "Alexa, {}".format,
    'after "hey google"': "hey google {}".format,
}


def run(options: argparse.Namespace) -> int:
    """Prints a row for each way of writing. Raises ModelError."""
    source = load_model(HOME_MODEL)
    commands = [one for one in load_commands(options.table) if is_to_be_done(one)]
    commands = commands[:: options.every]
    answers = answer_in_integers(source, [one.text for one in commands])
    right = [
        one for one, answer in zip(commands, answers, strict=True) if is_exact(one, answer)
    ]
    rows = []
    for name, write in WRITINGS.items():
        found = count(
            right, answer_in_integers(source, [write(one.text) for one in right]), is_exact
        )
        rows.append([name, str(found.total), f"{found.value:.1%}"])
    print_table(Console(), ["written", "right before", "still right"], rows, left={0})
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    parser = Parser(prog="python -m training.rewritten", description=__doc__)
    parser.add_argument("table", type=Path, metavar="TABLE", help="as host.evaluate reads it")
    parser.add_argument("--every", type=int, default=EVERY, metavar="N")
    options = parser.parse_args(arguments)
    return exit_code(lambda: run(options), (ModelError,))


if __name__ == "__main__":
    sys.exit(main())
