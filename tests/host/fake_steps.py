"""Fake chips that run STEPs as the reference does, in virtual time: stages, or replicas."""

from array import array
from dataclasses import dataclass

import numpy as np

from host.cluster.coordinator import Coordinator
from host.cluster.dispatcher import Dispatcher
from host.executors.all_reduce import AllReduceExecutor
from host.executors.pipeline import PipelineExecutor
from host.model.reference import Reference
from host.wire.payloads import encode_logits
from host.wire.session import HostAuthenticator
from protocol import message_types
from protocol.bitunpack import unpack
from protocol.frame import HEADER_SIZE
from protocol.messages import (
    NEED_KV,
    REQUEST_SIZE,
    SCORED_UNIT,
    STEP_BITS,
    STEP_DATA,
    WANTS_BEST,
    WANTS_MASK,
    WANTS_NOTHING,
    encode_error,
    read_rows,
)
from tests.host.fake_chips import FakeChip, FakeTransport
from tests.host.fake_coordinator import digests

LATENCY = 0.002  # seconds until an acknowledgement
STEP_SECONDS = 0.01  # from a STEP to its answer


@dataclass
class Request:
    """What a STEP asks for."""

    wants: int
    scored: int
    rows: list[tuple[int, int]]  # sequence id and position of each
    tokens: list[int]
    number: int  # of the first collective
    head: bytes  # which its answers repeat

    @property
    def position(self):
        return self.rows[0][1]


class Replica:
    """The whole model's caches, by slot, as all chips together hold them."""

    def __init__(self, model, plan):
        self.model, self.plan = model, plan
        self.nonce = None
        self.forget()

    def forget(self):
        self._caches = {}  # by slot: sequence id, reference, positions held

    def parse(self, payload):
        """The Request in a STEP; tokens by the rows of the embedding that it carries."""
        dim, count = self.model.config.dim, payload[6]
        residual = array("i", bytes(4 * dim * count))
        frame = bytearray(HEADER_SIZE) + bytearray(payload)
        places = array("i", bytes(8 * count))
        at = read_rows(frame, STEP_DATA, len(frame), places)
        data = bytes(frame[at:])
        unpack(data, 0, residual, dim * count, payload[STEP_BITS - HEADER_SIZE])
        rows = np.array(residual).reshape(count, dim)
        tokens = [int(np.abs(self.model.embedding - row).sum(axis=1).argmin()) for row in rows]
        number = payload[7] | payload[8] << 8
        head = bytes(payload[:REQUEST_SIZE])
        places = list(zip(places[::2], places[1::2], strict=True))
        scored = (payload[3] & 0x7F) // SCORED_UNIT + 1
        return Request(payload[3] & WANTS_MASK, scored, places, tokens, number, head)

    def run(self, request):
        """Logits [scored, vocab] after the last tokens; None where positions before them are not
        there."""
        logits = []
        for (sequence, position), token in zip(request.rows, request.tokens, strict=True):
            slot = sequence % self.plan.slots
            found, reference, held = self._caches.get(slot, (None, None, 0))
            if found != sequence:
                reference, held = Reference(self.model, context=self.plan.context), 0
            if position > held:
                return None
            reference.position = position
            self._caches[slot] = sequence, reference, max(held, position + 1)
            logits.append(reference.step([token])[0])
        return np.stack(logits[-request.scored :])

    def answer(self, request, logits, chip, boot_id):
        """The type and payload of a chip's answer."""
        head = request.head + boot_id.to_bytes(2, "little")
        rows = self.plan.shards[chip].rows
        if request.wants == WANTS_NOTHING or not rows:
            return message_types.ACK, head
        own = logits[:, rows.start : rows.stop]
        if request.wants == WANTS_BEST:
            found = [np.argsort(-each, kind="stable")[:2] for each in own]
            best = [[(rows.start + at, each[at]) for at in (places[0], places[-1])]
                    for each, places in zip(own, found, strict=True)]  # fmt: skip
            return message_types.BEST, head + np.array(best, "<i2").tobytes()
        named = encode_logits(0, 0, 0, 0, 1, boot_id, rows.start, 0, own.astype("<i2").tobytes())
        return message_types.LOGITS, request.head + named[REQUEST_SIZE:]


class StepChip(FakeChip):
    """A chip that has a session, and shows its shard's digest."""

    def __init__(self, chip, model, digest, key=b""):
        super().__init__(chip, key=key)
        self.model_hash, self.digest = model.sha256()[:8], digest

    def answers(self, message, frame, length):
        for delay, kind, payload in super().answers(message, frame, length):
            if kind == message_types.READY:  # boot id, state, nonce, model hash, digest
                payload = payload[:19] + self.digest + payload[27:]
            yield delay, kind, payload


