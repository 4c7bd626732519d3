"""The errors that end a command: each says in one line what is wrong and what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def one_line(text: str) -> str:
    """`text` with all that would break the line, or control a terminal, escaped: names that come
    from files may hold anything."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


@contextmanager
def naming_file(path: str | os.PathLike[str]) -> Iterator[None]:
    """Has an OSError of what runs in the context name the file, where it does not: writing to a
    full disk, unlike opening, does not say which."""
    try:
        yield
    except OSError as error:
        if not error.filename:
            error.filename = os.fspath(path)
        raise


class FederationError(Exception):
    """What a user can put right; the message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class ArgumentError(FederationError, ValueError):
    """A value that cannot be; the message says what can."""


class ModelError(FederationError):
    """A model or tokenizer that cannot be used."""


class ParallelError(ModelError, ValueError):
    """A division that cannot be made or undone; the message names the numbers."""


class Curable(ModelError):
    """What another cluster or another option would put right, and no other model."""


class TextError(ModelError, ValueError):
    """Text that cannot be given to a model, for its encoding is not read or it is none."""


class BoardError(FederationError):
    """A board that is not known, or whose file is malformed."""


class ClusterError(FederationError):
    """A cluster that cannot go on; the message names the chip and what it said."""


class BuildError(FederationError):
    """Files for a chip that could not be made."""


class FlashError(FederationError):
    """A board that cannot be flashed."""


class SetupError(FederationError):
    """Something that set-up provides and that is missing here."""
