"""A chip's share of the model at work: requests in, partial sums and logits out."""

from array import array

from firmware.attention import Attention
from firmware.feedforward import FeedForward
from firmware.vocabulary import Vocabulary
from protocol.bitpack import bits_needed, pack
from protocol.compat import const, micropython, ptr8, ptr32
from protocol.fields import put_u16
from protocol.frame import HEADER_SIZE, TYPE
from protocol.message_types import LOGITS
from protocol.messages import (
    COMPUTE_DATA,
    LOGITS_DATA,
    LOGITS_FIRST_ROW,
    LOGITS_SHIFT,
    begun_compute,
)

# Other modules' constants, which would be looked up each time: in their order PARTIAL,
# PHASE_ATTENTION, PHASE_VOCABULARY, TYPE, HEADER_SIZE, COMPUTE_DATA, PARTIAL_BITS, PARTIAL_DATA.
_PARTIAL = const(0x13)
_ATTENTION = const(0)
_VOCABULARY = const(2)
_TYPE = const(1)
_HEADER = const(8)
_REQUEST_DATA = const(15)
_ANSWER_BITS = const(17)
_ANSWER_DATA = const(18)
_HALF = const(0x8000)  # sequence ids wrap: less than half the circle behind is older


class BadRequest(Exception):
    """A request that contradicts this chip's shard."""


class NeedKV(Exception):
    """A position beyond what the KV cache holds of this sequence; args: layer, positions held."""


class Share:
    """Computes requests with one chip's weights and keeps its KV cache in order.

    The cache belongs to one sequence id at a time. A newer id empties it; older ones are refused.
    filled: positions in each layer's KV cache; sequence_id: whose, -1 for nobody's.
    """

    def __init__(self, shard, kernels, boot_id):
        layout = shard.layout
        self._kernels = kernels
        self.workspace = workspace = shard.workspace
        self._layers = shard.layers
        self._load = kernels.load_int16s
        self.attention = Attention(shard, workspace, kernels) if layout["heads"] else None
        self.feed_forward = FeedForward(shard, workspace, kernels) if layout["units"] else None
        self.vocabulary = Vocabulary(shard, workspace, kernels) if layout["rows"] else None
        # Bound once, not at each request.
        self._attend = self.attention.run if self.attention else None
        self._feed_forward = self.feed_forward.run if self.feed_forward else None
        self.filled = [0] * len(shard.layers)
        self.sequence_id = -1
        self._dim = layout["dim"]
        self._context = layout["context"]
        # Together, as in Attention.
        self._request = (
            array("i", [0] * 5), boot_id, self._load, workspace.x, workspace.out,
            workspace.results, self._dim, self._context,
        )  # fmt: skip

    def forget(self):
        """Empties the KV cache: whatever sequence comes next is a new one."""
        self.sequence_id = -1

    @micropython.viper
    def answer(self, request, length: int, answer) -> int:
        """Computes an opened COMPUTE frame of at least seven bytes of payload into the frame
        buffer `answer`: its type, payload, and what begin_answer writes.

        Returns the payload's length; 0 where there is nothing to say: the request is of an older
        sequence, or this chip has no part in its phase; -1 where the buffer holds the answer
        already. Raises BadRequest and NeedKV.
        """
        fields_of, boot_id, load, x, out, results, dims, places = self._request
        values = int(begun_compute(request, answer, length, boot_id, fields_of))
        if values == -2:
            return -1
        if values < 0:
            raise BadRequest("no positions, an unknown phase, or half a value")
        fields = ptr32(fields_of)
        dim = int(dims)
        position = fields[3]
        count = fields[4]
        end = position + count
        if values != count * dim or count > int(len(out)):
            raise BadRequest("%d values for %d positions of %d" % (values, count, dim))
        layer = fields[1]
        filled = self.filled
        if layer >= int(len(filled)) or end > int(places):
            self._refuse_place(layer, end - 1)
        if fields[0] != int(self.sequence_id) and not self.turned_to(fields[0]):
            return 0
        if fields[2] == _VOCABULARY:
            return int(self._logits(request, count, answer))
        attends = fields[2] == _ATTENTION
        run = self._attend if attends else self._feed_forward
        if not run:
            return 0
        held = int(filled[layer])
        if attends and position > held:
            raise NeedKV(layer, held)
        weights = self._layers[layer]
        at = _REQUEST_DATA
        i = 0
        while i < count:
            load(request, 0, at, x, dim)
            if attends:
                run(weights, position + i, out[i])
            else:
                run(weights, out[i])
            at += 2 * dim
            i += 1
        if attends and end > held:
            filled[layer] = end
        bits = int(bits_needed(results, values))
        ptr8(answer)[_TYPE] = _PARTIAL
        ptr8(answer)[_ANSWER_BITS] = bits
        size = int(pack(answer, _ANSWER_DATA, results, values, bits))
        return _ANSWER_DATA - _HEADER + size

    def _refuse_place(self, layer, position):
        raise BadRequest(
            "layer %d, position %d of a model of %d layers and a context of %d"
            % (layer, position, len(self._layers), self._context)
        )

    def turned_to(self, sequence_id):
        """Whether this is the current sequence, after turning to it if it is newer: then no
        position is filled."""
        if sequence_id != self.sequence_id:
            if self.sequence_id >= 0 and (self.sequence_id - sequence_id) & 0xFFFF < _HALF:
                return False
            self.sequence_id = sequence_id
            for layer in range(len(self.filled)):
                self.filled[layer] = 0
        return True

    def _logits(self, request, count, answer):
        vocabulary = self.vocabulary
        if vocabulary is None:
            return 0
        if count != 1:
            raise BadRequest("logits of %d positions: one at a time" % count)
        self._load(request, 0, COMPUTE_DATA, self.workspace.x, self._dim)
        vocabulary.run()
        answer[TYPE] = LOGITS
        return self.stored_logits(answer)

    def stored_logits(self, answer):
        """Writes what the vocabulary has computed into LOGITS; the payload's length."""
        vocabulary = self.vocabulary
        put_u16(answer, LOGITS_FIRST_ROW, vocabulary.first_row)
        answer[LOGITS_SHIFT] = vocabulary.exponent
        rows = len(vocabulary.logits)
        self._kernels.store_int16s(vocabulary.logits, 0, LOGITS_DATA, answer, rows)
        return LOGITS_DATA - HEADER_SIZE + 2 * rows
