"""Boards: what each offers, read from its file in boards/, whose README.md explains the fields."""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.errors import BoardError
from host.paths import BOARDS

# FEDERATION_BOARDS names a folder of other boards, such as stand-ins for tests.
FOLDER = Path(os.environ.get("FEDERATION_BOARDS") or BOARDS)

# Machine code of the firmware in bytes, which lies outside the heap, by who adds up the partial
# sums: for Xtensa, where it is longer, with kernels for the shipped model; over the radio, the
# gateway's (tests/host/test_machine_code.py).
MACHINE_CODE = {
    "host": {"uart": 34_300, "espnow": 36_600},
    "chips": {"uart": 45_100, "espnow": 47_400},
}
# Bytes that Wi-Fi takes, as reported of MicroPython on an ESP32: 28 KiB when it is made, 2.5 when
# it is made active (https://github.com/micropython/micropython/issues/8940).
WIFI = 31_232
# And that the IDF takes as it runs, and areas of the heap lose at their ends: an estimate.
IDF = 4_096
# What a board adds to a simulated chip: firmware/board.py and console.py with what they keep, and
# the buffers in which fragments are put together, with some that come again; tests/system/
# test_repl_line.py.
ON_BOARD = 8_064
# What of the code that plans count (host/parallel/heap.py) a board does not have, as its modules
# machine, network and espnow are C: measured (tests/simulation/test_standin_heap.py), less what
# their objects may take there: 500 bytes, and on the radio 3,000, for a part of espnow is
# Python on a board too.
STANDINS = {"uart": 3_100, "espnow": 8_700}


@dataclass(frozen=True)
class EspNow:
    """Radio limits: largest packet in bytes; rate for `ESPNow.config`, None: not settable."""

    mtu: int
    rate: int | None = None


@dataclass(frozen=True)
class Uart:
    """The cluster's UART: port number, GPIO numbers, bits per second, receive buffer in bytes."""

    number: int
    tx: int
    rx: int
    baud: int
    rxbuf: int


@dataclass(frozen=True)
class Flash:
    """MicroPython's image: its name and its release, as both stand in the name of the official
    file; all other fields are bytes."""

    image: str
    version: str
    offset: int
    size: int
    filesystem_offset: int
    filesystem_size: int


@dataclass(frozen=True)
class Led:
    """GPIO and kind ("gpio" or "ws2812") of the LED."""

    pin: int
    kind: typing.Literal["gpio", "ws2812"]


@dataclass(frozen=True)
class Board:
    """One board; a simulated one has no chip, clock, UART, flash or LED."""

    name: str
    description: str
    mpy_arch: typing.Literal["x86", "xtensawin", "rv32imc"]
    heap_kb: int  # KiB for MicroPython's heap and, where it is no PSRAM, machine code and Wi-Fi
    espnow: EspNow
    psram_kb: int = 0
    code_kb: int = 0  # KiB beside heap_kb for machine code
    chip: str | None = None
    clock_mhz: int | None = None
    uart: Uart | None = None
    flash: Flash | None = None
    led: Led | None = None

    def python_heap(self, link: str, combine: str = "host") -> int:
        """Bytes to which MicroPython's heap can grow where our firmware runs.

        link: "uart" or "espnow"; combine: who adds up the partial sums, "host" or "chips". Other
        RAM than PSRAM is also that of machine code and of Wi-Fi.
        """
        heap = self.heap_kb * 1024
        if not self.chip or self.psram_kb:
            return heap
        code = max(0, MACHINE_CODE[combine][link] - self.code_kb * 1024)
        return heap - code - IDF - (WIFI if link == "espnow" else 0)

    def planned_heap(self, link: str, combine: str = "host") -> int:
        """Bytes that plans, which are made for simulated chips, may count with."""
        heap = self.python_heap(link, combine)
        return heap - ON_BOARD + STANDINS[link] if self.chip else heap


def names(folder: Path = FOLDER) -> list[str]:
    """Names of all boards, sorted."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def board_names(text: str) -> list[str]:
    """Those in a list with commas, as --boards has it. Raises BoardError where one is empty."""
    found = [name.strip() for name in text.split(",")]
    if "" in found:
        raise BoardError(f"--boards {text}: a name is missing, give them as esp32s3,esp32c3")
    return found


def load(name: str, folder: Path = FOLDER) -> Board:
    """The board called `name`. Raises BoardError where it is unknown or its file malformed."""
    known = names(folder)
    if name not in known:
        nearest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.0)
        hint = f", did you mean {nearest[0]}?" if nearest else "."
        raise BoardError(f"no board is called {name!r}{hint} Boards: {', '.join(known)}")
    path = folder / f"{name}.toml"
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BoardError(f"{path}: not a TOML file: {error}") from None
    if "name" in fields:
        raise BoardError(f"{path}: field name is not known: the file's name is the board's")
    return typing.cast(Board, _record(Board, {"name": name, **fields}, path, ""))


def _record(kind: type[Any], fields: dict[str, Any], path: Path, prefix: str) -> object:
    """The dataclass `kind` made of `fields`, each checked against its type."""
    types_of = typing.get_type_hints(kind)
    for name in fields:
        if name not in types_of:
            raise BoardError(f"{path}: field {prefix}{name} is not known")
    values = {}
    for field in dataclasses.fields(kind):
        if field.name in fields:
            values[field.name] = _value(
                types_of[field.name], fields[field.name], path, prefix + field.name
            )
        elif field.default is dataclasses.MISSING:
            raise BoardError(f"{path}: field {prefix}{field.name} is missing")
    return kind(**values)


def _value(kind: Any, value: object, path: Path, field: str) -> object:
    """`value` if it is of the type `kind`: a record, one of some words, text or a count."""
    if isinstance(kind, types.UnionType):  # X | None: a field that is there is an X
        kind = typing.get_args(kind)[0]
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _record(typing.cast("type[Any]", kind), value, path, field + ".")
    words = typing.get_args(kind)
    if words:
        if value in words:
            return value
        raise BoardError(f"{path}: field {field} is {value!r}, expected one of {', '.join(words)}")
    if kind is str and isinstance(value, str) and value:
        return value
    # A TOML true is a Python int too.
    if kind is int and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    expected = {str: "text", int: "a whole number from 0 on"}.get(kind, "a table")
    raise BoardError(f"{path}: field {field} is {value!r}, expected {expected}")
