# mypy: ignore-errors
"""Connects a simulated chip to the fake radio, by UDP datagrams to its hub (`hub.py`).

The environment says where: FEDERATION_HUB, the hub's port on 127.0.0.1; FEDERATION_MAC, the
chip's address as 12 hexadecimal digits; FEDERATION_MTU, 250 (default) or 1470; FEDERATION_CHIP,
the chip's name (esp32c6: no `rate`).

The datagrams' layout is described in hub.py. Those to a chip all have one size, so that
`readinto(buffer, size)` reads exactly one: asked for more, MicroPython would go on reading and
merge the next one into the same buffer.
"""

import os
import select
import socket
import time
from array import array

import _idle
from micropython import const

_FRAME = const(0)  # the first byte of a datagram
_FRAME_STATUS = const(1)
_JOIN = const(2)
_LEAVE = const(3)
_QUERY = const(4)

_SEND_HEADER = const(10)
_RECEIVE_HEADER = const(14)
_TO_CHIP_STATUS = const(1)
_QUERY_TIMEOUT_MS = const(1000)

# Indices of UdpAir._serials.
_SENT = const(0)  # of the last frame sent
_NEXT = const(1)  # of the next frame to be received


class UdpAir:
    """One station; see the docstring of espnow.py for what an air offers."""

    def __init__(self, port, mac, mtu, chip):
        self.mac = mac
        self.chip = chip
        self.channel = 1
        self.up = False
        self._joined = False
        self.macs = {}
        self.responses = 0
        self.failures = 0
        self.missed = 0  # frames that the kernel's buffer overflowed with, as rxbuf might have
        self.receiver = None
        self._out = bytearray(_SEND_HEADER + mtu)
        self._in = bytearray(_RECEIVE_HEADER + mtu)
        self._serials = array("H", (0, 0))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
        self._socket.setblocking(False)
        self._poller = select.poll()
        self._poller.register(self._socket, select.POLLIN)
        _idle.watch(self._socket, self)

    @property
    def mtu(self):
        """The longest frame in bytes."""
        return len(self._out) - _SEND_HEADER

    def join(self, channel):
        """Goes on the air, on this channel."""
        self.channel = channel
        self.up = True
        self._out[1] = channel
        # A new program may get the port of one that has ended: the hub must not go on with the
        # counts of that one.
        self._out[2] = 1 if self._joined else 0
        self._out[3] = self.mtu > 250  # which frames the hub is to pass on
        self._joined = True
        self._send(_JOIN, self.mac)

    def leave(self):
        """Goes off the air."""
        self.up = False
        self._send(_LEAVE, self.mac)

    def transmit(self, mac, message, length, wants_status):
        """Sends a frame; with wants_status the hub reports when all frames have been acknowledged
        or have failed."""
        out = self._out
        out[0] = _FRAME_STATUS if wants_status else _FRAME
        serial = self._serials[_SENT] = (self._serials[_SENT] + 1) & 0xFFFF
        out[2] = serial & 0xFF
        out[3] = serial >> 8
        out[4:10] = mac
        out[_SEND_HEADER : _SEND_HEADER + length] = message
        # One write is one datagram. The kernel's buffer is full only for a moment, if ever.
        while self._socket.write(out, _SEND_HEADER + length) is None:
            time.sleep_ms(1)

    def poll(self):
        """Takes in all that has arrived."""
        frame = self._in
        serials = self._serials
        while self._socket.readinto(frame, len(frame)):
            serial = frame[2] | frame[3] << 8
            if serial != serials[_NEXT]:
                self.missed += (serial - serials[_NEXT]) & 0xFFFF
            serials[_NEXT] = (serial + 1) & 0xFFFF
            if frame[0] == _TO_CHIP_STATUS:
                self.responses = int.from_bytes(frame[4:8], "little")
                self.failures = int.from_bytes(frame[8:12], "little")
            elif self.receiver is not None:
                if frame[12] not in self.macs:
                    self.macs[frame[12]] = bytes(frame[4:10])
                self.receiver.arrived(frame)

    def waiting(self):
        """Returns whether the program has something to receive."""
        if self.receiver is not None:
            return self.receiver.waiting()
        self.poll()
        return False

    def held(self):
        """Returns whether the program had left something to receive when it last looked."""
        return self.receiver is not None and self.receiver.held()

    def wait(self, timeout_ms):
        """Sleeps until a datagram arrives or the time is over; a negative time has no end."""
        self._poller.ipoll(timeout_ms)

    def query(self):
        """Brings `responses` and `failures` up to date."""
        before = self.responses
        self.responses = -1  # until the hub's answer is there
        self._send(_QUERY, self.mac)
        start = time.ticks_ms()
        while self.responses < 0 and self.elapsed_ms(start) < _QUERY_TIMEOUT_MS:
            self.wait(100)
            self.poll()
        if self.responses < 0:
            self.responses = before

    def ticks_ms(self):
        """Returns the time in milliseconds, which wraps."""
        return time.ticks_ms()

    def elapsed_ms(self, start):
        """Returns the milliseconds since `start`."""
        return time.ticks_diff(time.ticks_ms(), start)

    def _send(self, kind, mac):
        self._out[0] = kind
        self._out[4:10] = mac
        self._socket.write(self._out, _SEND_HEADER)


_process_air = None


def process_air():
    """Returns the air of this process, from its environment.

    Raises RuntimeError if that names no hub.
    """
    global _process_air
    if _process_air is None:
        port = os.getenv("FEDERATION_HUB")
        mac = os.getenv("FEDERATION_MAC")
        if not port or not mac:
            raise RuntimeError("no radio: FEDERATION_HUB and FEDERATION_MAC are not set")
        mtu = int(os.getenv("FEDERATION_MTU") or 250)
        chip = os.getenv("FEDERATION_CHIP") or "esp32"
        _process_air = UdpAir(int(port), bytes.fromhex(mac), mtu, chip)
    return _process_air
