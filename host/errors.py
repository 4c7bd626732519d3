"""The errors that end a command: each says in one line what is wrong and what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def one_line(text: str) -> str:
    """Returns `text` with line breaks and terminal control characters escaped, since names from
    files may contain anything."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


@contextmanager
def naming_file(path: str | os.PathLike[str]) -> Iterator[None]:
    """Adds the file's name to an OSError without one, as a context manager: writing to a full
    disk, unlike opening, does not say which file it was."""
    try:
        yield
    except OSError as error:
        if not error.filename:
            error.filename = os.fspath(path)
        raise


class FederationError(Exception):
    """An error that a user can correct; the message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class ArgumentError(FederationError, ValueError):
    """An impossible value; the message says which are possible."""


class ModelError(FederationError):
    """A model or tokenizer cannot be used."""


class ParallelError(ModelError, ValueError):
    """A model cannot be divided, or merged, in this way; the message names the numbers."""


class Curable(ModelError):
    """A model cannot be used here, but could be with another cluster or other options."""


class TextError(ModelError, ValueError):
    """Text cannot be given to a model: it is not text, or in an encoding that is not supported."""


class BoardError(FederationError):
    """A board is unknown, or its file is malformed."""


class ClusterError(FederationError):
    """A cluster cannot go on; the message names the chip and its error."""


class BuildError(FederationError):
    """Files for a chip cannot be built."""


class FlashError(FederationError):
    """A board cannot be flashed."""


class SetupError(FederationError):
    """Something that the set-up provides is missing here."""
