"""The messages that several strategies send; cost/traffic.py counts their bytes on the links."""

from __future__ import annotations

from collections.abc import Iterator

from host.model.sampling import count_candidates
from host.parallel.plan import Plan
from host.parallel.synchronization import PHASE_PARTS, Message, Width
from host.wire.framing import frame_room
from protocol.bitpack import packed_size
from protocol.collective import CONTRIBUTION_FIELDS
from protocol.frame import BROADCAST, HEADER_SIZE, HOST, MAX_FRAME
from protocol.message_types import ACK, BEST, CANDIDATES, CONTRIBUTION, LOGITS, STEP
from protocol.messages import (
    BEST_SIZE,
    BEST_TOKEN,
    BOOT_ID,
    CANDIDATE_ROW,
    LOGITS_DATA,
    PHASE_ATTENTION,
    PHASE_FEED_FORWARD,
    STEP_DATA,
)


def list_phases(plan: Plan) -> Iterator[tuple[int, int]]:
    """Yields layer and phase of all partial sums, in order."""
    for layer in range(plan.config.layers):
        yield layer, PHASE_ATTENTION
        yield layer, PHASE_FEED_FORWARD


def find_owners(plan: Plan, phase: int) -> list[int]:
    """Returns the chips that take part in a phase."""
    return [shard.chip for shard in plan.shards if getattr(shard, PHASE_PARTS[phase])]


def destination_of(chips: list[int]) -> int:
    """Returns the destination of a message for these chips, as the coordinator addresses it."""
    return BROADCAST if len(chips) > 1 else chips[0]


def frame_limit(plan: Plan) -> tuple[int, int]:
    """Returns the frames' version, and the bytes of the longest frame."""
    return 3 if plan.link.signed else 2, plan.link.mtu or MAX_FRAME


def logits_message(plan: Plan, chip: int, rows: int = 1) -> Message:
    """Returns a chip's LOGITS, or CANDIDATES, for `rows` positions."""
    size = rows * plan.shape.score_bytes(len(plan.shards[chip].rows))
    if count_candidates(plan.config.vocab_size):
        return Message(CANDIDATES, chip, HOST, CANDIDATE_ROW - HEADER_SIZE + size)
    return Message(LOGITS, chip, HOST, LOGITS_DATA - HEADER_SIZE + size)


def step_message(
    plan: Plan, source: int, chips: list[int], bits: int, rows: int = 1
) -> Message:
    """Returns a STEP for `rows` positions, with `bits` bits for each element."""
    packed = packed_size(rows * plan.config.dim, bits)
    return Message(STEP, source, destination_of(chips), STEP_DATA - HEADER_SIZE + packed)


def score_message(plan: Plan, chip: int, greedy: bool, rows: int = 1) -> Message:
    """Returns the answer of a chip that has rows of the vocabulary and keeps the residual
    stream."""
    if greedy and not count_candidates(plan.config.vocab_size):
        return Message(BEST, chip, HOST, BEST_TOKEN + BEST_SIZE * rows - HEADER_SIZE)
    return logits_message(plan, chip, rows)


def ack_message(source: int, destination: int) -> Message:
    """Returns an ACK."""
    return Message(ACK, source, destination, BOOT_ID + 2 - HEADER_SIZE)


def contribution_messages(
    plan: Plan, layer: int, phase: int, width: Width, rows: int = 1
) -> tuple[Message, ...]:
    """Returns the messages of chips to each other in a collective, in the pieces of
    protocol/collective.py: a chip that takes no part in a phase sends an empty one."""
    group = plan.group(layer)
    if len(group) == 1:
        return ()
    dim = rows * plan.config.dim
    version, mtu = frame_limit(plan)
    room = frame_room(version, mtu) - CONTRIBUTION_FIELDS
    with_part = find_owners(plan, phase)
    sent = []
    for chip in group:
        count = dim if chip in with_part else 0
        bits = width(layer, phase, chip, range(count)) if count else 1
        most = room * 8 // bits
        for first in range(0, max(count, 1), most):
            packed = packed_size(min(most, count - first), bits)
            sent.append(Message(CONTRIBUTION, chip, BROADCAST, CONTRIBUTION_FIELDS + packed))
    return tuple(sent)
