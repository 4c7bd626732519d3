"""A stage's part in pipeline parallelism: some whole layers, for several sequences in turn.

The chips of a stage are a group that combines (firmware/combined.py), often of one chip. What
comes out is the next stage's STEP, or the answer of the last one.
"""

from firmware.combined import Combined
from protocol.bitpack import bits_needed, pack
from protocol.fields import put_u16
from protocol.frame import HEADER_SIZE
from protocol.message_types import STEP
from protocol.messages import (
    LAYER,
    STEP_BITS,
    STEP_DATA,
    STEP_NUMBER,
    STEP_WANTS,
    WANTS_NOTHING,
    begin_answer,
)


class Stage(Combined):
    """One chip's part in the steps of its stage, one step at a time.

    A sequence has the KV cache number `its id % slots`, until a newer one with that number comes.
    next: the chips of the next stage, none after the last.
    """

    def __init__(self, share, shard, kernels, exchange, boot_id):
        """As Combined."""
        super().__init__(share, shard, kernels, exchange, boot_id)
        layout = shard.layout
        self.next = bytes(layout["next"])
        self._hands_over = self.next and layout["members"][0] == layout["chip"]
        self._slot = self._number = 0
        self._sequence_ids = [-1] * layout["slots"]
        self._filled = [[0] * len(shard.layers) for _ in self._sequence_ids]
        share.filled = self._filled[0]

    def forget(self):
        """Breaks off any step, and forgets all sequences and what was contributed."""
        super().forget()
        for slot in range(len(self._sequence_ids)):
            self._sequence_ids[slot] = -1

    def _turned_to(self, sequence_id):
        share, slot = self._share, sequence_id % len(self._sequence_ids)
        if slot != self._slot:
            self._sequence_ids[self._slot] = share.sequence_id
            self._slot = slot
            share.sequence_id, share.filled = self._sequence_ids[slot], self._filled[slot]
            for layer in self._shard.layers:
                layer.keys, layer.values = layer.caches[slot]
        return share.turned_to(sequence_id)

    def _start_exchange(self, sequence_id, number):
        """Steps follow each other whatever sequences they are of, and so do their collectives."""
        self._number = number
        self.exchange.start(0, number * 2 * len(self._shard.layers) & 0xFFFF)

    def _answered(self, answer):
        """The next stage's STEP where this chip is the one of its group to send it, the answer at
        the end of the last stage where one is wanted; else None."""
        if not self.next:
            if self.request[STEP_WANTS] == WANTS_NOTHING or self._share.vocabulary is None:
                return None
            return super()._answered(answer)
        if not self._hands_over:
            return None
        request, count = self.request, self._count * self._dim
        begin_answer(request, answer, 0)
        answer[LAYER] = self.first_layer + len(self._shard.layers)
        put_u16(answer, STEP_NUMBER, self._number)
        answer[STEP_BITS] = bits = bits_needed(self._residual, count)
        size = pack(answer, STEP_DATA, self._residual, count, bits)
        return STEP, STEP_DATA - HEADER_SIZE + size, answer
