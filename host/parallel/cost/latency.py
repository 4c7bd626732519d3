"""Models how long a token of one sequence takes on a federation of boards, from published figures.

A token's time is a sum over its synchronizations: the computation of the slowest chip, the time of
the messages on the links, and constants. These do not overlap, except that in one direction all
serial lines, or the gateway's line and the air, are busy at the same time. Losses, other radios
and garbage collection are left out. None of it was measured on a board.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass

from host.hardware.board import Board
from host.parallel.cost.chip_times import ChipTimes, NotModelled
from host.parallel.cost.radio import radio_rate
from host.parallel.cost.read_ahead import ReadAhead
from host.parallel.cost.reading import ReadingTimes
from host.parallel.cost.traffic import BITS_A_BYTE, Route, count_frames, frame_sizes, route
from host.parallel.plan import Plan
from host.parallel.synchronization import Message, Synchronization
from protocol.cobs import encoded_size
from protocol.frame import HOST
from protocol.message_types import ACK

# USB polls its devices once in each frame of 1 ms (USB 2.0, full speed), so data waits for half a
# frame on average, in each direction.
USB_SECONDS = 0.5e-3
# The host's own work in a synchronization: assumed, for a computer of today.
HOST_SECONDS = 0.3e-3


@dataclass(frozen=True)
class Latency:
    """Seconds of a token, divided by cause.

    compute: instructions of chips; lines: serial lines; air: the radio, as far as the token waits
    for it; waits: the radio's turnaround, USB and the host; airtime: of all its frames, waited for
    or not; reading: weights from PSRAM or flash, in addition to the instructions.
    """

    compute: float
    lines: float
    air: float
    waits: float
    airtime: float
    reading: float = 0.0

    @property
    def links(self) -> float:
        """Seconds on lines and on the air."""
        return self.lines + self.air

    @property
    def percent(self) -> dict[str, int]:
        """Where the time goes, in whole percent that add up to 100, by the method of largest
        remainders."""
        names = ("compute", "reading", "lines", "air", "waits")
        parts = {name: getattr(self, name) for name in names}
        exact = {name: 100 * part / self.total for name, part in parts.items()}
        whole = {name: int(part) for name, part in exact.items()}
        by_remainder = sorted(exact, key=lambda name: whole[name] - exact[name])
        missing = 100 - sum(whole.values())
        return whole | {name: whole[name] + 1 for name in by_remainder[:missing]}

    @property
    def total(self) -> float:
        """Seconds of the whole token."""
        return self.compute + self.reading + self.links + self.waits

    @property
    def tokens_per_second(self) -> float:
        """The rate of one sequence."""
        return 1 / self.total


@dataclass(frozen=True)
class _Phase:
    """Seconds of a synchronization. compute, reading: of each chip its instructions, and its
    reading of weights in one pass, with the number of passes; all others as Latency has them."""

    compute: list[float]
    reading: list[tuple[ReadingTimes, int]]
    handing_over: float
    lines: float
    air: float
    waits: float
    airtime: float

    def pass_by(
        self, ahead: ReadAhead, late: Sequence[float]
    ) -> tuple[float, float, list[float]]:
        """Has chips work and, until the next synchronization begins, wait.

        late: by how many seconds each begins late. Returns the seconds of the slowest chip, of
        instructions and of reading, and by how many seconds each begins the next late.
        """
        read = []
        for chip, (times, passes) in enumerate(self.reading):
            missing = ahead.take(chip, times.buffered) + (passes - 1) * times.buffered
            read.append(late[chip] + missing + passes * times.direct)
        slowest = max(range(len(read)), key=lambda chip: self.compute[chip] + read[chip])
        end = self.compute[slowest] + read[slowest] + self.handing_over
        end += self.lines + self.air + self.waits
        late = [
            ahead.wait(chip, end - self.compute[chip] - own) for chip, own in enumerate(read)
        ]
        return self.compute[slowest] + self.handing_over, read[slowest], late


class LatencyModel:
    """Models how long a plan's tokens take on boards. chips: the work of each chip."""

    def __init__(self, plan: Plan, boards: Sequence[Board], kernels: str = "auto") -> None:
        """boards: of each chip; kernels: "viper" where native ones are not to run.

        Raises NotModelled for boards without clock or UART, as simulated ones.
        """
        self.plan = plan
        self.chips = ChipTimes(plan, boards, kernels)
        self._boards, self._radio = boards, radio_rate(boards)
        self._routes: dict[tuple[int, int], Route] = {}
        self._frames: dict[int, tuple[int, ...]] = {}

    def with_steps_waiting(self) -> LatencyModel:
        """Returns the model of stages that are busy when a STEP comes."""
        model = copy(self)
        model.chips = self.chips.with_steps_waiting()
        return model

    def latency(
        self, token: Iterable[Synchronization], position: int, rows: int = 1
    ) -> Latency:
        """Returns the latency of a token at a position.

        token: its synchronizations; rows: positions that are computed together. Each costs as much
        as one by itself, except that native kernels read weights once for several (count_passes).
        """
        phases = [self._phase(each, position, rows) for each in token]
        ahead = self.chips.start_reading_ahead()
        late = [0.0] * self.plan.chips
        if ahead.is_used:
            # During the token before this one, chips have read ahead what this one needs first.
            for phase in phases:
                late = phase.pass_by(ahead, late)[2]
        compute = reading = 0.0
        for phase in phases:
            computed, read, late = phase.pass_by(ahead, late)
            compute, reading = compute + computed, reading + read
        lines, air, waits, airtime = (
            sum(getattr(phase, name) for phase in phases)
            for name in ("lines", "air", "waits", "airtime")
        )
        return Latency(compute, lines, air, waits, airtime, reading)

    def _phase(self, each: Synchronization, position: int, rows: int) -> _Phase:
        plan, chips = self.plan, self.chips
        frames = count_frames(plan, (*each.requests, *each.answers))
        lines = air = airtime = 0.0
        for messages in (each.requests, each.answers):
            on_lines, on_air = self._on_links(messages)
            lines, air = lines + on_lines, air + on_air
            airtime += self._on_air(messages)
        compute = [
            chips.compute(chip, each, position, rows, frames) for chip in range(plan.chips)
        ]
        reading = [chips.reading_times(chip, each, rows) for chip in range(plan.chips)]
        handing_over = self._handing_over(each)
        return _Phase(compute, reading, handing_over, lines, air, self._waits(each), airtime)

    def _handing_over(self, each: Synchronization) -> float:
        """Returns the seconds in which chips of a ring send what the next one waits for."""
        if not self.plan.link.is_ring:
            return 0.0
        return sum(
            self.chips.carry(message.source, message)
            for message in each.requests
            if message.kind != ACK and message.source != HOST
        )

    def _on_links(self, messages: Iterable[Message]) -> tuple[float, float]:
        """Returns the seconds, on serial lines and on the air, until all these messages have
        arrived. What chips send to each other over serial lines goes to the host first."""
        messages = tuple(messages)
        to_chips: Counter[int] = Counter()
        from_chips: Counter[int] = Counter()
        for message in messages:
            path = self._route(message)
            size = sum(map(encoded_size, self._sizes(message.payload)))
            to_chips.update(dict.fromkeys(path.to_chips, size))
            from_chips.update(dict.fromkeys(path.from_chips, size))
        slowest = self._slowest(from_chips), self._slowest(to_chips)
        # In a ring, a chip that has its request hands over to the next; the chips wait for nothing
        # else that passes.
        lines = max(slowest) if self.plan.link.is_ring else sum(slowest)
        air = self._on_air(messages)
        # A gateway repeats a request after it has received all of it; it receives answers while it
        # passes on others.
        if to_chips:
            return lines, air
        return (lines, 0.0) if lines >= air else (0.0, air)

    def _on_air(self, messages: Iterable[Message]) -> float:
        """Returns the seconds that messages take on the air, one after another."""
        return sum(
            self._radio.airtime(size, path.is_broadcast)
            for message in messages
            for path in (self._route(message),)
            if path.on_air
            for size in self._sizes(message.payload)
        )

    def _route(self, message: Message) -> Route:
        """Returns what `route` does, computed once for messages with the same ends."""
        ends = message.source, message.destination
        if ends not in self._routes:
            self._routes[ends] = route(self.plan, message)
        return self._routes[ends]

    def _sizes(self, payload: int) -> tuple[int, ...]:
        """Returns what `frame_sizes` does, computed once for messages of the same length."""
        if payload not in self._frames:
            self._frames[payload] = frame_sizes(self.plan, payload)
        return self._frames[payload]

    def _waits(self, each: Synchronization) -> float:
        """Returns the constants: the radio's turnaround, and USB and host where lines are used."""
        messages = (*each.requests, *each.answers)
        if self.plan.link.is_ring:  # messages between chips pass neither USB nor the host
            return sum(
                USB_SECONDS + HOST_SECONDS
                for message in messages
                if message.kind != ACK and HOST in (message.source, message.destination)
            )
        paths = [self._route(message) for message in messages]
        directions = any(path.to_chips for path in paths) + any(path.from_chips for path in paths)
        on_air = any(path.on_air for path in paths)
        on_lines = directions * USB_SECONDS + bool(directions) * HOST_SECONDS
        return on_lines + on_air * self._radio.turnaround

    def _slowest(self, sizes: Counter[int]) -> float:
        """Returns for how long the busiest line is busy; sizes: bytes on each chip's line."""
        link = self.plan.link
        each = (
            n * BITS_A_BYTE / (link.baud if link.is_ring else baud_of(self._boards[chip]))
            for chip, n in sizes.items()
        )
        return max(each, default=0.0)


def baud_of(board: Board) -> int:
    """Returns the bits per second of a board's UART to the host. Raises NotModelled."""
    if board.uart is None:
        raise NotModelled(f"board {board.name} has no UART")
    return board.uart.baud
