"""Types of command-line arguments: each reads a text, or says in one line what is wrong."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable

from host.errors import ModelError
from host.model.known_models import find_path
from host.parallel.parallelism import LEAST_BAUD, MOST_BAUD
from protocol.messages import MAX_POSITIONS

_MOST_PSRAM = 32  # MB: no ESP32 comes with more
_LEAST_HEAP = 4096  # bytes: MicroPython does not start with less, and no model fits
_SIZE = re.compile(r"(\d+)([KM]?)", re.IGNORECASE)


def model_path(text: str) -> str:
    """Returns the path of a model, given its path or name. Raises ArgumentTypeError."""
    try:
        return find_path(text)
    except ModelError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def heap_size(text: str) -> int:
    """Returns the bytes of a chip's heap, given as 160K or 4M. Raises ArgumentTypeError."""
    match = _SIZE.fullmatch(text)
    size = int(match[1]) << {"": 0, "k": 10, "m": 20}[match[2].lower()] if match else 0
    if not _LEAST_HEAP <= size <= _MOST_PSRAM << 20:
        raise argparse.ArgumentTypeError(
            f"must be a size from {_LEAST_HEAP >> 10}K to {_MOST_PSRAM}M, as 160K or 4M, or in"
            f" bytes, got {text!r}"
        )
    return size


def line_baud(text: str) -> int:
    """Bits a second on serial lines. Raises ArgumentTypeError."""
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not LEAST_BAUD <= value <= MOST_BAUD:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no speed that lines have: give bits a second, {LEAST_BAUD} to"
            f" {MOST_BAUD}, as 921600 or 3000000"
        )
    return value


def probability(text: str) -> float:
    """Returns a probability below 1. Raises ArgumentTypeError."""
    value = _number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be in [0, 1), got {text!r}")
    return value


def temperature(text: str) -> float:
    """Returns a temperature of sampling. Raises ArgumentTypeError."""
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, got {text!r}")
    return value


def nucleus(text: str) -> float:
    """Returns the total probability of the tokens to sample among. Raises ArgumentTypeError."""
    value = _number(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be in (0, 1], got {text!r}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def draft_count(text: str) -> int | None:
    """Returns how many tokens to draft at a time, None for "auto". Raises ArgumentTypeError."""
    if text == "auto":
        return None
    if not (text.isascii() and text.isdigit() and int(text[:9]) < MAX_POSITIONS):
        most = MAX_POSITIONS - 1
        raise argparse.ArgumentTypeError(
            f"must be auto or a whole number from 0 to {most}, got {text!r}"
        )
    return int(text)


def count_from(least: int) -> Callable[[str], int]:
    """Returns an argument type: a whole number of at least `least`."""

    def count(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 100 else -1
        if value < least:
            raise argparse.ArgumentTypeError(
                f"must be a whole number of at least {least}, got {text!r}"
            )
        return value

    return count


def count_up_to(most: int) -> Callable[[str], int]:
    """Returns an argument type: a whole number from 1 to `most`."""

    def count(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        if not 1 <= value <= most:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from 1 to {most}, got {text!r}"
            )
        return value

    return count
