"""Sends a message again until each of its receivers has acknowledged it."""

from array import array

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

# Words of a stage's state, which machine code reads and writes too (firmware/compute/
# exchange_stage.py). Bit i of MISSING: the i-th receiver has not acknowledged the last message.
MISSING = const(0)
NUMBER = const(1)  # the sequence that its acknowledgements repeat
SIZE = const(2)  # bytes of its payload
HANDED = const(3)  # machine code has sent it, and its time is not noted yet
TAKEN = const(4)  # the number of the STEP begun last, NONE before the first
# Milliseconds that the finished step took whose output waits until the last one is acknowledged;
# NONE if none waits.
MADE_MS = const(5)
PENDING = const(6)  # bytes of the STEP that waits until another ends, 0 for none
BEGUN = const(7)  # machine code has begun a STEP, and its time is not noted yet
NONE = const(-1)
STATE_WORDS = const(8)


class Handover:
    """Hands the output of a stage to its receivers, one message at a time.

    to_host: whether the host is the receiver; wait: the shortest timeout in milliseconds; state:
    int32 words, those above; receivers: bytes, the ids of the chips or of the host.
    """

    def __init__(self, outbox, receivers):
        """receivers: bytes, the ids of the next stage's chips, or that of the host."""
        self.outbox = outbox
        self.receivers = receivers
        self.to_host = receivers[0] == HOST
        self.state = array("i", [0] * STATE_WORDS)
        self.forget()
        self._sent_at = self._resent_at = self._timeout = 0
        self.wait = max(SHORTEST_TIMEOUT_MS, getattr(outbox.link, "timeout", 0))

    def limit(self):
        """Returns the longest timeout in milliseconds."""
        return max(LONGEST_TIMEOUT_MS, 2 * self.wait)

    def is_pending(self):
        """Returns whether a receiver has not acknowledged the last message."""
        return self.state[MISSING] != 0

    def forget(self):
        """Forgets all STEPs, and stops sending the last message."""
        state = self.state
        state[MISSING] = state[PENDING] = state[HANDED] = state[BEGUN] = 0
        state[TAKEN] = state[MADE_MS] = NONE

    def receiver(self):
        """Returns whom messages are sent to."""
        receivers = self.receivers
        return receivers[0] if len(receivers) == 1 else BROADCAST

    def send(self, kind, size, number, step_ms):
        """Sends the outbox's answer, with `size` bytes of payload.

        kind: its message type; number: the sequence that its acknowledgements repeat; step_ms: the
        milliseconds that this chip took for the step.
        """
        self.note(ticks_ms(), step_ms)
        outbox, state = self.outbox, self.state
        dst = self.receiver()
        write_header(outbox.answer, outbox.version, kind, outbox.chip_id, dst, number, size)
        state[SIZE], state[NUMBER] = size, number
        state[MISSING] = (1 << len(self.receivers)) - 1
        self._transmit()

    def note(self, now, step_ms):
        """Takes in that a message is sent at `now`, in milliseconds; step_ms: as for `send`."""
        self._sent_at = self._resent_at = now
        timeout = TIMEOUT_STEPS * step_ms
        self._timeout = min(max(self.wait, timeout), self.limit())

    def on_acknowledgement(self, frame):
        """Handles a verified ACK."""
        state = self.state
        if state[MISSING] and u16(frame, SEQUENCE) == state[NUMBER]:
            receiver = self.receivers.find(frame[SRC : SRC + 1])
            if receiver >= 0:
                state[MISSING] &= ~(1 << receiver)

    def retransmit(self):
        """Sends the message again if its timeout has passed, or gives up after GIVE_UP_MS."""
        now = ticks_ms()
        if ticks_diff(now, self._sent_at) > GIVE_UP_MS:
            self.state[MISSING] = 0
        elif ticks_diff(now, self._resent_at) >= self._timeout:
            self._resent_at = now
            self._timeout = min(self._timeout + self._timeout // 4, self.limit())
            self.outbox.resent += 1
            self._transmit()

    def _transmit(self):
        outbox, size = self.outbox, self.state[SIZE]
        if self.to_host:
            outbox.send(outbox.answer, size)
        else:
            outbox.broadcast(outbox.answer, size)
