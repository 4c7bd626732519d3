"""What a strategy puts on the links for one token: messages, grouped by what waits for what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY

# Bits of the widest element that a chip sends, of a layer, a phase, a chip, a range of elements.
Width = Callable[[int, int, int, range], int]

# The attribute of a Shard that says whether the chip takes part in a phase.
PHASE_PARTS = {PHASE_ATTENTION: "heads", PHASE_FEED_FORWARD: "units", PHASE_VOCABULARY: "rows"}


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
    """How many bits a token's numbers take: partial sums, the embedding, and the residual stream
    as it enters a layer."""

    partial_sum: Width
    embedding: int
    residual: Callable[[int], int]
