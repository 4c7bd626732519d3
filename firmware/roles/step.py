"""Works on a STEP: takes some positions through the layers of a group of chips.

The chips of a group add up their partial sums among themselves (protocol/collective.py), and each
keeps a replica of the residual stream. The arithmetic is exact, so the replicas never differ.
"""

from array import array

from firmware.compute.residual import ResidualStream
from firmware.compute.weights import INT16_LIMIT
from firmware.outbox import BadRequest, NeedKV
from protocol.bitpack import packed_size
from protocol.bitunpack import unpack
from protocol.compat import const, micropython
from protocol.fields import put_u16
from protocol.frame import HEADER_SIZE, TYPE
from protocol.message_types import ACK, BEST, CANDIDATES, LOGITS
from protocol.messages import (
    ACK_SIZE,
    BEST_LOGIT,
    BEST_PLACE,
    BEST_SIZE,
    BEST_TOKEN,
    CANDIDATE_SIZE,
    COUNT,
    LAYER,
    LOGITS_DATA,
    REQUEST_SIZE,
    SCORED_UNIT,
    SEVERAL_RUNS,
    STEP_BITS,
    STEP_DATA,
    STEP_WANTS,
    WANTS_CANDIDATES,
    WANTS_LOGITS,
    WANTS_MASK,
    WANTS_NOTHING,
    begin_answer,
    read_rows,
)
from protocol.shard_layout import (
    ATTENTION_GAIN,
    DOWN_MULTIPLIERS,
    FEED_FORWARD_GAIN,
    O_MULTIPLIERS,
)

# Words of a step's place, which machine code reads too (firmware/compute/exchange.py); phases.
PLACE_LAYER = const(0)
PLACE_PHASE = const(1)
PLACE_COUNT = const(2)
IN_ATTENTION = const(0)
IN_FEED_FORWARD = const(1)
IDLE = const(2)
_TRAILER = const(12)  # bytes of the longest trailer, for which an answer needs room


