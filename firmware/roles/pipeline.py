"""The role of a chip that is a stage of a pipeline, alone or in a group: it has some whole layers,
and takes several sequences in turn.

The output of a stage is the next stage's STEP; that of the last one is the answer to the host.
Every message between stages, from the host to the first one and from the last one to the host, is
acknowledged when its receiver begins to work on it, and sent again until then. A stage works on a
STEP while its output of the STEP before is not acknowledged yet, and hands over the next output
only afterwards. So STEPs stay in order, and a slow stage holds up those before it.
"""

from firmware.compute.model import Model
from firmware.node import Role
from firmware.outbox import BadRequest
from firmware.roles.all_reduce import Group
from firmware.roles.handover import (
    BEGUN,
    HANDED,
    MADE_MS,
    NONE,
    PENDING,
    TAKEN,
    Handover,
)
from firmware.roles.step import IDLE, PLACE_PHASE, Step
from protocol.bitpack import bits_needed, pack
from protocol.compat import const, ticks_diff, ticks_ms
from protocol.fields import put_u16, u16
from protocol.frame import HEADER_SIZE, HOST, SRC, TYPE, write_header
from protocol.message_types import ACK, CONTRIBUTION, REPAIR, STEP
from protocol.messages import (
    ACK_SIZE,
    COUNT,
    LAYER,
    SEVERAL_RUNS,
    STEP_BITS,
    STEP_DATA,
    STEP_NUMBER,
    STEP_WANTS,
    begin_answer,
)

_HALF = const(0x8000)  # numbers wrap: one less than half the circle behind is older
_HOST_ALONE = b"\xfe"


def make_role(outbox, weights, kernels):
    """Returns the role; kernels: the module firmware.compute.model_kernels."""
    from firmware.compute import norms

    return Pipeline(outbox, weights, kernels, norms)


class BusyTime:
    """Measures the milliseconds that a stage is at work: on steps, and on messages between
    them. began: when the step began that was begun last, of the clock in milliseconds."""

    def __init__(self):
        self.ms = self.began = self._polled = 0

    def timed(self, poll, step, handover):
        """Returns a `poll` that measures its time, and notes when machine code has begun a step or
        handed over its output; step: the Step, which may be under way; handover: the Handover."""
        busy, place = self, step.place

        def timed_poll():
            works = place[PLACE_PHASE] != IDLE
            began = busy._polled if works else ticks_ms()
            came = poll()
            busy._polled = ticks_ms()
            if came or works:
                busy.note(began, handover)
            return came

        return timed_poll

    def note(self, began, handover):
        """Takes in that the stage has worked since `began`, in milliseconds."""
        now, state = self._polled, handover.state
        # Shorter turns count on average: some of them end after a tick of the clock.
        self.ms += ticks_diff(now, began)
        if state[BEGUN]:
            state[BEGUN] = 0
            self.began = began
        if state[HANDED]:
            state[HANDED] = 0
            handover.note(now, ticks_diff(now, self.began))


