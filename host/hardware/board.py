"""What a board offers: its chip, its memory, its links; boards/README.md explains the fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from host.errors import BoardError
from host.hardware import ram
from host.hardware.kernels import native_kernels

Count = Annotated[int, Meta(ge=0, description="a whole number from 0 on")]
Text = Annotated[str, Meta(min_length=1, description="text")]

# Bytes of the file system on a board that uses the rest of its flash for weights: the firmware,
# with our machine code, has some 80 files of one or two blocks.
FILESYSTEM = 0x80000
PAGE = 0x10000  # bytes of a page of the flash, with which chips map it into their addresses
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

    def python_heap(
        self, link: str, whose: str = "host", *, is_signed: bool = True, maps: bool = False
    ) -> int:
        """Returns the bytes to which MicroPython's heap can grow beside our firmware; on a gateway
        it has `gateway_code` bytes less.

        link: "uart", "espnow" or "ring"; whose: the `code` of a Parallelism; is_signed: whether
        frames are signed; maps: whether the chip maps its flash. Raises BoardError for a link that
        the board lacks.
        """
        wifi_kb = self.radio.wifi_kb if link == "espnow" else 0
        if self.fixed_heap is not None:
            return self.fixed_heap
        if self.psram_kb:
            return ram.psram_heap(self.psram_kb)
        of_link = self._machine_code(whose)
        code = of_link["uart"] + ram.RING_CODE if link == "ring" else of_link[link]
        code += 0 if is_signed else ram.UNSIGNED_CODE[self._kernels]
        code += ram.MAPPED_MACHINE_CODE if maps else 0
        return ram.internal_heap(self.ram_kb, self.code_kb, wifi_kb, code)

    def planned_heap(
        self,
        link: str,
        whose: str = "host",
        *,
        is_signed: bool = True,
        mtu: int | None = None,
        maps: bool = False,
    ) -> int:
        """Returns the heap, in bytes, that a plan may count with, and that a simulated chip gets.

        Plans count in simulated chips, so this is not quite `python_heap`, whose parameters and
        errors it has. mtu: of the radio, if not the shortest.
        """
        heap = self.python_heap(link, whose, is_signed=is_signed, maps=maps)
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
