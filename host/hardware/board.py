"""Boards: what each offers, as its file in boards/ says, whose README.md explains the fields."""

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

# Bytes of the file system where the rest of the flash is for weights: firmware, with machine code
# of ours beside it, has some 80 files of one block or two.
FILESYSTEM = 0x80000
# What a board has and a simulated chip, a process on this machine, does not.
_ON_BOARDS_ALONE = ("chip", "clock_mhz", "button", "uart", "flash", "led")


RADIO_MTUS = (250, 1470)  # of ESP-NOW's versions 1 and 2
_Mtu = Annotated[int, Meta(ge=RADIO_MTUS[0], le=RADIO_MTUS[1], description="250 to 1470")]


@dataclass(frozen=True)
class EspNow:
    """The radio: longest packet in bytes; rate for `ESPNow.config`, None where it may not be set;
    KiB of internal RAM that Wi-Fi takes once it is started."""

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
    """MicroPython's image: its name and its release, as both stand in the name of the official
    file; read_rate: bytes a second that a program reads, None where that is not known; all other
    fields are bytes."""

    image: Text
    version: Text
    offset: Count
    size: Count
    filesystem_offset: Count
    filesystem_size: Count
    read_rate: Count | None = None


@dataclass(frozen=True)
class Led:
    """GPIO and kind ("gpio" or "ws2812") of the LED."""

    pin: Count
    kind: Literal["gpio", "ws2812"]


@dataclass(frozen=True)
class Board:
    """One board; one that is simulated has no chip, clock, button, UART, flash or LED.

    ram_kb: KiB of internal RAM that are free at MicroPython's prompt, for its heap, machine code
    and Wi-Fi; psram_kb: KiB of PSRAM, where the heap lies then; psram_rate: bytes a second that it
    is read with; weights_kb: KiB of a simulated board's partition for weights; code_kb: KiB beside
    ram_kb for machine code alone; button: GPIO of the BOOT button; espnow: None on chips without
    Wi-Fi.
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
        """The links that it has."""
        return ("uart", "espnow") if self.espnow else ("uart",)

    @property
    def radio(self) -> EspNow:
        """Its radio. Raises BoardError where it has none."""
        if self.espnow is None:
            raise BoardError(f"{self.name} has no ESP-NOW: give --link uart")
        return self.espnow

    def mtu(self, link: str) -> int | None:
        """Returns the longest packet on the radio in bytes, None on UART. Raises BoardError."""
        return self.radio.mtu if link == "espnow" else None

    @property
    def weights_room(self) -> int:
        """Bytes of flash that a partition for weights can have, 0 for none: all behind a small
        file system (host/flashing/partition_table.py)."""
        if self.flash is None:
            return 1024 * self.weights_kb
        return max(0, self.flash.size - self.flash.filesystem_offset - FILESYSTEM)

    def with_heap(self, heap: int) -> Board:
        """Returns this board with a heap of so many bytes, whatever else is in its RAM."""
        return dataclasses.replace(self, fixed_heap=heap)

    def with_mtu(self, mtu: int) -> Board:
        """Returns this board with a radio whose longest packet is so long, in bytes. Raises
        BoardError where it has none."""
        return dataclasses.replace(self, espnow=dataclasses.replace(self.radio, mtu=mtu))

    def with_baud(self, baud: int) -> Board:
        """Returns this board with so many bits a second on its serial line. Raises BoardError
        where none is known, as of simulated chips."""
        if self.uart is None:
            raise BoardError(f"{self.name} has no serial line with a speed: leave --line-baud out")
        return dataclasses.replace(self, uart=dataclasses.replace(self.uart, baud=baud))

    def python_heap(self, link: str, reduce: str = "host", *, is_signed: bool = True) -> int:
        """Returns the bytes to which MicroPython's heap can grow where our firmware runs, but on a
        gateway (gateway_code).

        link: "uart", "espnow" or "ring"; reduce: who adds up partial sums, "host" or "chips";
        is_signed: whether frames are. Raises BoardError for a link that it does not have.
        """
        wifi_kb = self.radio.wifi_kb if link == "espnow" else 0
        if self.fixed_heap is not None:
            return self.fixed_heap
        if self.psram_kb:
            return ram.psram_heap(self.psram_kb)
        of_link = self._machine_code(reduce)
        code = of_link["uart"] + ram.RING_CODE if link == "ring" else of_link[link]
        code += 0 if is_signed else ram.UNSIGNED_CODE
        return ram.internal_heap(self.ram_kb, self.code_kb, wifi_kb, code)

    def planned_heap(
        self,
        link: str,
        reduce: str = "host",
        *,
        is_signed: bool = True,
        mtu: int | None = None,
    ) -> int:
        """Returns the bytes that plans may count with, which are made for simulated chips; those
        of this board are given that heap. mtu: of the radio, where it is not the shortest. Raises
        BoardError for a link that it does not have."""
        heap = self.python_heap(link, reduce, is_signed=is_signed)
        return heap if self.fixed_heap is not None else ram.planned(heap, link, mtu)

    def gateway_code(self, reduce: str = "host") -> int:
        """Returns how many bytes less a gateway's heap has, for machine code that no other chip on
        the radio needs."""
        if self.fixed_heap is not None or self.psram_kb:
            return 0
        of_code = self._machine_code(reduce)
        return of_code["gateway"] - of_code["espnow"]

    def _machine_code(self, reduce: str) -> Mapping[str, int]:
        return ram.MACHINE_CODE[native_kernels(self.chip) or "viper"][reduce]


def folders() -> list[Path]:
    """Returns where files of boards are: those that are shipped, then the folders that
    FEDERATION_BOARDS names, whose files win over earlier ones of the same name. Raises
    BoardError.
    """
    added = os.environ.get("FEDERATION_BOARDS", "").split(os.pathsep)
    found = [Path(folder) for folder in added if folder]
    for folder in found:
        if not folder.is_dir():
            raise BoardError(f"FEDERATION_BOARDS: there is no folder {folder}")
    return [BOARDS, *found]


def names(places: Sequence[Path] | None = None) -> list[str]:
    """Returns the names of all boards, sorted. places: folders() where it is left out."""
    found = folders() if places is None else places
    return sorted({path.stem for folder in found for path in folder.glob("*.toml")})


def board_names(text: str) -> list[str]:
    """Returns the names in a list with commas, as --boards has it. Raises BoardError where one is
    empty."""
    found = [name.strip() for name in text.split(",")]
    if "" in found:
        raise BoardError(f"--boards {text}: a name is missing, give them as esp32s3,esp32c3")
    return found


def load(name: str, places: Sequence[Path] | None = None) -> Board:
    """Returns the board called `name`.

    places: folders() where it is left out. Raises BoardError for an unknown name, or a malformed
    file.
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
    """Takes the field `simulated` out. Raises TomlError."""
    value = fields.pop("simulated", False)
    if not isinstance(value, bool):
        raise TomlError(f"field simulated is {value!r}, expected true or false")
    return value


