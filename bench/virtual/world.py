"""The time, the air and the serial lines that virtual chips share."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from random import Random
from types import ModuleType
from typing import Any, Protocol

from cobs import cobs

from host.simulation.radio import FakeRadio

LATENCY_MS = 1  # of every frame, on a line or on the air
_IDLE_MS = 4  # a step of time in which nothing is on the way
# Modules of the firmware that look at a clock.
_TIMED = (
    "firmware.links.espnow",
    "firmware.links.line_speed",
    "firmware.roles.all_reduce",
    "firmware.roles.handover",
    "firmware.roles.pipeline",
    "protocol.session",
)
# And those that have garbage collected, which in a large CPython takes as long as a whole text.
_COLLECTING = ("firmware.compute.shard", "firmware.node")


class Machine(Protocol):
    """A chip, for which time passes."""

    def turn(self, now_ms: int) -> bool:
        """Does what there is to do; returns whether there was anything."""


class World:
    """Virtual milliseconds, and what happens in them.

    radio: the air; mtus: bytes of the longest packet of chips with a radio that is limited to less
    than the link's; machines: the chips for which time passes; lost: frames that serial lines
    lost.
    """

    def __init__(self, loss: float = 0.0, seed: int = 0) -> None:
        """loss: the probability that a frame is lost, on the air or a serial line."""
        self.now_ms = 1_000
        self.loss = loss
        self.radio = FakeRadio(seed, loss=loss, delay_us=1000 * LATENCY_MS)
        self.mtus: dict[int, int] = {}
        self.machines: list[Machine] = []
        self.lost = 0
        self.chance = Random(f"{seed}/lines")
        self._due: list[tuple[int, int, Callable[[], object]]] = []
        self._number = itertools.count()

    def ticks_ms(self) -> int:
        """Replaces MicroPython's."""
        return self.now_ms

    def seconds(self) -> float:
        """Replaces time.monotonic."""
        return self.now_ms / 1000

    def later(self, milliseconds: int, action: Callable[[], object]) -> None:
        """Schedules a call after some time."""
        entry = self.now_ms + milliseconds, next(self._number), action
        heapq.heappush(self._due, entry)

    def carry(self, put: Callable[[bytes], object], frame: bytes, is_lossy: bool = True) -> None:
        """Carries a frame to the other end of a serial line, which may lose it."""
        if is_lossy and self.loss and self.chance.random() < self.loss:
            self.lost += 1
        else:
            self.later(LATENCY_MS, lambda: put(frame))

    def step(self) -> None:
        """Lets time pass until something may happen."""
        self.now_ms += 1 if self._is_busy else _IDLE_MS
        self.radio.advance_to(1000 * self.now_ms)
        while self._due and self._due[0][0] <= self.now_ms:
            heapq.heappop(self._due)[2]()
        worked = [machine.turn(self.now_ms) for machine in self.machines]
        self._is_busy = any(worked) or bool(self._due) or self.radio.next_event_us is not None

    _is_busy = False

    @contextmanager
    def rules(self) -> Iterator[None]:
        """Gives the firmware this world's clock, and CPython a chip's gc module."""
        wifi: Any = import_module("firmware.links.wifi")
        modules: list[Any] = [import_module(name) for name in _TIMED]
        before: list[tuple[ModuleType, str, Any]] = [(wifi, "start", wifi.start)]
        wifi.start = lambda settings: settings["start"]()
        for collecting in map(import_module, _COLLECTING):
            heap: Any = collecting
            before.append((heap, "gc", heap.gc))
            heap.gc = ChipHeap
        for module in modules:
            before.append((module, "ticks_ms", module.ticks_ms))
            module.ticks_ms = self.ticks_ms
        try:
            yield
        finally:
            for module, name, value in before:
                setattr(module, name, value)


class ChipHeap:
    """Replaces MicroPython's gc module; counts garbage collections."""

    collections = 0

    @classmethod
    def collect(cls) -> None:
        cls.collections += 1

    @staticmethod
    def mem_alloc() -> int:
        return 70_000

    @staticmethod
    def mem_free() -> int:
        return 90_000


class ChipUart:
    """A chip's end of a serial line, in place of machine.UART; carries whole frames."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        """send: takes each frame that the chip sends."""
        self._send = send
        self._arrived = bytearray()
        self.baud = 921_600

    def init(self, baudrate: int) -> None:
        """Changes the speed."""
        self.baud = baudrate

    def flush(self) -> None:
        """Does nothing: there is nothing to wait for."""

    def disturb(self, frames: int) -> None:
        """Makes frames arrive as they would at another speed."""
        self._arrived += b"\x09\xfe\x80\0" * frames

    def put(self, frame: bytes) -> None:
        """Makes a frame arrive at the chip."""
        self._arrived += cobs.encode(frame) + b"\0"

    def readinto(self, buffer: bytearray) -> int:
        """Returns the number of bytes put into the buffer, as far as it has room."""
        count = min(len(buffer), len(self._arrived))
        buffer[:count] = self._arrived[:count]
        del self._arrived[:count]
        return count

    def write(self, data: bytes, count: int) -> None:
        """Sends whole frames."""
        for piece in bytes(data[:count]).split(b"\0"):
            if piece:
                self._send(bytes(cobs.decode(piece)))
