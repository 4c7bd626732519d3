"""Tensor parallelism among chips: every chip keeps the residual stream, and chips add up partial
sums among themselves.

The host sends a STEP with an embedded token; chips exchange CONTRIBUTIONs in each phase of each
layer, and answer after the last with their best token or their logits.
"""

from __future__ import annotations

from collections.abc import Sequence

from host.parallel.heap import FLASH_CODE, SIXTH_STRINGS, norm_bytes
from host.parallel.parallelism import FEWEST_IN_TURN
from host.parallel.plan import Plan
from host.parallel.shape import RESIDUAL_BITS, RXBUF_OVERHEAD, Shape
from host.parallel.strategies.tensor import TensorStrategy, scores_frame
from host.parallel.strategies.traffic import (
    ack_message,
    contribution_messages,
    find_owners,
    list_phases,
    score_message,
    step_message,
)
from host.parallel.synchronization import Synchronization, Widths
from host.wire.framing import frame_room
from protocol.bitpack import packed_size
from protocol.collective import CONTRIBUTION_FIELDS
from protocol.frame import HEADER_SIZE, HOST, TRAILER_SIZE
from protocol.messages import PHASE_VOCABULARY, STEP_DATA
from protocol.wide_collective import count_banks

# What the role adds to a chip's code and objects, and for each layer those of its norms.
# Measured, as heap.CODE.
ROLE_CODE, _ROLE_LAYER = 11_020, 163
# The code with which chips on a board's radio wait for their turn (firmware/roles/turns.py).
TURNS_CODE = 600
# The code that adds up vectors of more pieces than one bank has, and bytes per bank of each chip.
WIDE_CODE, _BANK = 3_500, 13


class AllReduce(TensorStrategy):
    """Chips add up the partial sums."""

    reduce = "chips"
    summary = "chips keep the residual stream and add up partial sums among themselves"
    executor = role = "all_reduce"
    keeps_residual = True
    transient = 8_192
    hears_all_stations = True

    def request_positions(self, dim: int, size: int) -> int:
        room = HEADER_SIZE + size - STEP_DATA
        return room * 8 // (dim * RESIDUAL_BITS)

    def request_frame(self, shape: Shape) -> int:
        data = packed_size(shape.elements, RESIDUAL_BITS)
        return STEP_DATA + shape.runs_bytes + data + TRAILER_SIZE[3]

    def answer_frame(self, shape: Shape, rows: int) -> int:
        return scores_frame(shape, rows)

    def exchange_frame(self, shape: Shape) -> int:
        fields = HEADER_SIZE + CONTRIBUTION_FIELDS + TRAILER_SIZE[3]
        whole = fields + packed_size(self.contributed(shape), shape.bits)
        return shape.longest_frame(whole)

    def exchange_frames(self, shape: Shape) -> int:
        """Returns the most frames for a chip's partial sums (protocol/collective.py)."""
        return max(self._exchange_frames(shape, mtu) for mtu in shape.mtus)

    def contributed(self, shape: Shape) -> int:
        """Returns the elements of the longest contribution."""
        return shape.elements

    def _exchange_frames(self, shape: Shape, mtu: int) -> int:
        room = frame_room(3, mtu) - CONTRIBUTION_FIELDS
        return -(-self.contributed(shape) // (8 * room // shape.bits))

    def exchange_banks(self, shape: Shape) -> int:
        return count_banks(self.contributed(shape), shape.bits, frame_room(3, min(shape.mtus)))

    def radio_rxbuf(self, shape: Shape, gateway: bool) -> int:
        """Returns the bytes of two requests and of what all others send at once, partial sums or
        answers."""
        assert shape.mtu is not None
        each = self.exchange_radio_bytes(shape)
        if gateway:
            rows = -(-shape.config.vocab_size // shape.chips)
            each = max(each, shape.radio_bytes(self.answer_frame(shape, rows)))
        return 2 * shape.radio_bytes(self.request_frame(shape)) + each * (shape.chips - 1)

    def exchange_radio_bytes(self, shape: Shape) -> int:
        """Returns what a chip's partial sums, in the frames that protocol/collective.py makes of
        them, take of ESP-NOW's receive buffer."""

        def needed(mtu: int) -> int:
            frames = self._exchange_frames(shape, mtu)
            return frames * (min(self.exchange_frame(shape), mtu) + RXBUF_OVERHEAD)

        return max(map(needed, shape.mtus))

    def table_bytes(self, shape: Shape) -> int:
        return super().table_bytes(shape) + norm_bytes(shape.config)

    def exchange_bytes(self, shape: Shape) -> int:
        """Returns the residual stream; two vectors of sums, two contributions of its own, and the
        frame that goes out (protocol/collective.py)."""
        return 5 * 4 * shape.elements + self.exchange_frame(shape) + self.bank_bytes(shape)

    def vector_bytes(self, shape: Shape) -> int:
        return 4 * shape.elements

    def bank_bytes(self, shape: Shape) -> int:
        """Returns the bytes for adding up vectors of several banks, 0 if there is one bank."""
        banks = self.exchange_banks(shape)
        return WIDE_CODE + banks * (shape.chips * _BANK + 16) if banks > 1 else 0

    def code_bytes(self, shape: Shape, place: str) -> int:
        code = super().code_bytes(shape, place) + ROLE_CODE + _ROLE_LAYER * shape.config.layers
        if shape.link.has_radio and shape.chips >= FEWEST_IN_TURN:
            code += TURNS_CODE
        return code + (SIXTH_STRINGS if self.has_many_names(shape) else 0)

    def flash_code(self, shape: Shape) -> int:
        return FLASH_CODE + (0 if self.has_many_names(shape) else SIXTH_STRINGS)

    def has_many_names(self, shape: Shape) -> bool:
        """Returns whether a chip's code has more names than five tables of strings hold."""
        return shape.link.has_radio

    def synchronizations(
        self, plan: Plan, greedy: bool, widths: Widths, rows: int = 1
    ) -> Sequence[Synchronization]:
        """Returns a STEP to all, each chip's CONTRIBUTIONs to all others for each phase of each
        layer, and at the end each chip's answer."""
        chips = list(range(plan.chips))
        step = step_message(plan, HOST, chips, widths.embedding, rows)
        exchanges = [
            Synchronization(
                layer,
                phase,
                () if at else (step,),
                contribution_messages(plan, layer, phase, widths.partial_sum, rows),
            )
            for at, (layer, phase) in enumerate(list_phases(plan))
        ]
        with_rows = find_owners(plan, PHASE_VOCABULARY)
        answers = tuple(
            score_message(plan, chip, greedy, rows)
            if chip in with_rows
            else ack_message(chip, HOST)
            for chip in chips
        )
        return [*exchanges, Synchronization(0, PHASE_VOCABULARY, (), answers)]


STRATEGY = AllReduce()
