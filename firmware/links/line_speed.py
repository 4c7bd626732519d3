"""Changes the speed of a chip's serial line when the host asks for it, and changes it back when
frames come malformed.

A LINE names bits per second; with 0 it is an echo only, by which the host verifies a change. It is
answered with its own payload, before the speed changes.
"""

from firmware.outbox import CONTROL_PAYLOAD
from protocol.compat import const, ticks_diff, ticks_ms
from protocol.fields import u16, u32
from protocol.frame import HEADER_SIZE, HOST, SEQUENCE, SRC
from protocol.message_types import LINE

_LEAST = const(9_600)  # bits per second that a UART has
_MOST = const(5_000_000)
# So many malformed frames within so many milliseconds mean that the host uses another speed: it
# has restarted, or found this one too fast.
_NOISE = const(6)
_WITHIN_MS = const(2000)


def install(node, line, baud):
    """Makes a node handle LINE; line: its UartLink; baud: its present bits per second."""
    outbox, uart = node.outbox, line.uart
    state = [baud, 0, 0]  # bits per second; malformed frames, and since when

    def change(speed):
        uart.flush()  # waits until what was written is sent
        uart.init(baudrate=speed)
        state[:] = speed, 0, 0

    def on_line(frame, length):
        if frame[SRC] != HOST or not 4 <= length <= CONTROL_PAYLOAD:
            return
        speed, end = u32(frame, HEADER_SIZE), HEADER_SIZE + length
        outbox.send_control(LINE, HOST, u16(frame, SEQUENCE), frame[HEADER_SIZE:end])
        if _LEAST <= speed <= _MOST and speed != state[0]:
            change(speed)

    def report():
        if state[0] == baud:
            return
        now = ticks_ms()
        if not state[1] or ticks_diff(now, state[2]) > _WITHIN_MS:
            state[1:] = 0, now
        state[1] += 1
        if state[1] == _NOISE:
            change(baud)

    node.role.handlers[LINE] = on_line
    line.report = report
