"""How long one stream's tokens take on a federation of boards: modelled, from published figures.

A token's time is the sum over its synchronizations of what its slowest chip computes, what its
messages take on the links, and constants. Nothing overlaps, but that in one direction all lines,
or the gateway's line and the air, are busy at the same time. Losses, other radios and garbage
collection are left out. None of it was measured on a board.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from host.hardware.board import Board
from host.parallel.cost.instructions import (
    KernelCosts,
    chip_instructions,
    count_passes,
    kernel_costs,
    message_instructions,
)
from host.parallel.cost.radio import radio_rate
from host.parallel.cost.reading import phase_bytes, phase_rates
from host.parallel.cost.traffic import BITS_A_BYTE, Route, count_frames, frame_sizes, route
from host.parallel.plan import Plan
from host.parallel.synchronization import Message, Synchronization
from protocol.cobs import encoded_size
from protocol.frame import HOST
from protocol.message_types import ACK

# Assumed: both processors begin at most one instruction a cycle; loads that are used at once,
# taken branches and code that comes from flash cost more, 1.2 to 2 in all.
CYCLES_AN_INSTRUCTION = 1.5
# USB polls its devices once in a frame of 1 ms (USB 2.0, full speed): half of that on average, in
# each direction.
USB_SECONDS = 0.5e-3
# The host's own part in a synchronization: assumed, of a machine of today.
HOST_SECONDS = 0.3e-3


class NotModelled(ValueError):
    """The times of these boards cannot be modelled; the message is one line."""


@dataclass(frozen=True)
class Latency:
    """Seconds of a token, by what takes them: chips' instructions, serial lines, the air as far as
    it is waited for, and waits (the radio's turnaround, USB and host). airtime: what all its
    frames take on the air; reading: weights from PSRAM or flash, beside the instructions."""

    compute: float
    lines: float
    air: float
    waits: float
    airtime: float
    reading: float = 0.0

    @property
    def links(self) -> float:
        """Seconds."""
        return self.lines + self.air

    @property
    def percent(self) -> dict[str, int]:
        """Where the time goes, in whole percent that add up to 100: what the largest remainders
        lack goes to them."""
        names = ("compute", "reading", "lines", "air", "waits")
        parts = {name: getattr(self, name) for name in names}
        exact = {name: 100 * part / self.total for name, part in parts.items()}
        whole = {name: int(of) for name, of in exact.items()}
        by_rest = sorted(exact, key=lambda name: whole[name] - exact[name])
        return whole | {name: whole[name] + 1 for name in by_rest[: 100 - sum(whole.values())]}

    @property
    def total(self) -> float:
        """Seconds."""
        return self.compute + self.reading + self.links + self.waits

    @property
    def tokens_per_second(self) -> float:
        """Of one stream."""
        return 1 / self.total


class LatencyModel:
    """Models how long tokens take by a plan on boards."""

    def __init__(self, plan: Plan, boards: Sequence[Board], kernels: str = "auto") -> None:
        """boards: of each chip; kernels: "viper" where native ones are not to run.

        Raises NotModelled for boards without clock or UART, as simulated ones.
        """
        self._plan, self._boards, self._radio = plan, boards, radio_rate(boards)
        self._costs: list[KernelCosts] = []
        self._routes: dict[tuple[int, int], Route] = {}
        self._frames: dict[int, tuple[int, ...]] = {}
        self._rates = [phase_rates(plan, chip, board) for chip, board in enumerate(boards)]
        for board in boards:
            costs = kernel_costs(board.mpy_arch, board.chip, kernels)
            if costs:
                self._costs.append(costs)
            if not board.clock_mhz or not board.uart or not costs:
                raise NotModelled(f"board {board.name} has no clock or UART to model times with")

    def latency(
        self, token: Iterable[Synchronization], position: int, rows: int = 1
    ) -> Latency:
        """Of a token at a position whose synchronizations are these; rows: positions that are run
        together: each costs as much as one by itself, but that native kernels read weights once
        for several (count_passes)."""
        compute = reading = lines = air = waits = airtime = 0.0
        for each in token:
            computed, read = self._compute(each, position, rows)
            compute, reading = compute + computed, reading + read
            for messages in (each.requests, each.answers):
                on_lines, on_air = self._on_links(messages)
                lines, air = lines + on_lines, air + on_air
                airtime += self._on_air(messages)
            waits += self._waits(each)
        return Latency(compute, lines, air, waits, airtime, reading)

    def throughput(
        self, token: Iterable[Synchronization], position: int, rows: int = 1
    ) -> float:
        """Returns the tokens per second of as many sequences as there is room for, of which `rows`
        are in each pass.

        If stages work at the same time, the rate is limited by the slowest stage, by the air, by
        the number of sequences and, in a ring, by the time until an output is acknowledged.
        """
        plan, token = self._plan, tuple(token)
        one = self.latency(token, position, rows)
        if len(plan.stages) == 1:
            return rows / one.total
        parts = ([each for each in token if each.layer in stage.layers] for stage in plan.stages)
        if plan.link.is_ring:
            slowest = max(self._busiest(token, position), self._handed_over(token))
        else:
            slowest = max(self.latency(part, position).total for part in parts)
        return 1 / max(slowest, one.airtime, one.total / plan.slots)

    def _busiest(self, token: Sequence[Synchronization], position: int) -> float:
        """Seconds of a token that the busiest chip of a ring is at work, on what it passes on too:
        what is on lines meanwhile it does not wait for."""
        return max(
            sum(
                chip_instructions(self._plan, chip, each, position, costs)
                * CYCLES_AN_INSTRUCTION / (board.clock_mhz or 1) / 1e6
                + self._reading(each, chip, 1)
                for each in token
            )
            for chip, (board, costs) in enumerate(zip(self._boards, self._costs, strict=True))
        )  # fmt: skip

    def _handed_over(self, token: Sequence[Synchronization]) -> float:
        """Seconds from when a stage of a ring hands over a step until it may hand over the next:
        until the acknowledgement has come around. On lines that others share it finds, as often
        as these are busy, one's STEP before it, and on average waits for half of that."""
        plan = self._plan
        steps = [
            message for each in token for message in each.requests if message.kind != ACK
        ]  # fmt: skip
        on_line = max(
            sum(map(encoded_size, frame_sizes(plan, message.payload))) for message in steps
        ) * BITS_A_BYTE / plan.link.baud  # fmt: skip
        sending = max(
            message_instructions(plan, chip, message, self._costs[chip])
            * CYCLES_AN_INSTRUCTION / (self._boards[chip].clock_mhz or 1) / 1e6
            for message in steps
            for chip in (message.source, message.destination)
            if chip != HOST
        )  # fmt: skip
        alone = self._longest_acknowledgement(token) + on_line + 2 * sending
        # The solution for the time in which one STEP is on each line.
        return (alone + sqrt(alone**2 + 2 * (plan.chips - 1) * on_line**2)) / 2

    def _longest_acknowledgement(self, token: Iterable[Synchronization]) -> float:
        """Seconds until an acknowledgement has passed all chips of a ring that it has to pass."""
        plan = self._plan
        messages = [
            message for each in token for message in (*each.requests, *each.answers)
            if message.kind == ACK
        ]  # fmt: skip

        def seconds(message: Message) -> float:
            path = route(plan, message)
            hops = len(path.to_chips) + len(path.from_chips)
            sizes = sum(map(encoded_size, frame_sizes(plan, message.payload)))
            passing = sum(
                message_instructions(plan, chip, message, self._costs[chip])
                * CYCLES_AN_INSTRUCTION / (self._boards[chip].clock_mhz or 1) / 1e6
                for chip in range(plan.chips)
            )  # fmt: skip
            on_usb = USB_SECONDS * (bool(path.from_host) + bool(path.from_chips))
            return hops * sizes * BITS_A_BYTE / plan.link.baud + passing + on_usb

        return max(map(seconds, messages))

    def _compute(self, each: Synchronization, position: int, rows: int) -> tuple[float, float]:
        """The slowest chip's seconds, of instructions and of reading weights."""
        plan = self._plan
        frames = count_frames(plan, (*each.requests, *each.answers))

        def times(chip: int, board: Board, costs: KernelCosts) -> tuple[float, float]:
            instructions = chip_instructions(plan, chip, each, position, costs, rows, frames)
            seconds = instructions * CYCLES_AN_INSTRUCTION / (board.clock_mhz or 1) / 1e6
            return seconds, self._reading(each, chip, rows)

        of_chips = list(zip(self._boards, self._costs, strict=True))
        compute, read = max(
            (times(chip, *of_one) for chip, of_one in enumerate(of_chips)), key=sum
        )
        return compute + self._handing_over(each), read

    def _reading(self, each: Synchronization, chip: int, rows: int) -> float:
        """Seconds in which a chip reads its weights."""
        plan, rate = self._plan, self._rates[chip].get(each.phase)
        _, passes = count_passes(plan, chip, each, self._costs[chip], rows)
        return passes * phase_bytes(plan, chip, each) / rate if rate else 0.0

    def _handing_over(self, each: Synchronization) -> float:
        """Seconds in which chips of a ring send what the next one waits for."""
        plan = self._plan
        if not plan.link.is_ring:
            return 0.0
        return sum(
            message_instructions(
                plan, message.source, message, self._costs[message.source]
            )
            * CYCLES_AN_INSTRUCTION / (self._boards[message.source].clock_mhz or 1) / 1e6
            for message in each.requests
            if message.kind != ACK and message.source != HOST
        )  # fmt: skip

    def _on_links(self, messages: Iterable[Message]) -> tuple[float, float]:
        """On serial lines, and on the air, until the last of these messages is there. What chips
        send each other over serial lines goes to the host first."""
        messages = tuple(messages)
        to_chips: Counter[int] = Counter()
        from_chips: Counter[int] = Counter()
        for message in messages:
            path = self._route(message)
            size = sum(map(encoded_size, self._sizes(message.payload)))
            to_chips.update(dict.fromkeys(path.to_chips, size))
            from_chips.update(dict.fromkeys(path.from_chips, size))
        slowest = self._slowest(from_chips), self._slowest(to_chips)
        # In a ring who is asked hands over to the next: nothing else that passes is waited for.
        lines = max(slowest) if self._plan.link.is_ring else sum(slowest)
        air = self._on_air(messages)
        # A gateway has to have a request before it repeats it; answers come in while it passes
        # on others.
        if to_chips:
            return lines, air
        return (lines, 0.0) if lines >= air else (0.0, air)

    def _on_air(self, messages: Iterable[Message]) -> float:
        """That they take on the air, one after another."""
        return sum(
            self._radio.airtime(size, path.is_broadcast)
            for message in messages
            for path in (self._route(message),)
            if path.on_air
            for size in self._sizes(message.payload)
        )

    def _route(self, message: Message) -> Route:
        """As `route`, found once for messages with the same ends."""
        ends = message.source, message.destination
        if ends not in self._routes:
            self._routes[ends] = route(self._plan, message)
        return self._routes[ends]

    def _sizes(self, payload: int) -> tuple[int, ...]:
        """As `frame_sizes`, found once for messages of the same length."""
        if payload not in self._frames:
            self._frames[payload] = frame_sizes(self._plan, payload)
        return self._frames[payload]

    def _waits(self, each: Synchronization) -> float:
        """Constants: the radio's turnaround, and USB and host where lines are used."""
        messages = (*each.requests, *each.answers)
        if self._plan.link.is_ring:  # between chips there is neither
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
        """The longest time that a line is busy with so many bytes."""
        link = self._plan.link
        each = (
            n * BITS_A_BYTE / (link.baud if link.is_ring else baud_of(self._boards[chip]))
            for chip, n in sizes.items()
        )
        return max(each, default=0.0)


def baud_of(board: Board) -> int:
    """Bits a second on its UART's line to the host. Raises NotModelled."""
    if board.uart is None:
        raise NotModelled(f"board {board.name} has no UART")
    return board.uart.baud
