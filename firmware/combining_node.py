"""The message loop of a chip whose group adds up its partial sums by itself."""

from firmware.combined import Combined
from firmware.node import Node
from protocol.collective import Exchange, MissingMember
from protocol.compat import const, micropython, ticks_diff, ticks_ms
from protocol.fields import u16
from protocol.frame import DST, HOST, SEQUENCE, SRC, TYPE, write_header
from protocol.message_types import CONTRIBUTION, REPAIR, STEP
from protocol.messages import MISSING, NEED_STEP, POSITION

# Milliseconds without a contribution after which the host is told whose is missing: sooner than
# the host itself gives up. Of many members each is asked more seldom.
_PATIENCE_MS = const(2500)
_PATIENCE_A_MEMBER_MS = const(300)
# Milliseconds between two times that a chip says it knows nothing of a step: as long as the step
# takes to come.
_ASK_AGAIN_MS = const(10)


class CombiningNode(Node):
    """A Node of a group; what is not for a group's work is handled as in every node."""

    _kind_of_work = Combined

    def __init__(self, chip_id, link, boot_id, shard, share, kernels, signer=None):
        """kernels: the module firmware.residual; all else as a Node's."""
        super().__init__(chip_id, link, boot_id, shard, share, signer)
        layout = shard.layout
        capacity = layout["positions"] * layout["dim"]
        exchange = Exchange(
            chip_id,
            layout["members"],
            capacity,
            layout["bits"],
            link.mtu - self._overhead,
            self._send_to_members,
            max(_PATIENCE_MS, _PATIENCE_A_MEMBER_MS * len(layout["members"])),
        )
        self._exchange = exchange
        self._combined = self._kind_of_work(share, shard, kernels, exchange, boot_id)
        self._frequent, self._on_frequent = CONTRIBUTION, self._on_contribution
        self._ticked = self._asked = ticks_ms()

    @micropython.native
    def _on_silence(self):
        """Asks for what does not come."""
        now = ticks_ms()
        elapsed = ticks_diff(now, self._ticked)
        self._ticked = now
        try:
            self._exchange.tick(elapsed)
        except MissingMember as missing:
            self._send_missing(missing.args)

    def _on_work(self, kind, frame, length):
        if kind == STEP:
            self._on_step(frame, length)
        elif kind == CONTRIBUTION or kind == REPAIR:
            self._on_contribution(frame, length)

    @micropython.native
    def _on_contribution(self, frame, length):
        exchange = self._exchange
        if exchange.take(frame, length):
            if exchange.done:
                self._go_on()
        elif self._combined.is_idle() and exchange.is_behind(frame):
            self._ask_for_step()

    def _on_discovery(self, frame, length):
        self._link.keep_sender()
        super()._on_discovery(frame, length)

    def _enter(self, session_nonce):
        if session_nonce != self._session_nonce:
            self._combined.forget()
        super()._enter(session_nonce)

    def _ask_for_step(self):
        now = ticks_ms()
        if ticks_diff(now, self._asked) >= _ASK_AGAIN_MS:
            self._asked = now
            self._send_error(HOST, 0, NEED_STEP, 0, 0, "")

    def _on_step(self, frame, length):
        self._link.keep_sender()
        if self._is_settled(frame, length) or self._combined.is_at_work_on(frame):
            return
        try:
            begun = self._combined.begin(frame, length)
        except Exception as error:
            self._send_failure(frame, error)
            return
        if begun:
            self._go_on()

    @micropython.native
    def _go_on(self):
        request = self._combined.request
        try:
            done = self._combined.advance(self._room)
        except Exception as error:
            self._send_failure(request, error)
            return
        if done:
            kind, size, answer = done
            answer[TYPE] = kind
            self._send_answer(answer, size)

    @micropython.native
    def _send_to_members(self, frame, kind, dst, number, length):
        write_header(frame, self._version, kind, self._chip_id, dst, number, length)
        self._send(frame, length)

    @micropython.native
    def _put(self, frame, size):
        if frame[DST] == HOST:
            super()._put(frame, size)
            return
        self._link.broadcast(frame, size)
        self._sent += 1
        self._bytes_sent += size

    def _send_missing(self, chips):
        request, names = self._combined.request, ", ".join([str(chip) for chip in chips])
        text = "nothing comes from chip%s %s" % ("s" if len(chips) > 1 else "", names)
        layer, position = self._combined.layer, u16(request, POSITION)
        self._send_error(request[SRC], u16(request, SEQUENCE), MISSING, layer, position, text)
