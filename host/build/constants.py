"""Replaces constants that chip modules import from one another by their values.

MicroPython folds `const` only within a module. A constant of another module costs a name in the
table of strings, an entry in both namespaces, and a look-up at each use. A chip's files are
compiled together, so here they cost no more than the module's own constants. Lines keep their
numbers, for tracebacks.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Container, Iterator
from importlib import import_module

from host.build.source_edits import Edit, check_alone, edited, own_imports, without_names


def inline_constants(source: str, *, keeps_names: bool = False) -> str:
    """Returns the source of a chip's module with other modules' numbers in place of their names.
    Its own constants, which no module imports any more, become private, unless their names must
    stay.

    Raises ValueError if that would change what the code does: a constant's name must mean nothing
    else, and be defined above its uses; an import that names one must have its lines to itself.
    """
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    edits: list[Edit] = []
    values: dict[str, str] = {}
    for statement in own_imports(nodes):
        numbers = _numbers(statement)
        if numbers:
            check_alone(statement, source)
            values.update(numbers)
            edits += without_names(statement, numbers)
    private = {} if keeps_names else {name: f"_{name}" for name in _own_constants(tree, nodes)}
    _check_names(nodes, values, private)
    for node in nodes:
        if isinstance(node, ast.Name):
            text = values.get(node.id) or private.get(node.id)
            if text:
                edits.append(Edit(node.lineno, node.col_offset, node.end_col_offset, text))
    return edited(source, edits)


def _numbers(statement: ast.ImportFrom) -> dict[str, str]:
    """Returns the whole numbers that a module imports under names of constants, as source."""
    assert statement.module is not None
    found = {}
    for alias in statement.names:
        if alias.name.isupper() and not alias.asname:
            value = getattr(import_module(statement.module), alias.name)
            if type(value) is int:
                found[alias.name] = str(value) if value >= 0 else f"({value})"
    return found


def _check_names(
    nodes: list[ast.AST], values: dict[str, str], private: dict[str, str]
) -> None:
    """Raises ValueError if a constant's name also means something else, or is used before it is
    defined."""
    bound = Counter(_bound(nodes, values))
    for name in values:
        if bound[name]:
            raise ValueError(f"{name} is a number of another module, and bound here")
    uses: dict[str, list[ast.Name]] = {name: [] for name in private}
    for node in nodes:
        if isinstance(node, ast.Name) and node.id in private:
            uses[node.id].append(node)
    for name in private:
        if bound[name] > 1:
            raise ValueError(f"{name} is a constant, and bound a second time")
        given = next(node.lineno for node in uses[name] if isinstance(node.ctx, ast.Store))
        if any(node.lineno < given for node in uses[name]):
            raise ValueError(f"{name} is used above line {given}, which makes it a constant")


def _bound(nodes: list[ast.AST], imported: Container[str] = ()) -> Iterator[str]:
    """Yields each name once for each binding or scope declaration; `imported`: whose imports from
    the project's modules do not count."""
    ours = set(map(id, own_imports(nodes)))
    for node in nodes:
        match node:
            case ast.ImportFrom() if id(node) in ours:
                yield from (a.asname or a.name for a in node.names if a.name not in imported)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from (alias.asname or alias.name for alias in aliases)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield name
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                yield from names


def _own_constants(tree: ast.Module, nodes: list[ast.AST]) -> Iterator[str]:
    """Returns the public names that the module assigns `const(...)` to, unless their private form
    is taken. MicroPython folds a private constant, and keeps no name."""
    taken = {node.id for node in nodes if isinstance(node, ast.Name)} | set(_bound(nodes))
    for statement in tree.body:
        match statement:
            case ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="const"))
            ) if not name.startswith("_") and f"_{name}" not in taken:
                yield name
