"""Chooses how sure the model must be: a trade-off between wrong actions and wrong refusals.

    python -m training.calibrate TABLE            # prints it
    python -m training.calibrate TABLE --write    # and writes thresholds beside the model

An answer is refused below `least`, and below `dangerous` where it would unlock, open or disarm
(host/model/confidence.py). The thresholds that are written are the lowest by which of all that is
to be refused no more than MOST_ACCEPTED is acted upon, and of what is dangerous nothing is done
that was not asked for; but for `dangerous` no less than SAFEST.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from host.cli.arguments import Parser, exit_code
from host.cli.console import Console
from host.cli.tables import print_table
from host.errors import ModelError
from host.generation.command_tables import Command, load_commands
from host.generation.evaluation import Judged, judge_in_integers
from host.generation.scores import (
    Fraction,
    Score,
    count,
    is_dangerous,
    is_exact,
    is_false_accept,
    is_to_be_done,
    is_to_be_refused,
)
from host.grammar.action_lines import UNKNOWN, parse_line
from host.grammar.devices import DANGEROUS
from host.model import loading
from host.model.confidence import ANY, LOWEST
from host.paths import HOME_MODEL

STEPS = (LOWEST, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99)
MOST_ACCEPTED = 0.02
SAFEST = 0.9  # the lowest threshold for unlocking a door


def refuse(answers: Sequence[Judged], least: float, dangerous: float) -> list[str]:
    """Returns the lines of answers, with "unknown" for answers of which the model is not sure
    enough."""
    return [
        one.text if one.confidence >= (dangerous if risks(one.text) else least) else UNKNOWN
        for one in answers
    ]


def risks(line: str) -> bool:
    """Returns whether a line does something dangerous."""
    return any((action.device, action.verb) in DANGEROUS for action in parse_line(line))


def choose(commands: Sequence[Command], answers: Sequence[Judged]) -> tuple[float, float]:
    """Returns the thresholds `least` and `dangerous` for these answers to a table's commands."""
    refused = [at for at, command in enumerate(commands) if is_to_be_refused(command)]

    def accepted(least: float) -> float:
        lines = refuse(answers, least, least)
        return count(
            [commands[at] for at in refused], [lines[at] for at in refused], is_false_accept
        ).value

    def harmless(dangerous: float) -> bool:
        return not count(commands, refuse(answers, LOWEST, dangerous), is_dangerous).found

    least = next((step for step in STEPS if accepted(step) <= MOST_ACCEPTED), STEPS[-1])
    safe = next((step for step in STEPS if harmless(step)), STEPS[-1])
    return least, max(least, safe, SAFEST)


def rows(commands: Sequence[Command], answers: Sequence[Judged]) -> list[list[str]]:
    """Returns a row for each threshold: commands that were answered correctly, commands that were
    acted upon although they should be refused, by group, and what was unlocked, rightly and
    wrongly."""
    groups = dict.fromkeys(one.group for one in commands if is_to_be_refused(one))
    opened = [at for at, one in enumerate(commands) if risks(one.expected)]
    table = []
    for step in STEPS:
        lines = refuse(answers, step, step)
        done = [at for at, one in enumerate(commands) if is_to_be_done(one)]
        cells = [_share(commands, lines, done, is_exact)]
        for group in groups:
            some = [
                at
                for at, one in enumerate(commands)
                if is_to_be_refused(one) and one.group == group
            ]
            cells.append(_share(commands, lines, some, is_false_accept))
        cells.append(_share(commands, lines, opened, is_exact))
        dangerous = count(commands, lines, is_dangerous)
        table.append([f"{step:.2f}", *map(_cell, cells), str(dangerous.found)])
    return table


def _share(
    commands: Sequence[Command], lines: Sequence[str], at: list[int], score: Score
) -> Fraction:
    return count([commands[i] for i in at], [lines[i] for i in at], score)


def _cell(fraction: Fraction) -> str:
    return f"{fraction.value:.1%} ({fraction.found} of {fraction.total})"


def write(path: Path, least: float, dangerous: float) -> None:
    """Writes the thresholds into a prompt format. Raises ModelError if it has none."""
    text = path.read_text(encoding="utf-8")
    for name, value in (("least", least), ("dangerous", dangerous)):
        text, found = re.subn(rf"(?m)^{name} = [\d.]+", f"{name} = {value:g}", text)
        if found != 1:
            raise ModelError(f"{path}: no line {name} = ... in it to write to")
    path.write_text(text, encoding="utf-8")


def run(options: argparse.Namespace) -> int:
    """Prints the table, and writes thresholds if asked to. Raises ModelError."""
    source = loading.load_model(options.model, None)
    form = replace(source.prompt_format, confidence=ANY)
    commands = load_commands(options.table)
    texts = [command.text for command in commands]
    answers = judge_in_integers(replace(source, prompt_format=form), texts)
    groups = dict.fromkeys(one.group for one in commands if is_to_be_refused(one))
    headings = ["least", "right", *(f"acted upon: {group or 'unknown'}" for group in groups)]
    headings += ["unlocked as asked", "unlocked otherwise"]
    print_table(Console(), headings, rows(commands, answers), left=set())
    least, dangerous = choose(commands, answers)
    print(f"least = {least:g}, dangerous = {dangerous:g}")
    if options.write:
        write(Path(options.model).with_suffix(".toml"), least, dangerous)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    parser = Parser(prog="python -m training.calibrate", description=__doc__)
    parser.add_argument("table", metavar="TABLE", help="commands, as host.evaluate reads them")
    parser.add_argument("--model", default=HOME_MODEL, metavar="FILE")
    parser.add_argument("--write", action="store_true", help="write thresholds to its .toml")
    options = parser.parse_args(arguments)
    return exit_code(lambda: run(options), (ModelError,))


if __name__ == "__main__":
    sys.exit(main())
