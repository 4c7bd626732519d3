"""Reads tables of commands and right answers, with which models are evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from host import text_input
from host.errors import ModelError, TextError

_COLUMNS = ("category", "command", "expected")  # of a table without a line of headings
_REQUIRED = {"command", "expected"}
_ALTERNATIVES = "|"  # between the lines of the column `alt`


@dataclass(frozen=True)
class Command:
    """A command and the right answers to it.

    category: its kind; expected: the right line; alternatives: other right lines; source: who
    wrote it, empty if unknown; group: how the command relates to a home, as "in" for one that the
    home can do; or empty.
    """

    category: str
    text: str
    expected: str
    alternatives: tuple[str, ...] = ()
    source: str = ""
    group: str = ""

    @property
    def accepted(self) -> tuple[str, ...]:
        """All lines that are right."""
        return self.expected, *self.alternatives


def load_commands(path: str | Path) -> list[Command]:
    """Reads a table of commands: a line for each, its fields separated by tabs.

    Its first line names the columns: `command`, `expected` and optionally `category`, `source`,
    `group` and `alt` (further right lines, separated by "|"). Without such a line the columns are
    category, command and expected.

    Raises ModelError, naming the file, and the line that is malformed.
    """
    lines = _lines(path)
    columns: tuple[str, ...] = _COLUMNS
    first = 1
    headings = tuple(lines[0].split("\t")) if lines else ()
    if set(headings) >= _REQUIRED:
        columns, first = headings, 2
    commands = []
    for number, line in enumerate(lines[first - 1 :], start=first):
        fields = line.split("\t")
        if len(fields) != len(columns):
            raise ModelError(
                f"{path}: line {number} has {len(fields)} fields, expected {len(columns)}"
            )
        commands.append(_command(dict(zip(columns, fields, strict=True))))
    if not commands:
        raise ModelError(f"{path}: no commands")
    return commands


def load_answers(path: str | Path, count: int) -> list[str]:
    """Reads an answer for each of `count` commands, a line each. Raises ModelError."""
    answers = _lines(path)
    if len(answers) != count:
        raise ModelError(f"{path}: {len(answers)} answers, but {count} commands: give a line each")
    return answers


def _lines(path: str | Path) -> list[str]:
    try:
        text = text_input.read_text(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot read it: {error.strerror}") from error
    except TextError as error:
        raise ModelError(f"{path}: {error}") from None
    return text.removesuffix("\n").split("\n") if text else []


def _command(fields: dict[str, str]) -> Command:
    alternatives = tuple(filter(None, fields.get("alt", "").split(_ALTERNATIVES)))
    return Command(
        fields.get("category", ""), fields["command"], fields["expected"], alternatives,
        fields.get("source", ""), fields.get("group", ""),
    )  # fmt: skip
