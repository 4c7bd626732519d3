"""Removes the texts of ProtocolErrors from a chip's code, to save heap.

A chip drops malformed frames and counts them, without showing a text.
"""

from __future__ import annotations

import ast

from host.build.source_edits import Edit, edited


def drop_error_texts(source: str) -> str:
    """Returns the source with `raise ProtocolError` in place of the same with arguments."""
    edits = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Raise(exc=ast.Call(func=ast.Name(id="ProtocolError") as name) as call):
                first, last = name.lineno, call.end_lineno or name.lineno
                end = call.end_col_offset if first == last else None
                edits.append(Edit(first, name.end_col_offset or 0, end, ""))
                edits += [Edit(line, 0, None, "") for line in range(first + 1, last + 1)]
    return edited(source, edits)