def _path(name: str, places: Sequence[Path]) -> Path:
    """The board's file in the last of these folders that has one. Raises BoardError."""
    known = names(places)
    if name not in known:
        nearest = _find_nearest(name, known)
        hint = f", did you mean {nearest}?" if nearest else "."
        raise BoardError(f"no board is called {name!r}{hint} Boards: {', '.join(known)}")
    return next(path for folder in reversed(places) if (path := folder / f"{name}.toml").exists())


def _find_nearest(name: str, known: Sequence[str]) -> str | None:
    """The name of a board that `name` is most likely meant for: the shortest that has all of it,
    as S3 for esp32s3, or else the most similar, if one is."""

    def plain(text: str) -> str:
        return re.sub("[^a-z0-9]", "", text.lower())

    part = plain(name)
    having = sorted((one for one in known if part and part in plain(one)), key=len)
    return next(iter(having or difflib.get_close_matches(name.lower(), known, n=1)), None)


def _fields(path: Path, places: Sequence[Path], likes: tuple[Path, ...]) -> dict[str, Any]:
    """A file's fields, and those of the board that it is like where it does not have them.

    A file that is like its own name extends the one that it replaces. Raises BoardError.
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
    """`base` with `fields` over it, tables field by field."""
    merged = {**base, **fields}
    for name, value in fields.items():
        if isinstance(value, dict) and isinstance(base.get(name), dict):
            merged[name] = {**base[name], **value}
    return merged
