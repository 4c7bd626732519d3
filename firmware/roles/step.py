"""A STEP: some positions of a sequence on their way through a group's layers.

The chips of a group add up their partial sums among themselves (protocol/collective.py), and each
keeps a replica of the residual stream. The arithmetic is exact, so the replicas never differ.
"""

from firmware.compute.residual import ResidualStream
from firmware.outbox import BadRequest, NeedKV
from protocol.bitpack import packed_size, unpack
from protocol.compat import const, micropython
from protocol.fields import put_u16, u16
from protocol.frame import HEADER_SIZE, TYPE
from protocol.message_types import ACK, BEST, LOGITS
from protocol.messages import (
    ACK_SIZE,
    BEST_END,
    BEST_LOGIT,
    BEST_TOKEN,
    COUNT,
    LAYER,
    POSITION,
    REQUEST_SIZE,
    SEQUENCE_ID,
    STEP_BITS,
    STEP_DATA,
    STEP_WANTS,
    WANTS_LOGITS,
    WANTS_NOTHING,
    begin_answer,
)
from protocol.shard_layout import (
    ATTENTION_GAIN,
    DOWN_MULTIPLIERS,
    FEED_FORWARD_GAIN,
    O_MULTIPLIERS,
)

_ATTENTION = const(0)
_FEED_FORWARD = const(1)
_IDLE = const(2)


class Step:
    """The step that is under way, one at a time.

    After `begin`, and whenever a contribution has come, `advance` goes on as far as it can.
    request: the head of the STEP frame that is or was worked on; layer: how far it is, of those of
    the group; residual: the ResidualStream; collective: the group's sums.
    """

    def __init__(self, model, weights, kernels, collective):
        """kernels: the module firmware.compute.norms."""
        self.model, self.collective = model, collective
        self._weights = weights
        self._best = kernels.best
        self.residual = ResidualStream(weights, kernels)
        self.first_layer = weights.layout["first_layer"]
        self._context = weights.layout["context"]
        self.request = bytearray(HEADER_SIZE + REQUEST_SIZE)
        self.layer = self._position = self._count = 0
        self._phase = _IDLE

    def is_idle(self):
        """Whether no step is under way."""
        return self._phase == _IDLE

    def abort(self):
        """Leaves the step that is under way, if any."""
        self._phase = _IDLE

    def forget(self):
        """Aborts any step, and forgets the KV cache and what was contributed."""
        self._phase = _IDLE
        self.collective.forget()
        self.model.cache.forget()

    def begin(self, request, length, epoch, number):
        """Begins the work that a verified STEP frame asks for, instead of any other.

        epoch, number: of its first collective. False where the request is of an older sequence.
        Raises BadRequest and NeedKV.
        """
        residual, dim = self.residual, self.residual.dim
        size = HEADER_SIZE + length - STEP_DATA
        count, position, bits = request[COUNT], u16(request, POSITION), request[STEP_BITS]
        if not (1 <= bits <= 32 and 0 < count <= residual.positions) or size != packed_size(
            count * dim, bits
        ):
            raise BadRequest("%d bytes for %d positions of %d" % (size, count, dim))
        if request[LAYER] != self.first_layer or position + count > self._context:
            raise BadRequest(
                "position %d of a context of %d" % (position + count - 1, self._context)
            )
        cache = self.model.cache
        if not cache.select(u16(request, SEQUENCE_ID)):
            return False
        held = cache.positions[-1]
        if position > held:
            raise NeedKV(0, held)
        self.request[:] = memoryview(request)[: len(self.request)]
        unpack(request, STEP_DATA, residual.values, count * dim, bits)
        self.layer, self._phase = 0, _ATTENTION
        self._position, self._count = position, count
        self.collective.start(epoch, number)
        self._contribute()
        return True

    @micropython.native
    def advance(self):
        """Goes on as far as what has come allows; whether the step has come to its end."""
        while self._phase != _IDLE and self.collective.done:
            self._add_sums()
            if self._phase == _FEED_FORWARD:
                held = self.model.cache.positions
                held[self.layer] = max(held[self.layer], self._position + self._count)
                self.layer += 1
                self._phase = _ATTENTION
            else:
                self._phase = _FEED_FORWARD
            if self.layer == len(self.model.layers):
                self._phase = _IDLE
                return True
            self._contribute()
        return False

    @micropython.native
    def _contribute(self):
        """Computes this chip's partial sums of the phase that is due and sends them."""
        model, residual, count = self.model, self.residual, self._count
        layer = model.layers[self.layer]
        attends = self._phase == _ATTENTION
        part = model.attention if attends else model.feed_forward
        out = model.workspace.out
        if part is None:
            count = 0
        for i in range(count):
            if attends:
                at = 2 * ATTENTION_GAIN * residual.dim
                residual.normalize(i, layer.norms, at, layer.attention_norm)
                part.run(layer, self._position + i, out[i])
            else:
                at = 2 * FEED_FORWARD_GAIN * residual.dim
                residual.normalize(i, layer.norms, at, layer.feed_forward_norm)
                part.run(layer, out[i])
        self.collective.all_reduce(model.workspace.results, count * residual.dim)

    @micropython.native
    def _add_sums(self):
        """Adds the group's sum to the residual stream."""
        layer, residual = self.model.layers[self.layer], self.residual
        total, dim = self.collective.result, residual.dim
        if self._phase == _ATTENTION:
            at, shift = 2 * O_MULTIPLIERS * dim, layer.o_shift
        else:
            at, shift = 2 * DOWN_MULTIPLIERS * dim, layer.down_shift
        residual.add(self._count, total, layer.norms, at, shift)

    def has_answer(self):
        """Whether this chip has the host something to say of the step."""
        return self.request[STEP_WANTS] != WANTS_NOTHING and self.model.vocabulary is not None

    def write_answer(self, answer, boot_id):
        """Writes what the step's end asks for into the frame buffer `answer`, its type included:
        LOGITS, BEST or a mere ACK. The payload's length."""
        request, vocabulary = self.request, self.model.vocabulary
        begin_answer(request, answer, boot_id)
        if not self.has_answer():
            answer[TYPE] = ACK
            return ACK_SIZE
        weights = self._weights
        self.residual.normalize(self._count - 1, weights.final_gain, 0, weights.final_norm)
        vocabulary.run()
        if request[STEP_WANTS] == WANTS_LOGITS:
            answer[TYPE] = LOGITS
            return vocabulary.write(answer)
        best = self._best(vocabulary.logits, len(vocabulary.logits))
        put_u16(answer, BEST_TOKEN, vocabulary.first_row + best)
        put_u16(answer, BEST_LOGIT, vocabulary.logits[best])
        answer[TYPE] = BEST
        return BEST_END - HEADER_SIZE