class Step:
    """The STEP that is under way: one at a time.

    After `begin`, and whenever contributions are complete, `advance` goes on until the next are
    due. request: header and request fields of the current or last STEP frame; place: int32 words,
    the layer (counted within the group), the phase, and the number of positions; residual: the
    ResidualStream; collective: the Collective of the group.
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
        self._rows = array("i", [0] * (2 * self.residual.positions))
        self.place = array("i", [0, IDLE, 0])

    def is_idle(self):
        """Returns whether no step is under way."""
        return self.place[PLACE_PHASE] == IDLE

    def abort(self):
        """Ends the step that is under way, if any, without an answer."""
        self.place[PLACE_PHASE] = IDLE

    def forget(self):
        """Aborts any step, and forgets the KV cache and all contributions."""
        self.place[PLACE_PHASE] = IDLE
        self.collective.forget()
        self.model.cache.forget()

    def begin(self, request, length, epoch, number):
        """Begins the work on a verified STEP frame, and aborts any other step.

        length: of its payload; epoch, number: of its first collective. Returns False if the
        request is of an older sequence. Raises BadRequest and NeedKV.
        """
        residual, dim, rows = self.residual, self.residual.dim, self._rows
        count, bits = request[COUNT], request[STEP_BITS]
        at = -1
        if 1 <= bits <= 32 and 0 < count <= residual.positions:
            self.place[PLACE_PHASE] = IDLE  # the rows of any other step are overwritten
            at = read_rows(request, STEP_DATA, HEADER_SIZE + length, rows)
        size = HEADER_SIZE + length - at
        if at < 0 or size != packed_size(count * dim, bits):
            raise BadRequest("%d bytes for %d positions of %d" % (length, count, dim))
        if not self._has_caches(request, count):
            return False
        self.request[:] = memoryview(request)[: len(self.request)]
        unpack(request, at, residual.values, count * dim, bits)
        place = self.place
        place[PLACE_LAYER], place[PLACE_PHASE], place[PLACE_COUNT] = 0, IN_ATTENTION, count
        self.collective.start(epoch, number)
        self._contribute()
        return True

    def _has_caches(self, request, count):
        """Returns whether no row's sequence is older than the one in its slot.

        Raises BadRequest for a layer or position that does not exist, and NeedKV if positions
        before a row's are missing in the KV cache.
        """
        rows, cache = self._rows, self.model.cache
        for i in range(count):
            sequence_id, position = rows[2 * i], rows[2 * i + 1]
            if request[LAYER] != self.first_layer or position >= self._context:
                raise BadRequest("position %d of a context of %d" % (position, self._context))
            if not cache.select(sequence_id):
                return False
            held = cache.positions[-1]
            if position > held and not self._follows(i):
                raise NeedKV(0, held)
        return True

    def _follows(self, at):
        """Returns whether an earlier row has the position before that of row `at`."""
        rows = self._rows
        for i in range(at):
            if rows[2 * i] == rows[2 * at] and rows[2 * i + 1] + 1 == rows[2 * at + 1]:
                return True
        return False

    @micropython.native
    def advance(self):
        """Goes on as far as contributions allow; returns whether the step has ended."""
        place = self.place
        while place[PLACE_PHASE] != IDLE and self.collective.done:
            if not self._take_in():
                continue
            if place[PLACE_PHASE] == IN_FEED_FORWARD:
                self._note_held()
                place[PLACE_LAYER] += 1
                place[PLACE_PHASE] = IN_ATTENTION
            else:
                place[PLACE_PHASE] = IN_FEED_FORWARD
            if place[PLACE_LAYER] == len(self.model.layers):
                place[PLACE_PHASE] = IDLE
                return True
            self._contribute()
        return False

    @micropython.native
    def _note_held(self):
        """Records that the layer's KV cache has the step's positions."""
        rows, cache, layer = self._rows, self.model.cache, self.place[PLACE_LAYER]
        for i in range(self.place[PLACE_COUNT]):
            cache.select(rows[2 * i])
            if cache.positions[layer] == rows[2 * i + 1]:
                cache.positions[layer] += 1

    @micropython.native
    def _contribute(self):
        """Computes this chip's partial sums of the current phase, and sends them."""
        count = self.compute()
        self.collective.all_reduce(self.model.workspace.results, count * self.residual.dim)

    @micropython.native
    def compute(self):
        """Computes this chip's partial sums of the current phase; returns of how many positions,
        0 if it has no part in it."""
        model, residual, count = self.model, self.residual, self.place[PLACE_COUNT]
        layer = model.layers[self.place[PLACE_LAYER]]
        attends = self.place[PLACE_PHASE] == IN_ATTENTION
        part = model.attention if attends else model.feed_forward
        out = model.workspace.out
        rows, cache = self._rows, model.cache
        if part is None:
            count = 0
        several = count > 1 and model.all
        if several:
            several.normalize(residual, attends, layer, count)
            several.compute(attends, layer, rows, count)
        for i in range(0 if several else count):
            if attends:
                cache.select(rows[2 * i])
                layer.select(cache.index)
                at = 2 * ATTENTION_GAIN * residual.dim
                residual.normalize(i, layer.norms, at, layer.attention_norm)
                part.run(layer, rows[2 * i + 1], out[i])
            else:
                at = 2 * FEED_FORWARD_GAIN * residual.dim
                residual.normalize(i, layer.norms, at, layer.feed_forward_norm)
                part.run(layer, out[i])
        return count

    @micropython.native
    def _take_in(self):
        """Takes in the result of a collective; returns whether the phase has ended.

        Here that is the group's sum, which is added to the residual stream.
        """
        layer, residual = self.model.layers[self.place[PLACE_LAYER]], self.residual
        total, dim = self.collective.result, residual.dim
        if self.place[PLACE_PHASE] == IN_ATTENTION:
            at, shift = 2 * O_MULTIPLIERS * dim, layer.o_shift
        else:
            at, shift = 2 * DOWN_MULTIPLIERS * dim, layer.down_shift
        residual.add(self.place[PLACE_COUNT], total, layer.norms, at, shift)
        return True

    def has_answer(self):
        """Returns whether this chip has logits or tokens to send to the host."""
        wanted = self.request[STEP_WANTS] & WANTS_MASK
        return wanted != WANTS_NOTHING and self.model.vocabulary is not None

    def write_answer(self, answer, boot_id):
        """Writes the answer that the STEP asks for, with its type, into the frame buffer `answer`.

        It is LOGITS, CANDIDATES, BEST, or ACK if nothing is wanted of this chip. Returns the
        payload's length. Raises BadRequest if more positions are to be scored than there are, or
        than the answer has room for.
        """
        request, vocabulary = self.request, self.model.vocabulary
        begin_answer(request, answer, boot_id)
        if not self.has_answer():
            answer[TYPE] = ACK
            return ACK_SIZE
        weights, logits = self._weights, vocabulary.logits
        wants = request[STEP_WANTS] & WANTS_MASK
        written, size = vocabulary, 2 * len(logits)
        answer[TYPE] = LOGITS if wants == WANTS_LOGITS else BEST
        if wants == WANTS_CANDIDATES and vocabulary.candidates:
            written = vocabulary.candidates
            answer[TYPE], size = CANDIDATES, CANDIDATE_SIZE * written.count
        scored = (request[STEP_WANTS] & ~SEVERAL_RUNS) // SCORED_UNIT + 1
        size = LOGITS_DATA + size * scored + _TRAILER
        if scored > self.place[PLACE_COUNT] or (wants >= WANTS_LOGITS and size > len(answer)):
            raise BadRequest("%d positions of %d to be scored" % (scored, self.place[PLACE_COUNT]))
        size = 0
        for i in range(scored):
            at = self.place[PLACE_COUNT] - scored + i
            self.residual.normalize(at, weights.final_gain, 0, weights.final_norm)
            vocabulary.run()
            if wants >= WANTS_LOGITS:
                size = written.write(answer, i)
                continue
            for place in range(BEST_SIZE * i, BEST_SIZE * (i + 1), BEST_PLACE):
                best = self._best(logits, len(logits))
                put_u16(answer, BEST_TOKEN + place, vocabulary.first_row + best)
                put_u16(answer, BEST_LOGIT + place, logits[best])
                logits[best] = -INT16_LIMIT - 1  # below all others, to find the next best
            size = BEST_TOKEN - HEADER_SIZE + BEST_SIZE * (i + 1)
        return size
