"""Changes the labels of a table to version 2 of action lines: `python -m training.relabel TABLE`.

Version 1 labelled as "unknown" what it could not express: to toggle, to go back to the last song,
to stop blinds, and days of alarms. Rules give these commands their lines of version 2, and the
table is printed; all other commands keep their labels.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from host.cli.arguments import Parser, exit_code
from host.errors import ModelError
from host.generation.command_tables import Command, load_commands
from host.grammar.action_lines import UNKNOWN
from host.grammar.devices import HERE
from host.home.home import Home
from host.home.home_file import default_home
from host.home.marking import Marked, mark_names
from host.home.words import KIND_WORDS, pluralize
from host.model.prompt_format import load_format
from host.paths import HOME_MODEL
from training.spoken import NUMBER_WORDS, number_words

_PLAIN = ("light", "fan", "blinds", "tv")  # kinds that no word of another meaning names
_UNSUPPORTED = "unsupported action"
_TOGGLED = re.compile(
    r"\b(toggle|flip|reverse|switch the state|(change|alter) the (\w+ )*(status|state))\b"
)
_PREVIOUS = re.compile(r"\b(previous|last) (song|track)\b")
_STOPPED = re.compile(r"^stop \w+ing\b")
_ALARM = re.compile(r"\balarm for next (\w{3})\w*day at (\w+)(?: (thirty))? am$")
# Words that, next to a place, make it another place.
_OTHER_PLACE = re.compile(r"\b(home [A-C]|main [A-C] door|[A-C]ette|above)\b")


def relabel(command: Command, home: Home) -> Command:
    """Returns a command with its label of version 2."""
    text = load_format(HOME_MODEL).normalization.apply(command.text)
    if command.expected.startswith("alarm at=") and "day=" not in command.expected:
        days = [day for day in ("today", "tomorrow") if re.search(rf"\b{day}\b", text)]
        lines = tuple(f"{command.expected} day={day}" for day in days)
        return replace(command, alternatives=command.alternatives + lines)
    if command.category != _UNSUPPORTED or command.accepted != (UNKNOWN,):
        return command
    line = _line(mark_names(text, home))
    return replace(command, expected=line, group="in") if line else command


def _line(marked: Marked) -> str:
    """Returns the line of a command that version 1 could not express, "" if version 2 cannot
    either."""
    text, place = marked.text, marked.places.get("A", HERE)
    kind = next(
        (kind for kind in _PLAIN for noun in KIND_WORDS[kind]
         if re.search(rf"\b({noun}|{pluralize(noun)})\b", text)), "",
    )  # fmt: skip
    if _PREVIOUS.search(text):
        return f"{'tv' if kind == 'tv' else 'speaker'}.{place} previous"
    if found := _ALARM.search(text):
        hours = {number_words(hour): hour for hour in range(13)}
        if found[2] in NUMBER_WORDS & hours.keys():
            return f"alarm at={hours[found[2]]:02}:{'30' if found[3] else '00'} day={found[1]}"
    if not kind or _OTHER_PLACE.search(text):
        return ""
    if _STOPPED.search(text) and kind == "blinds":
        return f"{kind}.{place} stop"
    return f"{kind}.{place} toggle" if _TOGGLED.search(text) and marked.places else ""


def rows(commands: list[Command]) -> Iterator[str]:
    """Yields a table's lines, with a heading."""
    yield "command\texpected\tcategory\tsource\tgroup\talt"
    for one in commands:
        fields = (one.text, one.expected, one.category, one.source, one.group)
        yield "\t".join((*fields, "|".join(one.alternatives)))


def run(options: argparse.Namespace) -> int:
    """Prints the table. Raises ModelError."""
    home = default_home()
    found = [relabel(command, home) for command in load_commands(options.table)]
    print("\n".join(rows(found)))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    parser = Parser(prog="python -m training.relabel", description=__doc__)
    parser.add_argument("table", type=Path, metavar="TABLE", help="as host.evaluate reads it")
    options = parser.parse_args(arguments)
    return exit_code(lambda: run(options), (ModelError,))


if __name__ == "__main__":
    sys.exit(main())
