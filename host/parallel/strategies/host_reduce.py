"""Tensor parallelism in a star: the host adds up partial sums and keeps the residual stream.

For each phase of each layer the host sends a COMPUTE to all chips, and each answers with a
PARTIAL; to the last activation, each answers with the LOGITS of its rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from host.model.sampling import count_candidates
from host.parallel.heap import SIXTH_STRINGS
from host.parallel.plan import Plan
from host.parallel.shape import Shape
from host.parallel.strategies.tensor import TensorStrategy, logits_frame
from host.parallel.strategies.traffic import (
    destination_of,
    find_owners,
    list_phases,
    logits_message,
)
from host.parallel.synchronization import Message, Synchronization, Widths
from protocol.bitpack import packed_size
from protocol.frame import HEADER_SIZE, HOST, TRAILER_SIZE
from protocol.message_types import COMPUTE, PARTIAL
from protocol.messages import COMPUTE_DATA, PARTIAL_DATA, PHASE_VOCABULARY, REQUEST_SIZE


class HostReduce(TensorStrategy):
    """The host adds up the partial sums."""

    reduce = "host"
    summary = "the host adds up what chips answer"
    executor = role = "host_reduce"
    keeps_residual = False
    transient = 6_144

    def request_positions(self, dim: int, size: int) -> int:
        return (size - REQUEST_SIZE) // (2 * dim)

    def request_frame(self, shape: Shape) -> int:
        around = HEADER_SIZE + REQUEST_SIZE + shape.runs_bytes + TRAILER_SIZE[3]
        return around + 2 * shape.elements

    def answer_frame(self, shape: Shape, rows: int) -> int:
        partial = PARTIAL_DATA + packed_size(shape.elements, shape.bits) + TRAILER_SIZE[3]
        return max(logits_frame(shape, rows), partial)

    def radio_rxbuf(self, shape: Shape, gateway: bool) -> int:
        """Returns the bytes of two requests or, at the gateway, of the answers of all others."""
        assert shape.mtu is not None
        size = 2 * shape.radio_bytes(self.request_frame(shape))
        if gateway:
            rows = -(-shape.config.vocab_size // shape.chips)
            answer = shape.radio_bytes(self.answer_frame(shape, rows))
            size = max(size, answer * (shape.chips - 1))
        return size

    def code_bytes(self, shape: Shape, place: str) -> int:
        code = super().code_bytes(shape, place)
        # Names of candidates, or of other kernels, are too many for the strings of a gateway that
        # signs.
        has_more = count_candidates(shape.config.vocab_size) > 0 or shape.config.int8_kv
        signs = place == "gateway" and shape.link.signed
        return code + (SIXTH_STRINGS if has_more and signs else 0)

    def synchronizations(
        self, plan: Plan, greedy: bool, widths: Widths, rows: int = 1
    ) -> Sequence[Synchronization]:
        """Returns a COMPUTE to all and a PARTIAL of each, for each phase of each layer; then
        LOGITS, in as many messages as they need."""
        dim = plan.config.dim

        def answer(layer: int, phase: int, chip: int, rows: int) -> Message:
            if phase == PHASE_VOCABULARY:
                return logits_message(plan, chip, rows)
            bits = widths.partial_sum(layer, phase, chip, range(dim))
            packed = packed_size(rows * dim, bits)
            return Message(PARTIAL, chip, HOST, PARTIAL_DATA - HEADER_SIZE + packed)

        def synchronize(layer: int, phase: int, rows: int) -> Synchronization:
            chips = find_owners(plan, phase)
            answers = tuple(answer(layer, phase, chip, rows) for chip in chips)
            request = COMPUTE_DATA - HEADER_SIZE + 2 * rows * dim
            compute = Message(COMPUTE, HOST, destination_of(chips), request)
            return Synchronization(layer, phase, (compute,), answers)

        sums = [synchronize(*each, rows) for each in list_phases(plan)]
        parts = [min(plan.scored, rows - at) for at in range(0, rows, plan.scored)]
        return sums + [synchronize(0, PHASE_VOCABULARY, part) for part in parts]


STRATEGY = HostReduce()
