"""Computes what a generated token puts on the links: synchronizations, frames and bytes.

It counts what executors and roles send if no frame is lost: the frames, the lines that they take,
and what each end counts. tests/system/test_traffic.py compares this with counts of running
clusters. Only the widths of partial sums (protocol/bitpack.py) depend on the values.

On UART each chip has a line of its own, and the host relays what chips send to each other. On
ESP-NOW the host reaches all chips through the line of chip 0, the gateway. It broadcasts on the
air what is not for itself alone, and relays the answers of the other chips to the host. In a ring
a frame takes the line into each chip on its way, and the line from the last chip to the host if it
goes to the host or through it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from host.parallel.plan import Plan
from host.parallel.shape import RESIDUAL_BITS
from host.parallel.synchronization import Message, Synchronization, Widths
from host.wire.framing import frame_room
from protocol.fragment import FRAGMENT_FIELDS, fragment_room
from protocol.frame import BROADCAST, HEADER_SIZE, HOST, MAX_FRAME, TRAILER_SIZE
from protocol.messages import ACK_SIZE

BITS_A_BYTE = 10  # on a UART, with start and stop bit


@dataclass(frozen=True)
class Route:
    """Where a message goes.

    to_chips, from_chips: the chips on whose lines it goes, in each direction; from_host: on how
    many lines the host sends it; on_air: whether it goes over the radio; is_broadcast: to all
    stations.
    """

    to_chips: tuple[int, ...] = ()
    from_chips: tuple[int, ...] = ()
    from_host: int = 0
    on_air: bool = False
    is_broadcast: bool = False


@dataclass(frozen=True)
class Count:
    """Numbers of frames and of their bytes, without what a link adds: COBS, or radio headers."""

    frames: int = 0
    bytes: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.frames + other.frames, self.bytes + other.bytes)

    def __mul__(self, times: int) -> Count:
        return Count(self.frames * times, self.bytes * times)


@dataclass(frozen=True)
class Traffic:
    """The traffic of a token.

    sent, received, relayed: by the host, as its Transport counts; lines, air: on all serial lines
    and on the radio; chips_sent, chips_received: as in each chip's STATISTICS.
    """

    synchronizations: int
    sent: Count
    received: Count
    relayed: Count
    lines: Count
    air: Count
    chips_sent: tuple[Count, ...]
    chips_received: tuple[Count, ...]


def count_traffic(plan: Plan, token: Iterable[Synchronization]) -> Traffic:
    """Returns the traffic of a token with these synchronizations."""
    synchronizations = tuple(token)
    sent = received = relayed = lines = air = Count()
    chips_sent, chips_received = [Count()] * plan.chips, [Count()] * plan.chips
    for message in (m for each in synchronizations for m in (*each.requests, *each.answers)):
        path, sizes = route(plan, message), frame_sizes(plan, message.payload)
        count = Count(len(sizes), sum(sizes))
        lines += count * (len(path.to_chips) + len(path.from_chips))
        air += count * path.on_air
        if message.source == HOST:
            sent += count * path.from_host
        else:
            chips_sent[message.source] += count
            if message.destination == HOST:
                received += count
            else:
                relayed += count * path.from_host
        for chip in receivers(plan, message):
            chips_received[chip] += count
    # Inside a stage of one chip no messages pass, so nothing waits.
    waits = [each for each in synchronizations if each.requests or each.answers]
    return Traffic(
        len(waits), sent, received, relayed, lines, air, tuple(chips_sent), tuple(chips_received)
    )  # fmt: skip


def busy_seconds(plan: Plan, baud: int) -> float:
    """Returns the seconds for which the longest request and its answers keep the busiest serial
    line busy; baud: bits per second. Behind a gateway all answers come over its line."""
    asked, answered = [], []
    for shard in plan.shards:
        shape = plan.stage_of(shard.chip).shape
        asked.append(shape.line_bytes(plan.strategy.request_frame(shape)))
        answered.append(shape.line_bytes(plan.strategy.answer_frame(shape, len(shard.rows))))
    size = max(asked) + (sum(answered) if plan.link.has_radio else max(answered))
    return size * BITS_A_BYTE / baud


def around_seconds(plan: Plan) -> float:
    """Returns the most seconds that an acknowledgement takes around a ring: on each line it may
    wait for the longest STEP."""
    shape = plan.shape
    step = shape.line_bytes(plan.strategy.request_frame(shape))
    acknowledgement = shape.line_bytes(HEADER_SIZE + ACK_SIZE + TRAILER_SIZE[3])
    return (plan.chips + 1) * (step + acknowledgement) * BITS_A_BYTE / plan.link.baud


def widest_sums(plan: Plan) -> Widths:
    """Returns the widths of numbers that the plan provides for."""

    def width(layer: int, phase: int, chip: int, elements: range) -> int:
        return plan.shape.bits

    return Widths(width, RESIDUAL_BITS, lambda layer: RESIDUAL_BITS)


def frame_sizes(plan: Plan, payload: int) -> tuple[int, ...]:
    """Returns the bytes of each frame of a message with `payload` bytes of payload."""
    version, mtu = 3 if plan.link.signed else 2, plan.link.mtu or MAX_FRAME
    around = HEADER_SIZE + TRAILER_SIZE[version]
    if payload <= frame_room(version, mtu):
        return (around + payload,)
    room = fragment_room(version, mtu)
    whole, rest = divmod(payload, room)
    around += FRAGMENT_FIELDS
    return (around + room,) * whole + ((around + rest,) if rest else ())


def count_frames(plan: Plan, messages: Iterable[Message]) -> list[tuple[Message, Count]]:
    """Returns one message of each pair of ends, and the frames of all with the same ends: they
    take the same route."""
    counts: dict[tuple[int, int], tuple[Message, Count]] = {}
    for message in messages:
        sizes, ends = frame_sizes(plan, message.payload), (message.source, message.destination)
        first, before = counts.get(ends, (message, Count()))
        counts[ends] = first, before + Count(len(sizes), sum(sizes))
    return list(counts.values())


def route(plan: Plan, message: Message) -> Route:
    """Returns the route of a message."""
    source, destination = message.source, message.destination
    if plan.link.is_ring:
        return _route_around(plan.chips, source, destination)
    if plan.link.mtu is None:
        reached = receivers(plan, message)
        return Route(reached, () if source == HOST else (source,), len(reached))
    if source == HOST:
        return Route(to_chips=(0,), from_host=1, on_air=destination != 0, is_broadcast=True)
    if destination == HOST:
        return Route(from_chips=(0,), on_air=source != 0)
    return Route(on_air=True, is_broadcast=True)


def _route_around(chips: int, source: int, destination: int) -> Route:
    """Returns the route in a ring; either end may be the host."""
    last = chips - 1
    first = 0 if source == HOST else source + 1
    if destination in (HOST, BROADCAST):
        return Route(tuple(range(first, chips)), (last,), int(source == HOST))
    if source != HOST and destination <= source:
        lines = *range(destination + 1), *range(first, chips)
        return Route(lines, (last,), 1)
    return Route(tuple(range(first, destination + 1)), from_host=int(source == HOST))


def receivers(plan: Plan, message: Message) -> tuple[int, ...]:
    """Returns the chips that receive a message."""
    if message.destination == HOST:
        return ()
    if message.destination == BROADCAST:
        return tuple(chip for chip in range(plan.chips) if chip != message.source)
    return (message.destination,)
