"""The message loop of a chip that is, alone or in a group, a stage of a pipeline.

Every message from stage to stage, from the host to the first and from the last to the host, is
acknowledged when the receiver begins to work on it, and sent again until it is. A stage begins a
STEP when what it made of the last one has been taken. So STEPs come in order, and a stage that is
slow holds up those before it.
"""

from firmware.combining_node import CombiningNode
from firmware.stage import Stage
from protocol.compat import const, ticks_diff, ticks_ms
from protocol.fields import u16
from protocol.frame import BROADCAST, HEADER_SIZE, HOST, SEQUENCE, SRC, write_header
from protocol.message_types import ACK, CONTRIBUTION, REPAIR, STEP
from protocol.messages import LAYER, STEP_DATA, STEP_NUMBER, begin_answer

_HALF = const(0x8000)  # numbers wrap: less than half the circle behind is older
_NONE = const(-1)
_HOST_ONLY = b"\xfe"
_ACK_SIZE = const(9)  # the request and the boot id

# Milliseconds without an acknowledgement after which a message is sent again: longer than a
# receiver is likely to need for the step before, which is about as long as this chip's own, but
# not where that took long because frames were lost. It grows by a quarter each time, as far as the
# longest.
_WAIT_STEPS = const(3)
_SHORTEST_WAIT = const(15)
_LONGEST_WAIT = const(120)
# After so long nobody is there any more; the host will have noticed.
_PATIENCE_MS = const(20000)


class StageNode(CombiningNode):
    """A node of a stage; what has nothing to do with STEPs is handled as in every node.

    STATISTICS tells how long it was at work: on steps, and on messages between them.
    """

    _kind_of_work = Stage

    def __init__(self, chip_id, link, boot_id, shard, share, kernels, signer=None):
        """As a CombiningNode's."""
        super().__init__(chip_id, link, boot_id, shard, share, kernels, signer)
        self._receivers = self._combined.next or _HOST_ONLY
        self._output = self._answer
        self._output_size = 0
        self._unheard = 0  # bit i: of the receivers, the i-th has not acknowledged it
        self._sent_at = self._resent_at = self._wait = 0
        self._pending = bytearray(HEADER_SIZE + shard.request_size)
        self._pending_length = 0
        self._number = _NONE  # of the step begun last
        self._began = self._polled = 0

    def poll(self):
        """As a CombiningNode's; begins what waited, and sends again what nobody has taken."""
        works = not self._combined.is_idle()
        began = self._polled if works else ticks_ms()
        came = super().poll()
        if self._pending_length and self._is_free():
            length, self._pending_length = self._pending_length, 0
            self._begin(self._pending, length)
            came = True
        elif self._unheard and not came:
            self._send_again()
        self._polled = ticks_ms()
        if came or works:
            # Of less than a millisecond too, for one in so many ends beyond the clock's tick.
            self._busy += ticks_diff(self._polled, began)
        return came

    def _is_free(self):
        return not self._unheard and self._combined.is_idle()

    def _enter(self, session_nonce):
        if session_nonce != self._session_nonce:
            self._unheard = self._pending_length = self._busy = 0
            self._number = _NONE
        super()._enter(session_nonce)

    def _on_work(self, kind, frame, length):
        if kind == STEP:
            self._on_step(frame, length)
        elif kind == ACK:
            self._on_acknowledgement(frame)
        elif kind == CONTRIBUTION or kind == REPAIR:
            self._on_contribution(frame, length)

    def _on_contribution(self, frame, length):
        if self._exchange.take(frame, length) and not self._combined.is_idle():
            self._go_on()

    def _on_step(self, frame, length):
        if length < STEP_DATA - HEADER_SIZE or frame[LAYER] != self._combined.first_layer:
            return
        behind = self._number - u16(frame, STEP_NUMBER) & 0xFFFF
        if self._number != _NONE and behind < _HALF:
            self._acknowledge(frame)
        elif self._is_free():
            self._begin(frame, length)
        elif length <= len(self._pending) - HEADER_SIZE:
            self._pending[: HEADER_SIZE + length] = memoryview(frame)[: HEADER_SIZE + length]
            self._pending_length = length

    def _acknowledge(self, frame):
        answer = self._control
        begin_answer(frame, answer, self._boot_id)
        dst, number = frame[SRC], u16(frame, STEP_NUMBER)
        write_header(answer, self._version, ACK, self._chip_id, dst, number, _ACK_SIZE)
        self._send(answer, _ACK_SIZE)

    def _begin(self, frame, length):
        self._number = u16(frame, STEP_NUMBER)
        self._acknowledge(frame)
        frame[SRC] = HOST  # who hears of what goes wrong
        self._began = ticks_ms()
        try:
            begun = self._combined.begin(frame, length)
        except Exception as error:
            self._send_failure(frame, error)
            return
        if begun:
            self._go_on()

    def _go_on(self):
        request = self._combined.request
        try:
            done = self._combined.advance(self._room)
        except Exception as error:
            self._combined.break_off()
            self._send_failure(request, error)
            return
        if done:
            self._sent_at = self._resent_at = now = ticks_ms()
            wait = _WAIT_STEPS * ticks_diff(now, self._began)
            self._wait = min(max(_SHORTEST_WAIT, wait), _LONGEST_WAIT)
            self._hand_over(*done)

    def _hand_over(self, kind, size, output):
        receivers = self._receivers
        dst = receivers[0] if len(receivers) == 1 else BROADCAST
        write_header(output, self._version, kind, self._chip_id, dst, self._number, size)
        self._output_size = size
        self._unheard = (1 << len(receivers)) - 1
        self._send(output, size)

    def _on_acknowledgement(self, frame):
        if self._unheard and u16(frame, SEQUENCE) == u16(self._output, SEQUENCE):
            receiver = self._receivers.find(frame[SRC : SRC + 1])
            if receiver >= 0:
                self._unheard &= ~(1 << receiver)

    def _send_again(self):
        now = ticks_ms()
        if ticks_diff(now, self._sent_at) > _PATIENCE_MS:
            self._unheard = 0
        elif ticks_diff(now, self._resent_at) >= self._wait:
            self._resent_at = now
            self._wait = min(self._wait + self._wait // 4, _LONGEST_WAIT)
            self._resent += 1
            self._send(self._output, self._output_size)
