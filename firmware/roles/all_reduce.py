"""The role of a chip in a group that adds up its partial sums by itself, without the host.

The host sends an embedded token (STEP); each chip of the group answers after the last layer.
"""

from firmware.compute.model import Model
from firmware.node import Role
from firmware.roles.step import Step
from protocol.collective import CONTRIBUTION_FIELDS, MAX_PIECES, Collective, MissingMember
from protocol.compat import const, micropython, ticks_diff, ticks_ms
from protocol.fields import same, u16
from protocol.fragment import LEAST_MTU
from protocol.frame import HEADER_SIZE, HOST, SEQUENCE, SRC, ProtocolError, write_header
from protocol.message_types import CONTRIBUTION, REPAIR, STEP
from protocol.messages import (
    MISSING,
    NEED_STEP,
    POSITION,
    REQUEST_SIZE,
    SEQUENCE_ID,
    STEP_NUMBER,
    is_answered,
)

# Milliseconds without a contribution after which missing members are reported to the host. Before
# that the host has looked for them by a handshake with all chips (STEP_HANDSHAKE_AFTER in
# host/cluster/silence.py). The more members there are, the longer the turns between requests.
_TIMEOUT_MS = const(6000)
_TIMEOUT_A_MEMBER_MS = const(300)
# Milliseconds between two requests of a chip for a STEP that it has not received: about as long as
# the STEP takes to arrive.
_ASK_AGAIN_MS = const(10)
# Milliseconds between two readings of the clock that count as waiting, at most: in the time beyond
# that this chip was stopped or computed, and could have received nothing.
_LONGEST_TICK_MS = const(50)


def make_role(outbox, weights, kernels):
    """Returns the role; kernels: the module firmware.compute.model_kernels."""
    from firmware.compute import norms

    return AllReduce(outbox, weights, kernels, norms)


class Group:
    """A chip's membership in a group that adds up partial sums: it sends contributions, asks for
    missing ones, and reports missing members. collective: the Collective."""

    def __init__(self, outbox, weights, capacity=0):
        """capacity: elements of the longest contribution, 0 for a partial sum of all positions."""
        layout = weights.layout
        members = layout["members"]
        self.outbox = outbox
        capacity, bits = capacity or layout["positions"] * layout["dim"], layout["bits"]
        room = outbox.max_payload
        # The host may tell chips on the radio that others take only short frames.
        least = outbox.room(LEAST_MTU) if hasattr(outbox.link, "radio") else room
        settings = (
            outbox.chip_id, members, capacity, bits, room, self._send_to_members,
            max(_TIMEOUT_MS, _TIMEOUT_A_MEMBER_MS * len(members)),
        )  # fmt: skip
        if capacity > (least - CONTRIBUTION_FIELDS) * 8 // bits * MAX_PIECES:
            from protocol.wide_collective import WideCollective

            self.collective = WideCollective(*settings, least)
        else:
            self.collective = Collective(*settings)
        radio = getattr(outbox.link, "radio", None)
        slot = radio and radio.settings and radio.settings.get("slot")
        if slot:
            from firmware.roles.turns import install

            install(outbox, self.collective, slot)
        self._ticked = ticks_ms()

    @micropython.native
    def tick(self, step):
        """Asks for missing contributions when it is time; step: the Step that waits for them."""
        now = ticks_ms()
        elapsed = min(ticks_diff(now, self._ticked), _LONGEST_TICK_MS)
        self._ticked = now
        try:
            self.collective.tick(elapsed)
        except MissingMember as missing:
            self._report_missing(step, missing.args)

    @micropython.native
    def _send_to_members(self, frame, kind, dst, number, length):
        outbox = self.outbox
        write_header(frame, outbox.version, kind, outbox.chip_id, dst, number, length)
        outbox.broadcast(frame, length)

    def _report_missing(self, step, chips):
        request, names = step.request, ", ".join([str(chip) for chip in chips])
        text = "nothing comes from chip%s %s" % ("s" if len(chips) > 1 else "", names)
        sequence, position = u16(request, SEQUENCE), u16(request, POSITION)
        self.outbox.send_error(request[SRC], sequence, MISSING, step.place[0], position, text)


class AllReduce(Role):
    """Handles STEPs of the host, and contributions of the group's other chips."""

    frequent = CONTRIBUTION

    def __init__(self, outbox, weights, kernels, norms, group=None, step=None):
        """kernels, norms: the modules model_kernels and norms of firmware/compute; group, step: to
        be used in place of a Group and a Step."""
        self.handlers = {
            STEP: self._on_step,
            CONTRIBUTION: self._on_contribution,
            REPAIR: self._on_contribution,
        }
        self.holdings = weights.holdings
        self.keep_sender = outbox.link.keep_sender
        self.outbox = outbox
        self._group = group or Group(outbox, weights)
        self._collective = collective = self._group.collective
        self.limit = collective.limit
        self.step = step or Step(Model(weights, kernels), weights, norms, collective)
        self.forget = self.step.forget
        self._asked = ticks_ms()

    @micropython.native
    def on_idle(self):
        """Asks for missing contributions when it is time."""
        self._group.tick(self.step)

    @micropython.native
    def _on_contribution(self, frame, length):
        collective = self._collective
        if collective.take(frame, length):
            if collective.done:
                self.proceed()
        elif self.step.is_idle() and collective.lags(frame):
            self._ask_for_step()

    def _ask_for_step(self):
        """Tells the host that the others are at a step that this chip has not received."""
        now = ticks_ms()
        if ticks_diff(now, self._asked) >= _ASK_AGAIN_MS:
            self._asked = now
            self.outbox.send_error(HOST, 0, NEED_STEP)

    def _on_step(self, frame, length):
        outbox, step = self.outbox, self.step
        outbox.link.keep_sender()
        if length < REQUEST_SIZE:
            raise ProtocolError("no request is named")
        if is_answered(frame, outbox.answer):
            outbox.resend_answer()
            return
        if self._is_under_way(frame):
            return
        try:
            begun = step.begin(frame, length, u16(frame, SEQUENCE_ID), u16(frame, STEP_NUMBER))
        except Exception as error:
            outbox.send_failure(frame, error)
            return
        if begun:
            self.proceed()

    def _is_under_way(self, frame):
        """Returns whether this STEP is a retransmission of the one being worked on."""
        request = self.step.request
        return (
            not self.step.is_idle()
            and frame[SRC] == request[SRC]
            and same(frame, SEQUENCE, request, SEQUENCE, 2)
            and same(frame, HEADER_SIZE, request, HEADER_SIZE, REQUEST_SIZE)
        )

    @micropython.native
    def proceed(self):
        """Goes on with the step as far as contributions allow, and answers it when it has
        ended."""
        outbox, step = self.outbox, self.step
        try:
            if not step.advance():
                return
            size = step.write_answer(outbox.clear_answer(), outbox.boot_id)
        except Exception as error:
            outbox.send_failure(step.request, error)
            return
        outbox.send_answer(size)
