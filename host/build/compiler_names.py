"""Removes imports of names that only MicroPython's compiler uses from a chip's code.

`const`, the decorators `micropython.viper` and `micropython.native`, and viper's types are
instructions for the compiler; importing them would add code that runs, and entries in the module's
namespace.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from host.build.source_edits import Edit, check_alone, edited, without_names

_TYPES = ("ptr8", "ptr16", "ptr32", "uint")
_NAMES = ("const", "micropython", *_TYPES)


def drop_compiler_names(source: str) -> str:
    """Returns the source without imports of these names that only the compiler needs.

    Raises ValueError if such an import shares a line with another statement.
    """
    tree = ast.parse(source)
    known = set(map(id, _known(tree)))
    used = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id in _NAMES and id(node) not in known
    }
    left_out = set(_NAMES) - used
    edits: list[Edit] = []
    for statement in tree.body:
        match statement:
            case ast.ImportFrom(module="protocol.compat", names=aliases):
                names = {alias.name for alias in aliases} & left_out
                if names:
                    check_alone(statement, source)
                    edits += without_names(statement, names)
            case ast.Import(names=[ast.alias(name="micropython", asname=None)]):
                if "micropython" in left_out:
                    edits.append(Edit(statement.lineno, 0, statement.end_col_offset, "pass"))
    return edited(source, edits)


def _known(tree: ast.AST) -> Iterator[ast.AST]:
    """Yields the nodes of names that the compiler handles, so that no code looks them up."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(
                targets=[ast.Name()], value=ast.Call(func=ast.Name(id="const") as name)
            ):
                yield name
            case ast.FunctionDef(decorator_list=decorators):
                named = [ast.unparse(decorator) for decorator in decorators]
                if "micropython.viper" in named:
                    yield from (
                        one
                        for one in ast.walk(node)
                        if isinstance(one, ast.Name) and one.id in _TYPES
                    )
                for decorator in decorators:
                    match decorator:
                        case ast.Attribute(value=ast.Name(id="micropython") as name):
                            yield name
