"""A coordinator whose chips compute as the reference does, lose their caches and fall silent."""

import itertools
from array import array

import numpy as np

from host.cluster.request import NeedsCache, NeedsHandshake, Request
from host.model import arithmetic
from host.model.arithmetic import INT16_LIMIT
from host.model.reference import Reference
from host.wire.payloads import decode_compute, encode_logits, encode_partial
from host.wire.reports import Ready
from protocol.bitpack import bits_needed, pack, packed_size
from protocol.frame import MAX_FRAME
from protocol.message_types import COMPUTE
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, SEVERAL_RUNS

BOOTED = 100  # a chip's first boot id


class _Silent(Exception):
    """Some chips do not answer."""


def digests(plan):
    """Of no shard files, different for each chip."""
    return {shard.chip: shard.chip.to_bytes(8, "big") for shard in plan.shards}


class FakeCoordinator:
    """Takes the place of host.cluster.coordinator.Coordinator.

    script: called before each COMPUTE with (this, message, chips); what it changes is what happens
    to the chips. `asked` has (chips, layer, phase, position, count) of each COMPUTE.
    """

    needs_rekey = False
    session = b""
    may_rewind = False  # whether positions may be computed again with other tokens
    resends = 0

    def __init__(self, model, plan, script=lambda cluster, message, chips: None):
        self.model, self.plan, self.script = model, plan, script
        self.chips = [shard.chip for shard in plan.shards]
        self.boot_ids = {}
        self.model_hash = model.sha256()[:8]
        self.digests = digests(plan)
        self.asked, self.handshakes = [], []
        self._boots = dict.fromkeys(self.chips, BOOTED)
        self._filled = {}  # of a chip and sequence: positions in each layer's cache
        self._inputs = {}  # attention's, by sequence, layer and position
        self._references = {}  # by sequence
        self._random = np.random.default_rng(0)

    def restart(self, *chips):
        """Power off and on."""
        for chip in chips:
            self._boots[chip] += 1
            self._filled = {key: held for key, held in self._filled.items() if key[0] != chip}

    def fall_silent(self, *chips):
        """As a chip does that has lost the session of a cluster with a key."""
        self._silent = chips
        raise _Silent

    def handshake(self, chips, timeout=None, on_ready=lambda chip: None, where=""):
        self.handshakes.append((chips, where))
        ready = {}
        for chip in chips:
            self.boot_ids[chip] = self._boots[chip]
            on_ready(chip)
            shard = self.plan.shards[chip]
            numbers = len(shard.heads), len(shard.units), len(shard.rows), self.plan.context
            hashes = self.model_hash, self.digests[chip]
            ready[chip] = Ready(
                self._boots[chip], 1, bytes(8), *hashes, *numbers, 1, 1, 1, MAX_FRAME, "", "", ""
            )
        return ready

    def compute(self, payload, chips, where, timing, on_answer=lambda chip, payload: None):
        return self.resume(Request(COMPUTE, payload, chips, where, timing, 2.5, on_answer))

    def resume(self, request):
        on_answer = request.on_answer
        try:
            answers = self._answers(request.payload, request.chips)
        except _Silent:
            heard = [chip for chip in request.chips if chip not in self._silent]
            request.answers = dict.fromkeys(heard, b"")
            raise NeedsHandshake(request) from None
        for chip, answer in answers.items():
            on_answer(chip, answer)
        return answers

    def _answers(self, payload, chips):
        message = decode_compute(payload)
        self.asked.append((chips, *message[1:5]))
        self.script(self, message, chips)
        x = np.frombuffer(message.data, "<i2").reshape(message.count, -1).astype(np.int64)
        if message.phase & ~SEVERAL_RUNS == PHASE_ATTENTION:
            self._fill(message, x, chips)
        elif message.phase != PHASE_FEED_FORWARD:
            return self._logits(message, x)
        return self._partials(message, self._sums(message, x), chips)

    def _fill(self, message, x, chips):
        layer = message.layer
        for (sequence, position), row in zip(rows_of(message), x, strict=True):
            key = sequence, layer, position
            if not self.may_rewind:
                np.testing.assert_array_equal(row, self._inputs.setdefault(key, row))
        for chip in chips:
            for sequence, position in rows_of(message):
                none = [0] * self.model.config.layers
                filled = self._filled.setdefault((chip, sequence), none)
                if position > filled[layer]:
                    raise NeedsCache(chip)
                filled[layer] = max(filled[layer], position + 1)

    def _sums(self, message, x):
        if message.phase == PHASE_FEED_FORWARD:
            return Reference(self.model).feed_forward(message.layer, x)
        rows = []
        for index, (sequence, position) in enumerate(rows_of(message)):
            if sequence not in self._references:
                self._references[sequence] = Reference(self.model, context=self.plan.context)
            reference = self._references[sequence]
            reference.position = position
            rows.append(reference.attention(message.layer, x[index : index + 1]))
        return np.concatenate(rows)

    def _partials(self, message, sums, chips):
        """The sums as any division among chips might give them: at random."""
        sums = sums.reshape(-1)
        parts = self._random.integers(-(2**26), 2**26, (len(chips), sums.size))
        parts[-1] = sums - parts[:-1].sum(axis=0)
        answers = {}
        for chip, part in zip(chips, parts.tolist(), strict=True):
            values = array("i", part)
            bits = bits_needed(values, len(values))
            packed = bytearray(packed_size(len(values), bits))
            pack(packed, 0, values, len(values), bits)
            answers[chip] = encode_partial(*message[:5], self._boots[chip], bits, packed)
        return answers

    def _logits(self, message, x):
        classifier = self.model.classifier
        accumulator = arithmetic.matvec(classifier.weight, x)
        logits = arithmetic.saturate(
            arithmetic.rescale(accumulator, classifier.rescale), INT16_LIMIT
        )
        return {
            shard.chip: encode_logits(
                *message[:5],
                self._boots[shard.chip],
                shard.rows.start,
                self.model.logit_exponent,
                logits[:, shard.rows.start : shard.rows.stop].astype("<i2").tobytes(),
            )
            for shard in self.plan.shards
            if shard.rows
        }


def rows_of(message):
    """Sequence id and position of each row of a COMPUTE."""
    return [(run[0], run[1] + i) for run in message.runs for i in range(run[2])]


def at(call, action):
    """A script that does action(cluster) before the COMPUTE of this number, counted from 0."""
    number = itertools.count()

    def script(cluster, message, chips):
        if next(number) == call:
            action(cluster)

    return script
