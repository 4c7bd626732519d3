"""Sends a message again until each of its receivers has acknowledged it."""

from protocol.compat import const, ticks_diff, ticks_ms
from protocol.fields import u16
from protocol.frame import BROADCAST, HOST, SEQUENCE, SRC, write_header

# The timeout for acknowledgements: so many times the milliseconds that this chip took for its own
# step, since a receiver is likely to need as long for the step before; but within these bounds,
# because that step may have been slow through lost frames. It grows by a quarter each time.
# In a ring of slow lines it is never shorter than an acknowledgement may be on its way.
TIMEOUT_STEPS = const(3)
SHORTEST_TIMEOUT_MS = const(15)
LONGEST_TIMEOUT_MS = const(120)
# Milliseconds after which the receivers count as gone; the host will have noticed by then.
GIVE_UP_MS = const(20000)


class Handover:
    """Hands the output of a stage to its receivers, one message at a time.

    to_host: whether the host is the receiver; wait: the shortest timeout in milliseconds.
    """

    def __init__(self, outbox, receivers):
        """receivers: bytes, the ids of the next stage's chips, or that of the host."""
        self.outbox = outbox
        self._receivers = receivers
        self.to_host = receivers[0] == HOST
        self._size = self._number = 0
        self._missing = 0  # bit i: the i-th receiver has not acknowledged the message
        self._sent_at = self._resent_at = self._timeout = 0
        self.wait = max(SHORTEST_TIMEOUT_MS, getattr(outbox.link, "timeout", 0))

    def limit(self):
        """Returns the longest timeout in milliseconds."""
        return max(LONGEST_TIMEOUT_MS, 2 * self.wait)

    def is_pending(self):
        """Returns whether a receiver has not acknowledged the last message."""
        return self._missing != 0

    def forget(self):
        """Stops sending the last message."""
        self._missing = 0

    def send(self, kind, size, number, step_ms):
        """Sends the outbox's answer, with `size` bytes of payload.

        kind: its message type; number: the sequence that its acknowledgements repeat; step_ms: the
        milliseconds that this chip took for the step.
        """
        self._sent_at = self._resent_at = ticks_ms()
        timeout = TIMEOUT_STEPS * step_ms
        self._timeout = min(max(self.wait, timeout), self.limit())
        receivers, outbox = self._receivers, self.outbox
        dst = receivers[0] if len(receivers) == 1 else BROADCAST
        write_header(outbox.answer, outbox.version, kind, outbox.chip_id, dst, number, size)
        self._size, self._number = size, number
        self._missing = (1 << len(receivers)) - 1
        self._transmit()

    def on_acknowledgement(self, frame):
        """Handles a verified ACK."""
        if self._missing and u16(frame, SEQUENCE) == self._number:
            receiver = self._receivers.find(frame[SRC : SRC + 1])
            if receiver >= 0:
                self._missing &= ~(1 << receiver)

    def retransmit(self):
        """Sends the message again if its timeout has passed, or gives up after GIVE_UP_MS."""
        now = ticks_ms()
        if ticks_diff(now, self._sent_at) > GIVE_UP_MS:
            self._missing = 0
        elif ticks_diff(now, self._resent_at) >= self._timeout:
            self._resent_at = now
            self._timeout = min(self._timeout + self._timeout // 4, self.limit())
            self.outbox.resent += 1
            self._transmit()

    def _transmit(self):
        outbox = self.outbox
        if self.to_host:
            outbox.send(outbox.answer, self._size)
        else:
            outbox.broadcast(outbox.answer, self._size)
