"""Chip-combined tensor parallelism: the residual stream of a token lives on the chips.

The host sends an embedded token (STEP); the chips of the group add up their partial sums among
themselves (protocol/collective.py), each keeps a replica of the residual stream, and answers after
the last layer. The arithmetic is exact, so the replicas never differ.
"""

from firmware.share import BadRequest, NeedKV
from protocol.bitpack import packed_size, unpack
from protocol.compat import const, micropython
from protocol.fields import int32s, put_u16, same, u16
from protocol.frame import HEADER_SIZE, SEQUENCE, SRC
from protocol.message_types import ACK, BEST, LOGITS
from protocol.messages import (
    BEST_END,
    BEST_LOGIT,
    BEST_TOKEN,
    BOOT_ID,
    COUNT,
    LAYER,
    POSITION,
    REQUEST_SIZE,
    SEQUENCE_ID,
    STEP_BITS,
    STEP_DATA,
    STEP_NUMBER,
    STEP_WANTS,
    WANTS_LOGITS,
    WANTS_NOTHING,
    begin_answer,
)

_ATTENTION = const(0)
_FEED_FORWARD = const(1)
_IDLE = const(2)


class Combined:
    """One chip's part in the steps of its group, one step at a time.

    After `begin`, and whenever a contribution has come, `advance` goes on as far as it can.
    request: the head of the STEP frame that is or was worked on; first_layer: that of the
    model where this group begins; layer: how far it is, of its own.
    """

    def __init__(self, share, shard, kernels, exchange, boot_id):
        """kernels: the module firmware.residual; exchange: the group's collectives."""
        layout = shard.layout
        self._share, self._shard, self._kernels = share, shard, kernels
        self.exchange = exchange
        self._boot_id = boot_id
        self._dim = dim = layout["dim"]
        self._context = layout["context"]
        self.first_layer = layout.get("first_layer", 0)
        self._residual = residual = int32s(layout["positions"] * dim)
        self._residuals = [residual[at : at + dim] for at in range(0, len(residual), dim)]
        self.request = bytearray(HEADER_SIZE + REQUEST_SIZE)
        self.layer = self._position = self._count = 0
        self._phase = _IDLE

    def is_idle(self):
        """Whether no step is under way."""
        return self._phase == _IDLE

    def break_off(self):
        """Leaves the step that is under way, if any."""
        self._phase = _IDLE

    def forget(self):
        """Breaks off any step, and forgets what was contributed."""
        self.break_off()
        self.exchange.forget()

    def is_at_work_on(self, request):
        """Whether this STEP, received again, is under way."""
        return (
            not self.is_idle()
            and request[SRC] == self.request[SRC]
            and same(request, SEQUENCE, self.request, SEQUENCE, 2)
            and same(request, HEADER_SIZE, self.request, HEADER_SIZE, REQUEST_SIZE)
        )

    def begin(self, request, length):
        """Begins the work that an opened STEP frame asks for, instead of any other.

        False where it is of an older sequence. Raises BadRequest and NeedKV.
        """
        dim = self._dim
        size = HEADER_SIZE + length - STEP_DATA
        count, position, bits = request[COUNT], u16(request, POSITION), request[STEP_BITS]
        if not (1 <= bits <= 32 and 0 < count <= len(self._residuals)) or size != packed_size(
            count * dim, bits
        ):
            raise BadRequest("%d bytes for %d positions of %d" % (size, count, dim))
        if request[LAYER] != self.first_layer or position + count > self._context:
            raise BadRequest(
                "position %d of a context of %d" % (position + count - 1, self._context)
            )
        if not self._turned_to(u16(request, SEQUENCE_ID)):
            return False
        filled = self._share.filled[-1]
        if position > filled:
            raise NeedKV(0, filled)
        self.request[:] = memoryview(request)[: len(self.request)]
        unpack(request, STEP_DATA, self._residual, count * dim, bits)
        self.layer, self._phase = 0, _ATTENTION
        self._position, self._count = position, count
        self._start_exchange(u16(request, SEQUENCE_ID), u16(request, STEP_NUMBER))
        self._contribute()
        return True

    def _turned_to(self, sequence_id):
        return self._share.turned_to(sequence_id)

    def _start_exchange(self, sequence_id, number):
        self.exchange.start(sequence_id, number)

    @micropython.native
    def advance(self, room):
        """Goes on as far as what has come allows.

        None, or at the end of the step the kind of answer, its payload's length and the frame
        buffer that it was written into, which is what `room()` gave.
        """
        while self._phase != _IDLE and self.exchange.done:
            self._add_up()
            if self._phase == _FEED_FORWARD:
                self._share.filled[self.layer] = max(
                    self._share.filled[self.layer], self._position + self._count
                )
                self.layer += 1
                self._phase = _ATTENTION
            else:
                self._phase = _FEED_FORWARD
            if self.layer == len(self._shard.layers):
                self._phase = _IDLE
                return self._answered(room())
            self._contribute()
        return None

    @micropython.native
    def _contribute(self):
        """Computes this chip's partial sums of the phase that is due and sends them."""
        share, layer, count = self._share, self._shard.layers[self.layer], self._count
        attends = self._phase == _ATTENTION
        part = share.attention if attends else share.feed_forward
        out = share.workspace.out
        if part is None:
            count = 0
        for i in range(count):
            if attends:
                self._normalize(i, layer.norms, 0, layer.norm_numbers)
                part.run(layer, self._position + i, out[i])
            else:
                self._normalize(i, layer.norms, 4 * self._dim, layer.ff_norm_numbers)
                part.run(layer, out[i])
        self.exchange.all_reduce(share.workspace.results, count * self._dim)

    @micropython.native
    def _add_up(self):
        """Adds the group's sum to the residual stream."""
        layer, total, dim = self._shard.layers[self.layer], self.exchange.result, self._dim
        attended = self._phase == _ATTENTION
        at, shift = (2 * dim, layer.o_shift) if attended else (6 * dim, layer.down_shift)
        for i in range(self._count):
            part = total[i * dim :] if i else total
            self._kernels.add_rescaled(self._residuals[i], 0, part, layer.norms, at, dim, shift)

    @micropython.native
    def _normalize(self, i, gain, at, numbers):
        shift, epsilon, limit = numbers
        x = self._share.workspace.x
        self._kernels.norm(self._residuals[i], 0, gain, at, x, self._dim, shift, epsilon, limit)

    def _answered(self, answer):
        request, vocabulary = self.request, self._share.vocabulary
        begin_answer(request, answer, self._boot_id)
        if request[STEP_WANTS] == WANTS_NOTHING or vocabulary is None:
            return ACK, BOOT_ID + 2 - HEADER_SIZE, answer
        shard = self._shard
        self._normalize(self._count - 1, shard.final_gain, 0, shard.final_numbers)
        vocabulary.run()
        if request[STEP_WANTS] == WANTS_LOGITS:
            return LOGITS, self._share.stored_logits(answer), answer
        best = self._kernels.best(vocabulary.logits, len(vocabulary.logits))
        put_u16(answer, BEST_TOKEN, vocabulary.first_row + best)
        put_u16(answer, BEST_LOGIT, vocabulary.logits[best])
        return BEST, BEST_END - HEADER_SIZE, answer
