"""Explains the model of time to users: its formula and constants, in lines of text."""

from __future__ import annotations

from collections.abc import Sequence

from host.hardware.board import Board
from host.parallel.cost.chip_times import CYCLES_AN_INSTRUCTION
from host.parallel.cost.latency import HOST_SECONDS, USB_SECONDS, baud_of
from host.parallel.cost.radio import ELEMENT_HEAD, PUBLISHED, SMALL, radio_rate
from host.parallel.cost.reading import RAM, read_weights
from host.parallel.cost.traffic import BITS_A_BYTE
from host.parallel.cost.turns import describe_turns
from host.parallel.plan import Plan


def formula(plan: Plan, boards: Sequence[Board]) -> list[str]:
    """Returns lines of text with the formula of LatencyModel and its constants."""
    clocks = ", ".join(dict.fromkeys(f"{b.name} {b.clock_mhz} MHz" for b in boards))
    reading = _describe_reading(plan, boards)
    parts = f"compute + {'reading + ' if reading else ''}links + waits"
    lines = [
        f"token = sum over synchronizations of: {parts}",
        "compute = instructions of the slowest chip (from emulated counts)"
        f" x {CYCLES_AN_INSTRUCTION} cycles / clock; {clocks}",
        f"line = n bytes in COBS x {BITS_A_BYTE} bits / {_describe_baud(plan, boards)};"
        f" wait = {USB_SECONDS * 1e3:g} ms of USB each way + {HOST_SECONDS * 1e3:g} ms of the"
        f" host, where {'its line is' if plan.link.is_ring else 'lines are'} used",
    ]
    if plan.link.has_radio:
        rate = radio_rate(boards)
        lines.append(
            f"air = {PUBLISHED} / B + 8 (n - {PUBLISHED}{_describe_elements(plan)}) /"
            f" {rate.bits / 1e6:g}e6 s, one frame"
            f" after another, B = {rate.broadcast:,} bytes/s to all, {rate.unicast:,} to one"
            f" (published); wait = {rate.turnaround * 1e3:.2f} ms (published round trip"
            f" {rate.round_trip * 1e3:g} ms less two frames of {SMALL} bytes)"
        )
        lines += describe_turns(plan, rate)
    lines += reading
    if len(plan.stages) > 1:
        air = ", at least that of all its frames on the air" if plan.link.has_radio else ""
        if plan.link.is_ring:
            lines.append(
                "many streams: a token in the time that the busiest chip is at work, or in which"
                " what is handed over is acknowledged, all around the ring"
            )
            return lines
        lines.append(f"many streams: a token in the time of the slowest stage's sum{air}")
    return lines


def _describe_reading(plan: Plan, boards: Sequence[Board]) -> list[str]:
    """Returns a line on the rates at which weights are read, if that takes time."""
    whose: dict[tuple[str, int | None], dict[str, None]] = {}
    for chip, board in enumerate(boards):
        for read in read_weights(plan, chip, board):
            if read.place != RAM:
                whose.setdefault((read.place, read.rate), {})[board.name] = None
    differ = len({board.name for board in boards}) > 1
    rates = [
        f"{place} {f'{rate / 1e6:g} MB/s' if rate else 'at a rate that is not known, not counted'}"
        + (f" ({', '.join(names)})" if differ else "")
        for (place, rate), names in whose.items()
    ]
    if not rates:
        return []
    return [f"reading = bytes of the chip's weights / rate (published); {', '.join(rates)}"]


def _describe_elements(plan: Plan) -> str:
    """Returns the bytes that frames of version 2 have in addition, as a formula."""
    is_long = (plan.link.mtu or 0) > PUBLISHED
    return f" + {ELEMENT_HEAD} floor((n - 1) / {PUBLISHED})" if is_long else ""


def _describe_baud(plan: Plan, boards: Sequence[Board]) -> str:
    if plan.link.is_ring:
        return f"{plan.link.baud:,} baud, from a chip to the next"
    lines = boards[:1] if plan.link.has_one_line else boards
    bauds = dict.fromkeys(f"{baud_of(board):,}" for board in lines)
    return f"{' and '.join(bauds)} baud (--line pins)"
