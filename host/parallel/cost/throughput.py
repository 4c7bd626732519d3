"""Models how many tokens a second a federation generates of several sequences at a time.

The stages of a plan work on different sequences at the same time; the slowest sets the pace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import sqrt

from host.parallel.cost.latency import USB_SECONDS, LatencyModel
from host.parallel.cost.traffic import BITS_A_BYTE, frame_sizes, route
from host.parallel.plan import Plan
from host.parallel.synchronization import Message, Synchronization
from protocol.cobs import encoded_size
from protocol.frame import HOST
from protocol.message_types import ACK


def count_rows(plan: Plan) -> int:
    """Returns how many sequences have a position in the same pass, if all slots are in use."""
    return min(plan.slots, plan.positions) if len(plan.stages) == 1 else 1


def model_throughput(
    times: LatencyModel, token: Iterable[Synchronization], position: int, rows: int = 1
) -> float:
    """Returns the tokens per second of all sequences together, with every slot of the plan in use
    and `rows` sequences in each pass.

    If stages work at the same time, the rate is limited by the slowest stage, by the air, by
    the number of sequences and, in a ring, by the time until an output is acknowledged.
    """
    plan, token = times.plan, tuple(token)
    one = times.latency(token, position, rows)
    if len(plan.stages) == 1:
        return rows / one.total
    times = times.with_steps_waiting()
    if plan.link.is_ring:
        slowest = max(_busiest_chip(times, token, position), _interval_between_steps(times, token))
    else:
        parts = ([each for each in token if each.layer in stage.layers] for stage in plan.stages)
        slowest = max(times.latency(part, position).total for part in parts)
    return 1 / max(slowest, one.airtime, one.total / plan.slots)


def _busiest_chip(times: LatencyModel, token: Sequence[Synchronization], position: int) -> float:
    """Seconds of a token for which the busiest chip of a ring works, also on what it passes on. It
    does not wait while bytes are on a line."""
    chips = times.chips
    return max(
        sum(chips.compute(chip, each, position) + chips.read(chip, each) for each in token)
        for chip in range(times.plan.chips)
    )


def _interval_between_steps(times: LatencyModel, token: Sequence[Synchronization]) -> float:
    """Seconds from when a stage of a ring hands over a step until it may hand over the next: until
    the acknowledgement has come around.

    It shares lines with the STEPs of other stages. Where a line is busy with one, it waits on
    average for half of that STEP.
    """
    plan = times.plan
    steps = [
        message for each in token for message in each.requests if message.kind != ACK
    ]  # fmt: skip
    on_line = max(_line_seconds(plan, message) for message in steps)
    sending = max(
        times.chips.carry(chip, message)
        for message in steps
        for chip in (message.source, message.destination)
        if chip != HOST
    )
    alone = max(
        _acknowledgement_seconds(times, message)
        for each in token
        for message in (*each.requests, *each.answers)
        if message.kind == ACK
    ) + on_line + 2 * sending  # fmt: skip
    # t = alone + (chips - 1) * (on_line / t) * (on_line / 2), solved for t: in t, one STEP is on
    # each line.
    return (alone + sqrt(alone**2 + 2 * (plan.chips - 1) * on_line**2)) / 2


def _acknowledgement_seconds(times: LatencyModel, message: Message) -> float:
    """Seconds until an acknowledgement has passed all chips of a ring on its way."""
    plan = times.plan
    path = route(plan, message)
    lines = len(path.to_chips) + len(path.from_chips)
    passing = sum(times.chips.carry(chip, message) for chip in range(plan.chips))
    on_usb = USB_SECONDS * (bool(path.from_host) + bool(path.from_chips))
    return lines * _line_seconds(plan, message) + passing + on_usb


def _line_seconds(plan: Plan, message: Message) -> float:
    """Seconds for which a message keeps a line of a ring busy."""
    sizes = sum(map(encoded_size, frame_sizes(plan, message.payload)))
    return sizes * BITS_A_BYTE / plan.link.baud
