"""Changes to the source of a chip's module, before it is compiled; lines keep their numbers."""

from __future__ import annotations

import ast
from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple

_PACKAGES = ("firmware", "protocol")


class Edit(NamedTuple):
    """A replacement of a line (from 1) from byte `start` to byte `end`, None for the line's end,
    by `text`."""

    line: int
    start: int
    end: int | None
    text: str


def own_imports(nodes: Iterable[ast.AST]) -> Iterator[ast.ImportFrom]:
    """Returns the statements that import names from the project's modules."""
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in _PACKAGES:
            yield node


def without_names(statement: ast.ImportFrom, names: Container[str]) -> Iterator[Edit]:
    """Returns edits that leave an import's other names, on its first line."""
    kept = ", ".join(
        alias.name + (f" as {alias.asname}" if alias.asname else "")
        for alias in statement.names
        if alias.name not in names
    )
    text = f"from {statement.module} import {kept}" if kept else "pass"
    first, last = statement.lineno, statement.end_lineno or statement.lineno
    yield Edit(first, statement.col_offset, None, text)
    for line in range(first + 1, last + 1):
        yield Edit(line, 0, None, "")


def check_alone(statement: ast.ImportFrom, source: str) -> None:
    """Raises ValueError if an import shares a line with another statement."""
    lines = source.encode().split(b"\n")
    before = lines[statement.lineno - 1][: statement.col_offset]
    after = lines[(statement.end_lineno or statement.lineno) - 1][statement.end_col_offset :]
    if before.strip() or after.split(b"#")[0].strip():
        raise ValueError(f"line {statement.lineno}: an import shares it with another statement")


def edited(source: str, edits: list[Edit]) -> str:
    lines = source.encode().split(b"\n")
    for edit in sorted(edits, reverse=True, key=lambda edit: edit[:2]):
        line = lines[edit.line - 1]
        rest = b"" if edit.end is None else line[edit.end :]
        lines[edit.line - 1] = line[: edit.start] + edit.text.encode() + rest
    return b"\n".join(lines).decode()
