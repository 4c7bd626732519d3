"""Lengths of the frames that a token takes, as the firmware and the coordinator send them.

A message is one frame, or where it is longer than the radio's MTU several fragments. Signed frames
(version 3) are not counted here.
"""

from __future__ import annotations

from host.parallel.plan import Plan, Share
from protocol.bitpack import packed_size
from protocol.collective import CONTRIBUTION_FIELDS, REPAIR_SIZE
from protocol.fragment import FRAGMENT_FIELDS, fragment_room
from protocol.frame import HEADER_SIZE, TRAILER_SIZE
from protocol.layout import (
    LOGITS_DATA,
    PARTIAL_DATA,
    PHASE_VOCABULARY,
    REQUEST_SIZE,
    STEP_DATA,
)

_VERSION = 2
_ENDS = HEADER_SIZE + TRAILER_SIZE[_VERSION]
REPAIR = _ENDS + REPAIR_SIZE
NEED_STEP = _ENDS + 4  # an ERROR without text
NOTHING = _ENDS + CONTRIBUTION_FIELDS + packed_size(0, 1)  # a contribution without elements


def request_frames(plan: Plan) -> list[int]:
    """Of a COMPUTE for one position."""
    return message_frames(REQUEST_SIZE + 2 * plan.config.dim, plan.shape.mtu)


def answer_frames(plan: Plan, share: Share, task: int, bits: int) -> list[int]:
    """Of a chip's answer to it: partial sums of so many bits each, or logits."""
    if task == PHASE_VOCABULARY:
        return logits_frames(plan, share)
    payload = PARTIAL_DATA - HEADER_SIZE + packed_size(plan.config.dim, bits)
    return message_frames(payload, plan.shape.mtu)


def step_frames(plan: Plan, bits: int) -> list[int]:
    """Of a STEP for one position whose residual stream has so many bits an element."""
    payload = STEP_DATA - HEADER_SIZE + packed_size(plan.config.dim, bits)
    return message_frames(payload, plan.shape.mtu)


def logits_frames(plan: Plan, share: Share) -> list[int]:
    """Of a chip's logits."""
    return message_frames(LOGITS_DATA - HEADER_SIZE + 2 * len(share.rows), plan.shape.mtu)


def contribution_frames(plan: Plan, bits: int) -> list[int]:
    """Of a chip's contribution to a sum, which is cut into pieces by the widest sum there can be
    (protocol/collective.py), and packed by the bits that it has."""
    dim, mtu = plan.config.dim, plan.shape.mtu
    fields = _ENDS + CONTRIBUTION_FIELDS
    piece = dim if mtu is None else (mtu - fields) * 8 // plan.shape.bits
    counts = [min(piece, dim - start) for start in range(0, dim, piece)]
    return [fields + packed_size(count, bits) for count in counts]


def message_frames(payload: int, mtu: int | None) -> list[int]:
    """Of a message with so many bytes of payload; mtu: the radio's, None on UART."""
    if mtu is None or payload + _ENDS <= mtu:
        return [payload + _ENDS]
    room = fragment_room(_VERSION, mtu)
    parts = [min(room, payload - start) for start in range(0, payload, room)]
    return [_ENDS + FRAGMENT_FIELDS + part for part in parts]
