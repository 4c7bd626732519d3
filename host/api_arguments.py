"""Checks the API's arguments before anything is started with them.

Every function returns a value in the form that the program uses, or raises ArgumentError with the
argument's name, what it must be, and what it is.
"""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NoReturn

from host.errors import ArgumentError
from host.hardware.board import RADIO_MTUS
from host.model.loading import LoadedModel
from host.parallel.options import CHOICES, NAMES
from host.parallel.parallelism import (
    EXCHANGES,
    HOST_REDUCE,
    MAX_SLOTS,
    REDUCERS,
    WEIGHTS,
    Parallelism,
)
from protocol.messages import MAX_POSITIONS


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Takes a whole number, numpy's too, but neither a bool nor 1.0."""
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or value < least or (most is not None and value > most):
        wanted = f"from {least}" if most is None else f"from {least} to {most}"
        _refuse(name, f"a whole number {wanted}", value)
    return int(value)


def maybe_whole(name: str, value: Any, least: int, most: int | None = None) -> int | None:
    """Takes a whole number or None."""
    return None if value is None else whole(name, value, least, most)


def real(name: str, value: Any, wanted: str) -> float:
    """Takes a finite number; wanted: what the message says that it must be."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        _refuse(name, wanted, value)
    return value  # as it is, which messages show


def probability(name: str, value: Any) -> float:
    """Takes a probability below 1."""
    wanted = "in [0, 1)"
    if not 0 <= real(name, value, wanted) < 1:
        _refuse(name, wanted, value)
    return float(value)


def flag(name: str, value: Any) -> bool:
    """Takes True or False, and nothing that is merely as good as one of them."""
    if not isinstance(value, bool):
        _refuse(name, "True or False", value)
    return value


def text(name: str, value: Any) -> str:
    """Takes a str."""
    if not isinstance(value, str):
        raise ArgumentError(f"{name} must be a str, got {type(value).__name__}")
    return value


def texts(name: str, value: Any) -> list[str]:
    """Takes a list of str, or what else is gone through once, but no str itself."""
    if isinstance(value, str):
        raise ArgumentError(f"{name} must be a list of str, got one str")
    if isinstance(value, bytes | bytearray) or not isinstance(value, Iterable):
        _refuse(name, "a list of str", value)
    return [text(f"{name}[{number}]", each) for number, each in enumerate(value)]


def stops(value: Any) -> list[str]:
    """Takes the texts before which a generation ends."""
    if value is None:
        return []
    if not isinstance(value, str) and not isinstance(value, Iterable):
        _refuse("stop", "a str, a list of str or None", value)
    return [value] if isinstance(value, str) else texts("stop", value)


def choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Takes one of a few words."""
    if not isinstance(value, str) or value not in choices:
        _refuse(name, " or ".join(choices), value)
    return value


def path(name: str, value: Any) -> str | Path:
    """Takes what can be the path of a file."""
    wanted = "a path"
    if not isinstance(value, str | Path):
        _refuse(name, wanted, value)
    try:
        is_path = b"\0" not in os.fsencode(value) and str(value) != ""
    except UnicodeEncodeError:
        is_path = False
    if not is_path:
        _refuse(name, wanted, str(value))
    return value


def maybe_path(name: str, value: Any) -> str | Path | None:
    """Takes a path or None."""
    if value is not None and not isinstance(value, str | Path):
        _refuse(name, "a path or None", value)
    return None if value is None else path(name, value)


def model(name: str, value: Any) -> str | Path | LoadedModel:
    """Takes a path, or what load_model gave."""
    if isinstance(value, LoadedModel):
        return value
    if not isinstance(value, str | Path):
        _refuse(name, 'a path, "home" or what load_model gave', value)
    return path(name, value)


def parallelism(value: Any) -> str | Parallelism | None:
    """Takes a strategy's name, a Parallelism of values that there are, or None."""
    if not isinstance(value, Parallelism):
        if value is not None and not isinstance(value, str):
            _refuse("parallelism", f"{' or '.join(CHOICES)}, a Parallelism or None", value)
        return None if value is None else choice("parallelism", value, CHOICES)
    choice("parallelism.strategy", value.strategy, NAMES)
    whole("parallelism.stages", value.stages, 1)
    choice("parallelism.reduce", value.reduce, REDUCERS)
    choice("parallelism.exchange", value.exchange, EXCHANGES)
    choice("parallelism.weights", value.weights, WEIGHTS)
    slots("parallelism.slots", value.slots)
    if value.strategy == HOST_REDUCE.strategy and value.stages != 1:
        _refuse("parallelism.stages", f'1 with strategy "{value.strategy}"', value.stages)
    if value.strategy != HOST_REDUCE.strategy and value.reduce != "chips":
        _refuse("parallelism.reduce", f'"chips" with strategy "{value.strategy}"', value.reduce)
    return value


def slots(name: str, value: Any) -> int:
    """Takes how many sequences run together."""
    return whole(name, value, 0, MAX_SLOTS)


def drafts(value: Any) -> int | None:
    """Takes how many tokens are guessed at a time."""
    return maybe_whole("drafts", value, 0, MAX_POSITIONS - 1)


def radio_mtu(value: Any) -> int | None:
    """Takes the length of the longest packet that a version of ESP-NOW has."""
    if value not in (None, *RADIO_MTUS) or isinstance(value, bool):
        _refuse("radio_mtu", f"{' or '.join(map(str, RADIO_MTUS))}, or None", value)
    return value


def _refuse(name: str, wanted: str, value: object) -> NoReturn:
    raise ArgumentError(f"{name} must be {wanted}, got {reprlib.repr(value)}")
