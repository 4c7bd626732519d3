"""The messages of a strategy for one token, grouped by the times at which chips wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY

# Returns the bits of the widest element that a chip sends, given a layer, a phase, the chip and a
# range of elements.
Width = Callable[[int, int, int, range], int]

# If chips exchange by all-gather, attention and feed-forward have two phases each: the chips
# exchange the activations of heads or units, and then the residual stream.
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
    """A point at which chips wait for one another: the messages sent to them (`requests`) and,
    after the work of the phase, those that they send (`answers`)."""

    layer: int
    phase: int
    requests: tuple[Message, ...]
    answers: tuple[Message, ...]


@dataclass(frozen=True)
class Widths:
    """The bits of a token's numbers. partial_sum: of partial sums, or of what chips exchange in
    their place; embedding: of the embedding; residual: of the stream that enters a layer."""

    partial_sum: Width
    embedding: int
    residual: Callable[[int], int]
