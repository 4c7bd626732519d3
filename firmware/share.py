"""A chip's share of the model at work: requests in, partial sums and logits out."""

from array import array

from firmware.attention import Attention
from firmware.feedforward import FeedForward
from firmware.vocabulary import Vocabulary
from firmware.workspace import Workspace
from protocol.bitpack import bits_needed, pack
from protocol.compat import const, micropython
from protocol.fields import put_u16
from protocol.frame import HEADER_SIZE, TYPE
from protocol.kinds import LOGITS, PARTIAL
from protocol.layout import (
    COMPUTE_DATA,
    LOGITS_DATA,
    LOGITS_FIRST_ROW,
    LOGITS_SHIFT,
    PARTIAL_BITS,
    PARTIAL_DATA,
    PHASE_ATTENTION,
    PHASE_VOCABULARY,
    begun_compute,
)

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
        self.workspace = workspace = Workspace(layout)
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
        # Together, as in Attention.
        self._limits = layout["dim"], layout["positions"], len(shard.layers), layout["context"]
        self._request = array("i", [0] * 5), boot_id, self._load, workspace

    def forget(self):
        """Empties the KV cache: whatever sequence comes next is a new one."""
        self.sequence_id = -1

    @micropython.native
    def answer(self, request, length, answer):
        """Computes an opened COMPUTE frame of at least seven bytes of payload into the frame
        buffer `answer`: its type, payload, and what begin_answer writes.

        Returns the payload's length; 0 where there is nothing to say: the request is of an older
        sequence, or this chip has no part in its phase; -1 where the buffer holds the answer
        already. Raises BadRequest and NeedKV.
        """
        dim, positions, layers, context = self._limits
        fields, boot_id, load, workspace = self._request
        values = begun_compute(request, answer, length, boot_id, fields)
        if values == -2:
            return -1
        sequence_id, layer, phase = fields[0], fields[1], fields[2]
        position, count = fields[3], fields[4]
        end = position + count
        if values != count * dim or count > positions:
            raise BadRequest("%d values for %d positions of %d" % (values, count, dim))
        if layer >= layers or end > context:
            self._refuse_place(layer, end - 1)
        if sequence_id != self.sequence_id and not self.turned_to(sequence_id):
            return 0
        if phase == PHASE_VOCABULARY:
            return self._logits(request, count, answer)
        attends = phase == PHASE_ATTENTION
        run = self._attend if attends else self._feed_forward
        if run is None:
            return 0
        filled = self.filled
        if attends and position > filled[layer]:
            raise NeedKV(layer, filled[layer])
        weights = self._layers[layer]
        x, at = workspace.x, COMPUTE_DATA
        for i in range(count):
            load(request, 0, at, x, dim)
            if attends:
                run(weights, position + i, workspace.out[i])
            else:
                run(weights, workspace.out[i])
            at += 2 * dim
        if attends and end > filled[layer]:
            filled[layer] = end
        results = workspace.results
        answer[TYPE] = PARTIAL
        answer[PARTIAL_BITS] = bits = bits_needed(results, values)
        return PARTIAL_DATA - HEADER_SIZE + pack(answer, PARTIAL_DATA, results, values, bits)

    def _refuse_place(self, layer, position):
        raise BadRequest(
            "layer %d, position %d of a model of %d layers and a context of %d"
            % ((layer, position) + self._limits[2:])
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
        self._load(request, 0, COMPUTE_DATA, self.workspace.x, self._limits[0])
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
