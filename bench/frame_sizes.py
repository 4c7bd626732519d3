"""Returns the lengths of the frames of the messages for a token, unsigned."""

from __future__ import annotations

from host.parallel.cost.traffic import frame_sizes
from host.parallel.plan import Plan, Shard
from host.parallel.strategies.traffic import score_message
from protocol.bitpack import packed_size
from protocol.collective import CONTRIBUTION_FIELDS, repair_size
from protocol.frame import HEADER_SIZE, TRAILER_SIZE
from protocol.messages import (
    LOGITS_DATA,
    PARTIAL_DATA,
    PHASE_VOCABULARY,
    REQUEST_SIZE,
    STEP_DATA,
)

Sizes = tuple[int, ...]

_VERSION = 2
_ENDS = HEADER_SIZE + TRAILER_SIZE[_VERSION]
NEED_STEP = _ENDS + 4  # an ERROR without text
NOTHING = _ENDS + CONTRIBUTION_FIELDS + packed_size(0, 1)  # a contribution without elements


def request_frames(plan: Plan) -> Sizes:
    """Returns those of a COMPUTE for one position."""
    return frame_sizes(plan, REQUEST_SIZE + 2 * plan.config.dim)


def answer_frames(plan: Plan, shard: Shard, task: int, bits: int) -> Sizes:
    """Returns those of a chip's answer to it: partial sums of `bits` bits each, or logits."""
    if task == PHASE_VOCABULARY:
        return logits_frames(plan, shard)
    payload = PARTIAL_DATA - HEADER_SIZE + packed_size(plan.config.dim, bits)
    return frame_sizes(plan, payload)


def step_frames(plan: Plan, bits: int) -> Sizes:
    """Returns those of a STEP for one position, given the bits of an element of the residual
    stream."""
    payload = STEP_DATA - HEADER_SIZE + packed_size(plan.config.dim, bits)
    return frame_sizes(plan, payload)


def logits_frames(plan: Plan, shard: Shard) -> Sizes:
    """Returns those of a chip's logits."""
    return frame_sizes(plan, LOGITS_DATA - HEADER_SIZE + 2 * len(shard.rows))


def best_frames(plan: Plan, chip: int) -> Sizes:
    """Returns those of a chip's best tokens, for greedy decoding."""
    return frame_sizes(plan, score_message(plan, chip, True).payload)


def repair(members: int) -> int:
    """Returns the length of a REPAIR that names `members` owners."""
    return _ENDS + repair_size(members)


def contribution_frames(plan: Plan, bits: int, count: int | None = None) -> Sizes:
    """Returns those of a chip's contribution of so many elements, None for all of a position's,
    cut into pieces (protocol/collective.py) and packed with their bits."""
    count, mtu = plan.config.dim if count is None else count, plan.link.mtu
    fields = _ENDS + CONTRIBUTION_FIELDS
    piece = count if mtu is None else (mtu - fields) * 8 // bits
    counts = [min(piece, count - start) for start in range(0, count, piece)]
    return tuple(fields + packed_size(count, bits) for count in counts)
