"""Reads what each board offers from its file in boards/; boards/README.md explains the fields."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from host.errors import BoardError
from host.hardware import ram
from host.hardware.kernels import native_kernels
from host.paths import BOARDS
from host.toml_file import TomlError, read_toml, record_from

Count = Annotated[int, Meta(ge=0, description="a whole number from 0 on")]
Text = Annotated[str, Meta(min_length=1, description="text")]

# Bytes of the file system on a board that uses the rest of its flash for weights: the firmware,
# with our machine code, has some 80 files of one or two blocks.
FILESYSTEM = 0x80000
PAGE = 0x10000  # bytes of a page of the flash, with which chips map it into their addresses
# Fields of a board that a simulated chip, a process on this machine, does not have.
_ON_BOARDS_ALONE = ("chip", "clock_mhz", "button", "uart", "flash", "led")


RADIO_MTUS = (250, 1470)  # of ESP-NOW's versions 1 and 2
_Mtu = Annotated[int, Meta(ge=RADIO_MTUS[0], le=RADIO_MTUS[1], description="250 to 1470")]


@dataclass(frozen=True)
class EspNow:
    """The radio. mtu: bytes of the longest packet; rate: for `ESPNow.config`, None if it cannot be
    set; wifi_kb: KiB of internal RAM that Wi-Fi takes once it is started."""

    mtu: _Mtu
    rate: Count | None = None
    wifi_kb: Count = 42  # as measured on an emulated ESP32-C3, see boards/esp32c3.toml


@dataclass(frozen=True)
class Uart:
    """The cluster's UART: port number, GPIO numbers, bits per second, receive buffer in bytes."""

    number: Count
    tx: Count
    rx: Count
    baud: Count
    rxbuf: Count


@dataclass(frozen=True)
class Flash:
    """MicroPython's image, by its name and release as in the name of the official file, and the
    flash. read_rate: bytes per second that a program reads, map_rate: those through the MMU, None
    if unknown; all other fields are bytes."""

    image: Text
    version: Text
    offset: Count
    size: Count
    filesystem_offset: Count
    filesystem_size: Count
    read_rate: Count | None = None
    map_rate: Count | None = None


@dataclass(frozen=True)
class Led:
    """GPIO and kind ("gpio" or "ws2812") of the LED."""

    pin: Count
    kind: Literal["gpio", "ws2812"]


@dataclass(frozen=True)
class Board:
    """One board. A simulated one has no chip, clock, button, UART, flash or LED.

    ram_kb: KiB of internal RAM that are free at MicroPython's prompt, for its heap, machine code
    and Wi-Fi; psram_kb: KiB of PSRAM, which has the heap if there is any; psram_rate: bytes a
    second that can be read from it; weights_kb: KiB of a simulated board's partition for weights;
    code_kb: KiB besides ram_kb that only machine code can use; button: GPIO of the BOOT button;
    espnow: None on chips without Wi-Fi.
    """

    name: Text
    description: Text
    mpy_arch: Literal["x86", "xtensawin", "rv32imc"]
    ram_kb: Count
    psram_kb: Count = 0
    psram_rate: Count | None = None
    weights_kb: Count = 0
    code_kb: Count = 0
    chip: Text | None = None
    clock_mhz: Count | None = None
    button: Count | None = None
    espnow: EspNow | None = None
    uart: Uart | None = None
    flash: Flash | None = None
    led: Led | None = None
    fixed_heap: int | None = None

    @property
    def is_simulated(self) -> bool:
        """Whether its chips are processes on this machine."""
        return self.chip is None

    @property
    def links(self) -> tuple[str, ...]:
        """The names of the board's links."""
        return ("uart", "espnow") if self.espnow else ("uart",)

    @property
    def radio(self) -> EspNow:
        """The board's radio. Raises BoardError if it has none."""
        if self.espnow is None:
            raise BoardError(f"{self.name} has no ESP-NOW: give --link uart")
        return self.espnow

    def mtu(self, link: str) -> int | None:
        """Returns the longest packet on the radio in bytes, None on UART. Raises BoardError."""
        return self.radio.mtu if link == "espnow" else None

    @property
    def weights_room(self) -> int:
        """The bytes of flash for a partition with weights, 0 for none: all behind a small file
        system (host/flashing/partition_table.py)."""
        if self.flash is None:
            return 1024 * self.weights_kb
        begin = self.flash.filesystem_offset + FILESYSTEM
        return max(0, self.flash.size - begin - -begin % PAGE)

    def with_heap(self, heap: int) -> Board:
        """Returns this board with a heap of `heap` bytes, whatever its RAM."""
        return dataclasses.replace(self, fixed_heap=heap)

    def with_mtu(self, mtu: int) -> Board:
        """Returns this board with a radio whose longest packet has `mtu` bytes; raises BoardError
        if it has no radio."""
        return dataclasses.replace(self, espnow=dataclasses.replace(self.radio, mtu=mtu))

    def with_baud(self, baud: int) -> Board:
        """Returns this board with `baud` bits per second on its serial line. Raises BoardError
        if none is known, as of simulated chips."""
        if self.uart is None:
            raise BoardError(f"{self.name} has no serial line with a speed: leave --line-baud out")
        return dataclasses.replace(self, uart=dataclasses.replace(self.uart, baud=baud))

    def python_heap(self, link: str, whose: str = "host", *, is_signed: bool = True) -> int:
        """Returns the bytes to which MicroPython's heap can grow beside our firmware; on a gateway
        it has `gateway_code` bytes less.

        link: "uart", "espnow" or "ring"; whose: the `code` of a Parallelism; is_signed: whether
        frames are signed. Raises BoardError for a link that the board lacks.
        """
        wifi_kb = self.radio.wifi_kb if link == "espnow" else 0
        if self.fixed_heap is not None:
            return self.fixed_heap
        if self.psram_kb:
            return ram.psram_heap(self.psram_kb)
        of_link = self._machine_code(whose)
        code = of_link["uart"] + ram.RING_CODE if link == "ring" else of_link[link]
        code += 0 if is_signed else ram.UNSIGNED_CODE[self._kernels]
        return ram.internal_heap(self.ram_kb, self.code_kb, wifi_kb, code)

    def planned_heap(
        self,
        link: str,
        whose: str = "host",
        *,
        is_signed: bool = True,
        mtu: int | None = None,
    ) -> int:
        """Returns the heap, in bytes, that a plan may count with, and that a simulated chip gets.

        Plans count in simulated chips, so this is not quite `python_heap`, whose parameters and
        errors it has. mtu: of the radio, if not the shortest.
        """
        heap = self.python_heap(link, whose, is_signed=is_signed)
        return heap if self.fixed_heap is not None else ram.planned(heap, link, mtu)

    def gateway_code(self, whose: str = "host") -> int:
        """Returns by how many bytes a gateway's heap is smaller, because of machine code that only
        a gateway needs."""
        if self.fixed_heap is not None or self.psram_kb:
            return 0
        of_code = self._machine_code(whose)
        return of_code["gateway"] - of_code["espnow"]

    @property
    def _kernels(self) -> str:
        return native_kernels(self.chip) or "viper"

    def _machine_code(self, whose: str) -> Mapping[str, int]:
        return ram.MACHINE_CODE[self._kernels][whose]


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
