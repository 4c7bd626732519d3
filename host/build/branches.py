"""Removes from a chip's code the branches that only CPython runs."""

from __future__ import annotations

import ast

from host.build.source_edits import Edit, edited

_TEST = "sys.implementation.name == 'micropython'"


def keep_own_branch(source: str) -> str:
    """Returns the source with only the first branch of each `if sys.implementation.name ==
    "micropython":` that has an `else:`.

    Raises ValueError if a branch is `elif`, or shares a line with its `else:`.
    """
    lines = source.encode().split(b"\n")
    edits: list[Edit] = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.If) or ast.unparse(node.test) != _TEST or not node.orelse:
            continue
        start, last = node.body[-1].end_lineno or 0, node.orelse[-1].end_lineno or 0
        other = node.orelse[0].lineno
        between = [line for line in range(start + 1, other) if lines[line - 1].strip() == b"else:"]
        if not between:
            raise ValueError(f"line {other}: expected `else:` alone in a line above it")
        test = node.test
        edits.append(Edit(test.lineno, test.col_offset, test.end_col_offset, "True"))
        edits += [Edit(line, 0, None, "") for line in range(between[0], last + 1)]
    return edited(source, edits)
