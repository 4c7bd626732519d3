"""Tensor parallelism among chips: every chip keeps the residual stream, and all add up all partial
sums among themselves.

The host sends a STEP with an embedded token; chips exchange CONTRIBUTIONs in each phase of each
layer, and answer after the last with their best token or their logits.
"""

from __future__ import annotations

from collections.abc import Sequence

from host.parallel.heap import RXBUF_OVERHEAD, SIXTH_STRINGS, norm_bytes
from host.parallel.plan import Plan
from host.parallel.shape import RESIDUAL_BITS, Shape
from host.parallel.strategies.tensor import TensorStrategy, logits_frame
from host.parallel.strategies.traffic import (
    ack_message,
    contribution_messages,
    find_owners,
    list_phases,
    score_message,
    step_message,
)
from host.parallel.synchronization import Synchronization, Widths
from protocol.bitpack import packed_size
from protocol.collective import CONTRIBUTION_FIELDS
from protocol.frame import HEADER_SIZE, HOST, MAX_PAYLOAD, TRAILER_SIZE
from protocol.messages import PHASE_VOCABULARY, STEP_DATA

# What the role adds to a chip's code and objects, and for each layer those of its norms.
# Measured, as heap.CODE.
ROLE_CODE, _ROLE_LAYER = 9_950, 163


class AllReduce(TensorStrategy):
    """Chips add up the partial sums."""

    reduce = "chips"
    summary = "chips keep the residual stream and add up partial sums among themselves"
    executor = role = "all_reduce"
    keeps_residual = True
    transient = 8_192
    hears_all_stations = True

    def request_positions(self, dim: int) -> int:
        room = HEADER_SIZE + MAX_PAYLOAD - STEP_DATA
        return room * 8 // (dim * RESIDUAL_BITS)

    def request_frame(self, shape: Shape) -> int:
        return STEP_DATA + packed_size(shape.elements, RESIDUAL_BITS) + TRAILER_SIZE[3]

    def answer_frame(self, shape: Shape, rows: int) -> int:
        return logits_frame(rows)

    def exchange_frame(self, shape: Shape) -> int:
        fields = HEADER_SIZE + CONTRIBUTION_FIELDS + TRAILER_SIZE[3]
        whole = fields + packed_size(shape.elements, shape.bits)
        return whole if shape.mtu is None else min(whole, shape.mtu)

    def radio_rxbuf(self, shape: Shape, gateway: bool) -> int:
        """Two requests and what all others send at once, partial sums or answers."""
        assert shape.mtu is not None
        each = self.exchange_radio_frames(shape)
        if gateway:
            rows = -(-shape.config.vocab_size // shape.chips)
            each = max(each, shape.radio_frames(self.answer_frame(shape, rows)))
        frames = 2 * shape.radio_frames(self.request_frame(shape)) + each * (shape.chips - 1)
        return (shape.mtu + RXBUF_OVERHEAD) * frames

    def exchange_radio_frames(self, shape: Shape) -> int:
        """How many ESP-NOW frames a chip's partial sums are (protocol/collective.py)."""
        assert shape.mtu is not None
        room = shape.mtu - HEADER_SIZE - TRAILER_SIZE[3] - CONTRIBUTION_FIELDS
        return -(-shape.elements // (8 * room // shape.bits))

    def table_bytes(self, shape: Shape) -> int:
        return super().table_bytes(shape) + norm_bytes(shape.config)

    def exchange_bytes(self, shape: Shape) -> int:
        """The residual stream; two vectors of sums, two contributions of its own, and the frame
        that goes out (protocol/collective.py)."""
        return 5 * 4 * shape.elements + self.exchange_frame(shape)

    def code_bytes(self, shape: Shape, place: str) -> int:
        code = super().code_bytes(shape, place) + ROLE_CODE + _ROLE_LAYER * shape.config.layers
        return code + (SIXTH_STRINGS if self.has_many_names(shape) else 0)

    def has_many_names(self, shape: Shape) -> bool:
        """Whether a chip's code has more names than five tables of strings hold."""
        return shape.link.has_radio

    def synchronizations(
        self, plan: Plan, greedy: bool, widths: Widths
    ) -> Sequence[Synchronization]:
        """A STEP to all, each chip's CONTRIBUTIONs to all others for each phase of each layer, and
        at the end each chip's answer."""
        chips = list(range(plan.chips))
        step = step_message(plan, HOST, chips, widths.embedding)
        exchanges = [
            Synchronization(
                layer,
                phase,
                () if at else (step,),
                contribution_messages(plan, layer, phase, widths.partial_sum),
            )
            for at, (layer, phase) in enumerate(list_phases(plan))
        ]
        with_rows = find_owners(plan, PHASE_VOCABULARY)
        answers = tuple(
            score_message(plan, chip, greedy) if chip in with_rows else ack_message(chip, HOST)
            for chip in chips
        )
        return [*exchanges, Synchronization(0, PHASE_VOCABULARY, (), answers)]


STRATEGY = AllReduce()
