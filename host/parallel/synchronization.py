"""What a strategy puts on the links for one token: messages, grouped by what waits for what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY

# Bits of the widest element that a chip sends, of a layer, a phase, a chip, a range of elements.
Width = Callable[[int, int, int, range], int]

# Where chips exchange by all-gather attention and feed-forward have two phases each: what heads or
# units give is exchanged, and then the residual stream.
GATHERED_HEADS, FINISHED_ATTENTION, GATHERED_UNITS, FINISHED_FEED_FORWARD = range(3, 7)
# The attribute of a Shard that says whether the chip takes part in a phase.
PHASE_PARTS = {
    PHASE_ATTENTION: "heads",
    PHASE_FEED_FORWARD: "units",
    PHASE_VOCABULARY: "rows",
    GATHERED_HEADS: "heads",
    FINISHED_ATTENTION: "elements",
    GATHERED_UNITS: "units",
    FINISHED_FEED_FORWARD: "elements",
}


@dataclass(frozen=True)
class Message:
    """One message. payload: bytes; destination: a chip, HOST or BROADCAST."""

    kind: int
    source: int
    destination: int
    payload: int


@dataclass(frozen=True)
class Synchronization:
    """A time that chips wait for one another: what is sent to them, and after the phase's work,
    what they send."""

    layer: int
    phase: int
    requests: tuple[Message, ...]
    answers: tuple[Message, ...]


@dataclass(frozen=True)
class Widths:
    """How many bits a token's numbers take: partial sums, or what chips exchange in their place,
    the embedding, and the residual stream as it enters a layer."""

    partial_sum: Width
    embedding: int
    residual: Callable[[int], int]
