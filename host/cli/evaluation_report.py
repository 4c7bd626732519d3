"""The tables of `host.evaluate`: right answers, and answers that act although they should not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from host.cli.console import Console
from host.cli.tables import print_table
from host.generation.command_tables import Command
from host.generation.scores import (
    Fraction,
    Score,
    count,
    has_action_lines,
    has_right_actions,
    is_dangerous,
    is_exact,
    is_false_accept,
    is_to_be_done,
    is_to_be_refused,
)

Columns = Mapping[str, Sequence[str]]  # by the name of what answers: an answer to each command
Row = tuple[str, list[Fraction]]


def print_report(console: Console, commands: Sequence[Command], columns: Columns) -> None:
    """Prints exact matches by category and, if the commands have sources, by source; for action
    lines also what wrong answers do. All figures have 95 % confidence intervals."""
    tables = [("category", _exact_matches(commands, columns, lambda one: one.category))]
    if any(command.source for command in commands):
        # Sources say little about commands to be refused: those are counted by group below.
        wanted = [at for at, command in enumerate(commands) if is_to_be_done(command)]
        parts = {name: [answers[at] for at in wanted] for name, answers in columns.items()}
        inside = [commands[at] for at in wanted]
        tables.append(
            ("source (but for unknown)", _exact_matches(inside, parts, _source))
        )
    if has_action_lines(commands):
        tables.append(("", _mistakes(commands, columns)))
    console.print(f"exact match on {len(commands)} commands (measured)", highlight=False)
    for title, rows in tables:
        cells = [
            [name, str(row[0].total), *map(_cell, row)] for name, row in rows if row[0].total
        ]
        print_table(console, [title or "figure", "commands", *columns], cells, left={0})


def list_mistakes(commands: Sequence[Command], columns: Columns) -> Iterator[str]:
    """Yields a line for each command that a column has a wrong answer to."""
    for command, *found in zip(commands, *columns.values(), strict=True):
        if not all(is_exact(command, answer) for answer in found):
            said = "  ".join(f"{n}: {a!r}" for n, a in zip(columns, found, strict=True))
            right = " or ".join(map(repr, command.accepted))
            yield f"{command.text!r} should be {right}  {said}"


def _exact_matches(
    commands: Sequence[Command], columns: Columns, key: Callable[[Command], str]
) -> list[Row]:
    """Returns a row for each value of the key, and one for all commands."""
    keys = dict.fromkeys(map(key, commands))
    rows = [_row(one, commands, columns, is_exact, _having(key, one)) for one in keys]
    return [*rows, _row("all", commands, columns, is_exact)]


def _mistakes(commands: Sequence[Command], columns: Columns) -> list[Row]:
    kinds = dict.fromkeys(_refused_kind(one) for one in commands)
    return [
        _row("right devices and actions", commands, columns, has_right_actions, is_to_be_done),
        _row("acted upon, not unknown", commands, columns, is_false_accept, is_to_be_refused),
        *(
            _row(f"  {kind}", commands, columns, is_false_accept, _having(_refused_kind, kind))
            for kind in kinds
            if kind
        ),
        _row("unlocked what was not named", commands, columns, is_dangerous),
    ]


def _refused_kind(command: Command) -> str:
    """Returns the group and category of a command that is to be refused, "" for others."""
    if not command.group or not is_to_be_refused(command):
        return ""
    return f"{command.group}: {command.category}"


def _having(key: Callable[[Command], str], value: str) -> Callable[[Command], bool]:
    return lambda command: key(command) == value


def _row(
    name: str,
    commands: Sequence[Command],
    columns: Columns,
    score: Score,
    chosen: Callable[[Command], bool] = lambda _: True,
) -> Row:
    """Returns the score of each column on the chosen commands."""
    at = [index for index, command in enumerate(commands) if chosen(command)]
    some = [commands[index] for index in at]
    return name, [
        count(some, [answers[index] for index in at], score) for answers in columns.values()
    ]


def _source(command: Command) -> str:
    return command.source


def _cell(fraction: Fraction) -> str:
    low, high = fraction.interval
    return f"{fraction.value:.1%} ({low:.0%}-{high:.0%})"
