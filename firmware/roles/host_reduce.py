"""The role of a chip whose partial sums the host adds up: it answers COMPUTEs."""

from array import array

from firmware.compute.model import Model
from firmware.node import Role
from firmware.outbox import BadRequest, NeedKV
from protocol.bitpack import bits_needed, pack
from protocol.compat import const, micropython, ptr8, ptr32
from protocol.frame import HEADER_SIZE, TYPE, ProtocolError
from protocol.message_types import CANDIDATES, COMPUTE, LOGITS, PARTIAL
from protocol.messages import (
    CANDIDATE_SIZE,
    COMPUTE_DATA,
    LOGITS_DATA,
    PARTIAL_BITS,
    PARTIAL_DATA,
    PHASE,
    PHASE_ATTENTION,
    PHASE_VOCABULARY,
    REQUEST_SIZE,
    SEVERAL_RUNS,
    begin_compute,
    read_rows,
)

_TRAILER = const(12)  # bytes of the longest trailer, for which the frame needs room


def make_role(outbox, weights, kernels):
    """Returns the role; kernels: the module firmware.compute.model_kernels."""
    return HostReduce(outbox, weights, kernels)


class HostReduce(Role):
    """Computes partial sums and logits for the host."""

    frequent = COMPUTE

    def __init__(self, outbox, weights, kernels):
        """kernels: the module firmware.compute.model_kernels."""
        self.handlers = {COMPUTE: self._on_compute}
        self.holdings = weights.holdings
        self.model = model = Model(weights, kernels)
        self.forget = model.cache.forget
        self.outbox = outbox
        # A Several or, later, a Passes, where kernels take several positions at once.
        self.all = model.all
        # Bound once: a bound method is an allocation.
        self._attend = model.attention.run if model.attention else None
        self._feed_forward = model.feed_forward.run if model.feed_forward else None
        self._load = kernels.load_int16s
        self._dim, self._context = weights.layout["dim"], weights.layout["context"]
        workspace = weights.workspace
        self._rows = array("i", [0] * (2 * len(workspace.out)))
        # In one tuple: unpacking it takes no longer than looking up one attribute.
        self._request = (
            array("i", [0] * 6), outbox.boot_id, self._load, workspace.x, workspace.out,
            workspace.results, self._dim, self._context, model.cache, weights.layers,
        )  # fmt: skip

    @micropython.native  # for the reason given in firmware/outbox.py
    def _on_compute(self, frame, length):
        if length < REQUEST_SIZE:
            raise ProtocolError("no request is named")
        outbox = self.outbox
        try:
            size = self.answer(frame, length, outbox.answer)
        except Exception as error:
            outbox.send_failure(frame, error)
            return
        if size > 0:
            outbox.send_answer(size)
        elif size < 0:
            outbox.resend_answer()

    @micropython.viper
    def answer(self, request, length: int, answer) -> int:
        """Computes the answer to a verified COMPUTE frame of at least seven bytes of payload.

        The frame buffer `answer` gets its type, its payload, and what begin_answer writes. Returns
        the payload's length; 0 if there is nothing to answer, because the request is of an older
        sequence or this chip has no part in its phase; -1 if the buffer holds the answer already.
        Raises BadRequest and NeedKV.
        """
        # int(): viper takes other modules' constants for objects, unless the build inlined them.
        fields_of, boot_id, load, x, out, results, dims, places, cache, layers = self._request
        values = int(begin_compute(request, answer, length, boot_id, fields_of))
        if values == -2:
            return -1
        if values < 0:
            raise BadRequest("no positions, an unknown phase, or half a value")
        fields = ptr32(fields_of)
        several = ptr8(request)[int(PHASE)] & int(SEVERAL_RUNS)
        layer = fields[1]
        position = fields[3]
        count = fields[4]
        end = position + count
        dim = int(dims)
        if (values != count * dim or count > int(len(out)) or layer >= int(len(layers))
            or end > int(places) and not several):  # fmt: skip
            self._refuse(values, count, layer, end - 1)
        if fields[0] != int(cache.sequence_id) and not cache.select(fields[0]):
            return 0
        if fields[2] == int(PHASE_VOCABULARY):
            return int(self._logits(request, count, answer))
        attends = fields[2] == int(PHASE_ATTENTION)
        run = self._attend if attends else self._feed_forward
        if not run:
            return 0
        weights = layers[layer]
        at = fields[5]
        held = 0
        i = count if attends and several else 0
        if i and not self.attend(request, at, layer, count):
            return 0
        if attends and not several:
            held = int(cache.positions[layer])
            if position > held:
                raise NeedKV(layer, held)
            weights.select(cache.index)
        if count > 1 and self.all:
            i = int(self.all.run(i, attends, request, at, count, weights, position))
        while i < count:
            load(request, 0, at + 2 * dim * i, x, dim)
            if attends:
                run(weights, position + i, out[i])
            else:
                run(weights, out[i])
            i += 1
        if attends and end > held and not several:
            cache.positions[layer] = end
        bits = int(bits_needed(results, values))
        ptr8(answer)[int(TYPE)] = int(PARTIAL)
        ptr8(answer)[int(PARTIAL_BITS)] = bits
        size = int(pack(answer, PARTIAL_DATA, results, values, bits))
        return int(PARTIAL_DATA) - int(HEADER_SIZE) + size

    def _refuse(self, values, count, layer, position):
        """Raises BadRequest, naming what is wrong with a request's size, layer or position."""
        if values != count * self._dim or count > len(self.model.workspace.out):
            raise BadRequest("%d values for %d positions of %d" % (values, count, self._dim))
        raise BadRequest(
            "layer %d, position %d of a model of %d layers and a context of %d"
            % (layer, position, len(self.model.layers), self._context)
        )

    def attend(self, request, end, layer, count):
        """Computes attention of `count` positions of several sequences into workspace.out.

        end: the offset of the end of the request's runs. Returns False if one of the sequences is
        older than the one in its slot. Raises BadRequest and NeedKV.
        """
        model, rows = self.model, self._rows
        cache, weights, out = model.cache, model.layers[layer], model.workspace.out
        if read_rows(request, COMPUTE_DATA, end, rows) != end:
            raise BadRequest("its runs are malformed")
        for i in range(count):
            position = rows[2 * i + 1]
            if position >= self._context:
                self._refuse(count * self._dim, count, layer, position)
            if not cache.select(rows[2 * i]):
                return False
            held = cache.positions
            if position > held[layer]:
                raise NeedKV(layer, held[layer])
            weights.select(cache.index)
            self._load(request, 0, end + 2 * self._dim * i, model.workspace.x, self._dim)
            self._attend(weights, position, out[i])
            if position == held[layer]:
                held[layer] = position + 1
        return True

    def _logits(self, request, count, answer):
        vocabulary = self.model.vocabulary
        if vocabulary is None:
            return 0
        candidates = vocabulary.candidates
        size = CANDIDATE_SIZE * candidates.count if candidates else 2 * len(vocabulary.logits)
        if LOGITS_DATA + size * count + _TRAILER > len(answer):
            raise BadRequest("logits of %d positions are too many" % count)
        answer[TYPE] = CANDIDATES if candidates else LOGITS
        size = 0
        for i in range(count):
            at = COMPUTE_DATA + 2 * self._dim * i
            self._load(request, 0, at, self.model.workspace.x, self._dim)
            vocabulary.run()
            size = (candidates or vocabulary).write(answer, i)
        return size