class Pipeline(Role):
    """Takes STEPs of the stage before, or of the host, and hands over their output."""

    frequent = CONTRIBUTION

    def __init__(self, outbox, weights, kernels, norms):
        """kernels, norms: the modules model_kernels and norms of firmware/compute."""
        layout = weights.layout
        self.handlers = {
            STEP: self._on_step,
            ACK: self._on_acknowledgement,
            CONTRIBUTION: self._on_contribution,
            REPAIR: self._on_contribution,
        }
        self.holdings = weights.holdings
        self.keep_sender = outbox.link.keep_sender
        self.outbox = outbox
        self._group = Group(outbox, weights)
        self.limit = self._group.collective.limit
        self.step = Step(Model(weights, kernels), weights, norms, self._group.collective)
        self.handover = Handover(outbox, layout["next"] or _HOST_ALONE)
        self.busy = BusyTime()
        # In a group, only the first chip hands over the output, which all have.
        self.is_first = layout["members"][0] == layout["chip"]
        self._pending = bytearray(HEADER_SIZE + weights.request_size)
        self._state = self.handover.state
        if hasattr(outbox.link, "install"):
            outbox.link.install(self._group.collective)

    @property
    def busy_ms(self):
        """The milliseconds at work since the session began."""
        return self.busy.ms

    def timed(self, poll):
        """Returns the node's `poll`, timed."""
        return self.busy.timed(poll, self.step, self.handover)

    def forget(self):
        """Drops the steps of the last session."""
        self.handover.forget()
        self.step.forget()
        self.busy.ms = 0

    def on_idle(self):
        """Asks for missing contributions, and sends the output again if its timeout has passed."""
        self._group.tick(self.step)
        if self.handover.is_pending():
            self.handover.retransmit()
        self._hand_over()
        self._begin_pending()

    def _is_free(self):
        return self.step.is_idle() and self._state[MADE_MS] == NONE

    def _on_contribution(self, frame, length):
        if self._group.collective.take(frame, length) and not self.step.is_idle():
            self.proceed()

    def proceed(self):
        """Goes on with the step as far as contributions allow, and begins the one that waits."""
        self._advance()
        self._begin_pending()

    def _on_acknowledgement(self, frame, length):
        self.handover.on_acknowledgement(frame)
        self._hand_over()
        self._begin_pending()

    def _on_step(self, frame, length):
        if length < STEP_DATA - HEADER_SIZE or frame[LAYER] != self.step.first_layer:
            return
        taken = self._state[TAKEN]
        behind = taken - u16(frame, STEP_NUMBER) & 0xFFFF
        if taken != NONE and behind < _HALF:
            self._acknowledge(frame)
        elif self._is_free():
            self._begin(frame, length)
        elif length <= len(self._pending) - HEADER_SIZE:
            self._pending[: HEADER_SIZE + length] = memoryview(frame)[: HEADER_SIZE + length]
            self._state[PENDING] = length

    def _begin_pending(self):
        """Begins the STEP that waits, if no other is under way."""
        length = self._state[PENDING]
        if length and self._is_free():
            self._state[PENDING] = 0
            self._begin(self._pending, length)

    def _acknowledge(self, frame):
        outbox = self.outbox
        answer, dst = outbox.control, frame[SRC]
        begin_answer(frame, answer, outbox.boot_id)
        number = u16(frame, STEP_NUMBER)
        write_header(answer, outbox.version, ACK, outbox.chip_id, dst, number, ACK_SIZE)
        if dst == HOST:
            outbox.send(answer, ACK_SIZE)
        else:
            outbox.broadcast(answer, ACK_SIZE)

    def _begin(self, frame, length):
        self._state[TAKEN] = number = u16(frame, STEP_NUMBER)
        self._acknowledge(frame)
        frame[SRC] = HOST  # errors go to the host
        self.busy.began = ticks_ms()
        # STEPs are numbered through all sequences, and so are their collectives.
        first = number * 2 * len(self.step.model.layers) & 0xFFFF
        try:
            if frame[STEP_WANTS] & SEVERAL_RUNS:
                raise BadRequest("stages take one sequence after another")
            begun = self.step.begin(frame, length, 0, first)
        except Exception as error:
            self.outbox.send_failure(frame, error)
            return
        if begun:
            self._advance()

    def _advance(self):
        step = self.step
        try:
            if not step.advance():
                return
        except Exception as error:
            step.abort()
            self.outbox.send_failure(step.request, error)
            return
        self._state[MADE_MS] = ticks_diff(ticks_ms(), self.busy.began)
        self._hand_over()

    def _hand_over(self):
        """Hands over what was made, if that of the step before has been taken."""
        state = self._state
        made_ms = state[MADE_MS]
        if made_ms == NONE or self.handover.is_pending():
            return
        state[MADE_MS] = NONE
        outbox, began = self.outbox, ticks_ms()
        try:
            size = self._write_output()
        except Exception as error:
            outbox.send_failure(self.step.request, error)
            return
        if size:
            step_ms = made_ms + ticks_diff(ticks_ms(), began)
            self.handover.send(outbox.answer[TYPE], size, state[TAKEN], step_ms)

    def _write_output(self):
        """Writes the step's output, with its type, into the outbox's answer.

        Returns the payload's length, 0 if this chip has nothing to hand over.
        """
        outbox, step = self.outbox, self.step
        if self.handover.to_host:
            if not step.has_answer():
                return 0
            return step.write_answer(outbox.clear_answer(), outbox.boot_id)
        if not self.is_first:
            return 0
        output, request, values = outbox.clear_answer(), step.request, step.residual.values
        begin_answer(request, output, 0)
        output[TYPE] = STEP
        output[LAYER] = step.first_layer + len(step.model.layers)
        put_u16(output, STEP_NUMBER, self._state[TAKEN])
        count = request[COUNT] * step.residual.dim
        output[STEP_BITS] = bits = bits_needed(values, count)
        return STEP_DATA - HEADER_SIZE + pack(output, STEP_DATA, values, count, bits)
