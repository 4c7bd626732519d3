"""Reads TOML files and checks their fields; what is wrong is said in one line.

Every file of the project that people edit, of boards and of clusters, is read here, so that all
answer in the same words: the field, what it holds, and what was expected.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from host import text_input
from host.errors import TextError

_Kind = TypeVar("_Kind")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")  # of a path such as $.chip[0].mac


class TomlError(ValueError):
    """A file that is no TOML, or a field that is missing, unknown or malformed."""


def read_toml(path: Path) -> dict[str, Any]:
    """Returns the fields of a file. Raises OSError, and TomlError for what is no TOML."""
    try:
        return tomllib.loads(text_input.read_text(path))
    except (tomllib.TOMLDecodeError, TextError) as error:
        raise TomlError(f"not a TOML file: {error}") from None
    except RecursionError:
        raise TomlError("not a TOML file: its values are nested too deeply") from None


def record_from(fields: dict[str, Any], kind: type[_Kind]) -> _Kind:
    """Returns the dataclass `kind` made of `fields`, each checked against its type.

    Types may carry limits as `Annotated[int, msgspec.Meta(ge=0)]`. Raises TomlError.
    """
    for name in _unknown(fields, kind, ""):
        raise TomlError(f"field {name} is not known")
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise TomlError(_described(str(error), fields, kind)) from None


def _unknown(fields: dict[str, Any], kind: Any, prefix: str) -> Iterator[str]:
    """Yields the names of all fields, those of inner tables too, that `kind` does not have."""
    types_of = typing.get_type_hints(kind)
    for name, value in fields.items():
        if name not in types_of:
            yield prefix + name
            continue
        inner = _record_type(types_of[name])
        tables = value if isinstance(value, list) else [value]
        for table in tables if inner else ():
            if isinstance(table, dict):
                yield from _unknown(table, inner, f"{prefix}{name}.")


def _record_type(kind: Any) -> Any:
    """Returns the dataclass in `X | None` or `tuple[X, ...]`, None if there is none."""
    if dataclasses.is_dataclass(kind):
        return kind
    found = (_record_type(one) for one in typing.get_args(kind))
    return next(filter(None, found), None)


def _described(error: str, fields: dict[str, Any], kind: Any) -> str:
    """msgspec's message in the words of a user who looks at the file."""
    problem, _, place = error.partition(" - at `$")
    path = [int(index) if index else name for name, index in _STEP.findall(place)]
    if match := re.match("Object missing required field `(.*)`", problem):
        return f"field {_name([*path, match[1]])} is missing"
    value: Any = fields
    for step in path:
        value = value[step]
    return f"field {_name(path)} is {value!r}, expected {_expected(problem, path, kind)}"


def _name(path: list[Any]) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def _expected(problem: str, path: list[Any], kind: Any) -> str:
    """Returns what a field may hold: words for the types that files use, else as msgspec has
    it."""
    for step in path:
        if isinstance(step, str):
            kind = typing.get_type_hints(_record_type(kind), include_extras=True)[step]
    if isinstance(kind, types.UnionType):
        kind = next(one for one in typing.get_args(kind) if one is not type(None))
    meta = next((one for one in typing.get_args(kind) if isinstance(one, msgspec.Meta)), None)
    if meta and meta.description:
        return meta.description
    if typing.get_origin(kind) is tuple and not isinstance(path[-1], int):
        return "a list"
    if _record_type(kind):
        return "a table"
    if typing.get_origin(kind) is typing.Literal:
        return f"one of {', '.join(map(str, typing.get_args(kind)))}"
    return {str: "text", int: "a whole number", bool: "true or false"}.get(kind, problem)
