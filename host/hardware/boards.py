"""Reads what each board offers from its file in boards/, or in a folder of the user's own."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from host.errors import BoardError
from host.hardware.board import Board
from host.paths import BOARDS
from host.toml_file import TomlError, read_toml, record_from

# Fields of a board that a simulated chip, a process on this machine, does not have.
_ON_BOARDS_ALONE = ("chip", "clock_mhz", "button", "uart", "flash", "led")


def folders() -> list[Path]:
    """Returns the folders with files of boards: the shipped one, then those in FEDERATION_BOARDS.

    A file in a later folder replaces one of the same name. Raises BoardError.
    """
    added = os.environ.get("FEDERATION_BOARDS", "").split(os.pathsep)
    found = [Path(folder) for folder in added if folder]
    for folder in found:
        if not folder.is_dir():
            raise BoardError(f"FEDERATION_BOARDS: there is no folder {folder}")
    return [BOARDS, *found]


def names(places: Sequence[Path] | None = None) -> list[str]:
    """Returns the names of all boards, sorted; places: the folders, by default folders()."""
    found = folders() if places is None else places
    return sorted({path.stem for folder in found for path in folder.glob("*.toml")})


def board_names(text: str) -> list[str]:
    """Returns the names in a comma-separated list, as --boards takes it; raises BoardError if one
    is empty."""
    found = [name.strip() for name in text.split(",")]
    if "" in found:
        raise BoardError(f"--boards {text}: a name is missing, give them as esp32s3,esp32c3")
    return found


def load(name: str, places: Sequence[Path] | None = None) -> Board:
    """Returns the board called `name`.

    places: the folders, by default folders(). Raises BoardError for an unknown name, and for a
    malformed file.
    """
    found = folders() if places is None else list(places)
    path = _path(name, found)
    fields = _fields(path, found, ())
    try:
        if "name" in fields:
            raise TomlError("field name is not known: the file's name is the board's")
        if _is_simulated(fields):
            fields = {key: fields[key] for key in fields if key not in _ON_BOARDS_ALONE}
        if "fixed_heap" in fields:
            raise TomlError("field fixed_heap is not known")
        return record_from({"name": name, **fields}, Board)
    except TomlError as error:
        raise BoardError(f"{path}: {error}") from None


def _is_simulated(fields: dict[str, Any]) -> bool:
    """Removes the field `simulated` and returns its value. Raises TomlError."""
    value = fields.pop("simulated", False)
    if not isinstance(value, bool):
        raise TomlError(f"field simulated is {value!r}, expected true or false")
    return value


def _path(name: str, places: Sequence[Path]) -> Path:
    """Returns the board's file, from the last of these folders that has one; raises BoardError."""
    known = names(places)
    if name not in known:
        nearest = _find_nearest(name, known)
        hint = f", did you mean {nearest}?" if nearest else "."
        raise BoardError(f"no board is called {name!r}{hint} Boards: {', '.join(known)}")
    return next(path for folder in reversed(places) if (path := folder / f"{name}.toml").exists())


def _find_nearest(name: str, known: Sequence[str]) -> str | None:
    """Returns the board name that was most likely meant, None if none is similar.

    It is the shortest that contains all of `name`, as esp32s3 does S3, else the most similar one.
    """

    def plain(text: str) -> str:
        return re.sub("[^a-z0-9]", "", text.lower())

    part = plain(name)
    having = sorted((one for one in known if part and part in plain(one)), key=len)
    return next(iter(having or difflib.get_close_matches(name.lower(), known, n=1)), None)


def _fields(path: Path, places: Sequence[Path], likes: tuple[Path, ...]) -> dict[str, Any]:
    """Returns a file's fields, completed by those of the board that its field `like` names.

    If `like` is the file's own name, it extends the file that it replaces. Raises BoardError.
    """
    try:
        fields = read_toml(path)
    except TomlError as error:
        raise BoardError(f"{path}: {error}") from None
    except OSError as error:
        raise BoardError(f"cannot read {path}: {error.strerror}") from None
    like = fields.pop("like", None)
    if like is None:
        return fields
    if not isinstance(like, str):
        raise BoardError(f"{path}: field like is {like!r}, expected the name of a board")
    if path in likes:
        raise BoardError(f"{path}: field like is {like!r}, which leads back to this file")
    at = places.index(path.parent)
    base = _path(like, places[:at] if like == path.stem else places)
    return _merged(_fields(base, places, (*likes, path)), fields)


def _merged(base: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """Returns `base` with `fields` replacing its own, and tables merged field by field."""
    merged = {**base, **fields}
    for name, value in fields.items():
        if isinstance(value, dict) and isinstance(base.get(name), dict):
            merged[name] = {**base[name], **value}
    return merged