class _Cluster:
    """Fake chips, and a coordinator and executor for them."""

    def __init__(self, model, plan, clock, executor, *, key=b"", watch=lambda: None, **options):
        self.plan, self.clock = plan, clock
        digest = digests(plan)
        self.chips = [StepChip(chip, model, digest[chip], key) for chip in range(plan.chips)]
        self.transport = FakeTransport(self.chips, clock)
        self.signer = HostAuthenticator(key) if key else None
        self.dispatcher = Dispatcher(self.transport, range(plan.chips), self.signer)
        self.coordinator = Coordinator(self.dispatcher, watch=watch, clock=clock, **options)
        self.executor = executor(model, plan, self.coordinator, digest)

    def say(self, chip, kind, payload, sequence, delay=0.0):
        """Sends the host a message of a chip."""
        for frame in self.chips[chip].says(kind, payload, sequence):
            self.transport.arrive(frame, delay)


class FakePipeline(_Cluster):
    """Stages that acknowledge STEPs at the first one and answer from the last.

    script: called with (this, number of the STEP, how many came before it); what it returns
    happens to the STEP: None, "lost" before it is acknowledged, "silent" after it, or the
    code of an ERROR of the last chip. latency: seconds until a STEP is acknowledged.
    """

    latency = LATENCY

    def __init__(self, model, plan, clock, script=lambda *_: None, **options):
        super().__init__(model, plan, clock, PipelineExecutor, **options)
        self.script = script
        self.came = 0
        self.acknowledged = set()  # numbers of answers
        self._replica = Replica(model, plan)
        self._begun = set()  # by chip of the first stage and number
        self._done = set()
        for chip in self.chips:
            chip.on_compute = self._handler(chip)
            chip.answers = self._session(chip, chip.answers)

    def _session(self, chip, answers):
        def with_session(message, frame, length):
            nonce = bytes(message.payload[:16])
            if message.kind == message_types.DISCOVERY and nonce != self._replica.nonce:
                self._replica.nonce = nonce
                self._replica.forget()
            if message.kind == message_types.ACK:
                self.acknowledged.add(message.sequence)
            return answers(message, frame, length)

        return with_session

    def _handler(self, chip):
        def on_step(message):
            if chip.chip not in self.plan.stages[0].chips:
                return
            what = None
            if chip.chip == 0:
                what, self.came = self.script(self, message.sequence, self.came), self.came + 1
            if what == "lost":
                return
            ack = bytes(message.payload[:REQUEST_SIZE]) + b"\0\0"
            yield self.latency, message_types.ACK, ack
            if chip.chip == 0 and message.sequence not in self._done and what != "silent":
                self._done.add(message.sequence)
                self._finish(message, what)

        return on_step

    def _finish(self, message, code):
        request = self._replica.parse(message.payload)
        logits = self._replica.run(request)
        last = self.plan.stages[-1].chips
        if code is None and logits is None:
            code = NEED_KV
        if code is not None:
            error = encode_error(code, 0, request.position, "what it says")
            self.say(last[-1], message_types.ERROR, error, message.sequence, STEP_SECONDS)
        elif request.wants != WANTS_NOTHING:
            for chip in last:
                answer = self._replica.answer(request, logits, chip, self.chips[chip].boot_id)
                self.say(chip, *answer, message.sequence, STEP_SECONDS)


class FakeReplicas(_Cluster):
    """Chips that each hold the residual stream, and answer every STEP.

    script: called with (this, chip, Request) before a chip runs one.
    """

    def __init__(self, model, plan, clock, script=lambda *_: None, **options):
        super().__init__(model, plan, clock, AllReduceExecutor, **options)
        self.script = script
        self._replicas = [Replica(model, plan) for _ in self.chips]
        for chip in self.chips:
            chip.on_compute = self._handler(chip)

    def restart(self, chip):
        """Power off and on."""
        self.chips[chip].restart()
        self._replicas[chip].forget()

    def _handler(self, chip):
        def on_step(message):
            request = self._replicas[chip.chip].parse(message.payload)
            self.script(self, chip.chip, request)
            logits = self._replicas[chip.chip].run(request)
            if logits is None:
                error = encode_error(NEED_KV, 0, request.position, "")
                yield LATENCY, message_types.ERROR, error
            else:
                replica = self._replicas[chip.chip]
                yield STEP_SECONDS, *replica.answer(request, logits, chip.chip, chip.boot_id)

        return on_step
