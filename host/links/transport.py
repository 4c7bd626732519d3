"""Serial lines to the chips: sends, receives and relays frames, and counts them.

On UART every chip has a line of its own; on ESP-NOW all are reached through the gateway's, and in
a ring the host's line leads to the first chip and comes from the last.
"""

from __future__ import annotations

import select
import selectors
import termios

import serial

from host.errors import ClusterError
from host.links.rfc2217 import Port, open_url
from host.wire.framing import FrameSplitter, encode_frame
from protocol.frame import BROADCAST, DST, HOST, MAX_FRAME, SRC

_FLUSH_INTERVAL = 0.001  # seconds after which writing to a full port is tried again
_MOST_FILES = 1024  # the most that select, with which pyserial waits, supports (FD_SETSIZE)
# The most bytes that wait for a port: what 20 chips of a wide model send to all others at once.
# More would be late by the time that it is sent.
MOST_PENDING = 1 << 20
_WRITE_SIZE = 4096  # bytes offered to a port at once
# Bytes that contain no frame, read at the speed of the line or at a higher one.
_NOISE = b"\xff\x00" * 32
_READ_SIZE = 4096  # the most bytes read from a port at once


def open_port(url: str, baud: int) -> Port:
    """Opens the port at `url`: a device, or a URL of pyserial's, as socket:// or rfc2217://.

    Raises ClusterError if it does not open.
    """
    try:
        port = open_url(url, baud)
        descriptor = port.fileno()
    except (serial.SerialException, OSError, ValueError) as error:
        raise ClusterError(f"cannot open port {url}: {error}") from None
    if descriptor >= _MOST_FILES:
        port.close()
        raise ClusterError(
            f"cannot wait for so many ports ({_MOST_FILES} files are open): give fewer chips, or"
            " --link espnow"
        )
    return port


class Line:
    """COBS frames over one port. Writing never blocks: what the port does not take is pending.

    The pending bytes are limited: frames for which there is no room are lost, as any frame may be,
    and `dropped` counts them.
    """

    def __init__(self, port: Port) -> None:
        self.use(port)

    def use(self, port: Port) -> None:
        """Uses this port from now on; pending bytes and incomplete frames are lost."""
        self.port = port
        self.dropped = 0
        self._baud = getattr(port, "baudrate", 0)  # ports of tests may have none
        self._pending = bytearray()
        self._splitter = FrameSplitter(MAX_FRAME)
        self._writable = select.poll()
        self._writable.register(port.fileno(), select.POLLOUT)

    @property
    def pending(self) -> int:
        """The number of bytes that the port has not yet taken."""
        return len(self._pending)

    def clear(self) -> None:
        """Drops what is pending."""
        self._pending.clear()

    def send(self, frame: bytes) -> None:
        """Sends a frame; what the port does not take now is pending."""
        encoded = encode_frame(frame)
        if len(self._pending) + len(encoded) > MOST_PENDING:
            self.dropped += 1
        else:
            self._pending += encoded
        self.flush()

    def fall_back(self) -> None:
        """Sets the port back to the speed at which it was opened, if it has another one, and sends
        noise, by which the chip notices."""
        if getattr(self.port, "baudrate", 0) != self._baud:
            self.port.baudrate = self._baud
            self._pending += _NOISE
            self.flush()

    def flush(self) -> None:
        """Writes as many pending bytes as the port takes now."""
        while self._pending and self._writable.poll(0):
            del self._pending[: self.port.write(bytes(self._pending[:_WRITE_SIZE]))]

    def receive(self) -> list[bytes]:
        """Returns the frames that have come in; damaged ones are dropped."""
        frames: list[bytes] = self._splitter.frames(self.port.read(_READ_SIZE))
        return frames


class Transport:
    """The lines to all chips. `mtu`: the longest frame in bytes on the way to any of them.

    It relays what a chip sends to another, or to all others: with serial lines the host is the
    centre of a star, or a member of the ring. In a ring, a frame that no chip has taken goes
    around only once. Counts frames and bytes that were sent, received and relayed.
    """

    def __init__(self, lines: dict[int, Line], mtu: int = MAX_FRAME) -> None:
        """lines: the line of each chip; the same one for all behind a gateway."""
        self.mtu = mtu
        self.frames_sent = self.frames_received = 0
        self.bytes_sent = self.bytes_received = 0
        self.frames_relayed = self.bytes_relayed = 0
        self._lines = lines
        self._distinct = list(dict.fromkeys(lines.values()))
        self._selector = selectors.DefaultSelector()
        for line in self._distinct:
            self._selector.register(line.port.fileno(), selectors.EVENT_READ, line)

    def send(self, frame: bytes, destination: int) -> None:
        """Sends a frame to a chip, or to all. Raises ClusterError if a port is lost."""
        to_all = destination == BROADCAST
        lines = self._distinct if to_all else [self._lines[destination]]
        for line in lines:
            self._write(line, frame)
            self.frames_sent += 1
            self.bytes_sent += len(frame)

    def _write(self, line: Line, frame: bytes) -> None:
        try:
            line.send(frame)
        except (OSError, serial.SerialException) as error:
            self._lose(line, error)

    def receive(self, timeout: float) -> list[bytes]:
        """Returns the frames for the host that have arrived; waits at most `timeout` seconds for
        one.

        Raises ClusterError if a port is lost.
        """
        frames: list[bytes] = []
        for line in self._lines_to_flush():
            timeout = min(timeout, _FLUSH_INTERVAL)
            try:
                line.flush()
            except (OSError, serial.SerialException) as error:
                self._lose(line, error)
        for key, _ in self._selector.select(max(timeout, 0)):
            try:
                received = key.data.receive()
            except (OSError, serial.SerialException) as error:
                self._lose(key.data, error)
                continue
            frames += [frame for frame in received if not self._relay(key.data, frame)]
        self.frames_received += len(frames)
        self.bytes_received += sum(map(len, frames))
        return frames

    def _relay(self, source: Line, frame: bytes) -> bool:
        """Relays a frame that is for other chips to their lines; returns whether it was for
        them."""
        destination = frame[DST] if len(frame) > DST else HOST
        if destination == HOST:
            return False
        if frame[SRC] == HOST:
            return True
        if destination == BROADCAST:
            lines = [line for line in self._distinct if line is not source]
        else:
            lines = [self._lines[destination]] if destination in self._lines else []
        for line in lines:
            self._write(line, frame)
            self.frames_relayed += 1
            self.bytes_relayed += len(frame)
        return True

    def first_chips(self) -> list[int]:
        """Returns the first chip that is reached over each line."""
        return [self._first_chip(line) for line in self._distinct]

    def set_baud(self, chip: int, baud: int) -> None:
        """Sets the speed of the port of a chip's line, in bits per second.

        Raises ClusterError if the port does not support it.
        """
        port = self._lines[chip].port
        try:
            port.baudrate = baud
        except (OSError, ValueError, serial.SerialException, termios.error) as error:
            raise ClusterError(
                f"the port of chip {chip} does not support {baud} baud: {error}"
            ) from None

    def fall_back(self, chip: int) -> None:
        """Sets a chip's line back to the speed at which it was opened, as Line.fall_back does: for
        a chip that has restarted, or that the host cannot understand."""
        line = self._lines[chip]
        try:
            line.fall_back()
        except (OSError, serial.SerialException) as error:
            self._lose(line, error)

    def is_sending(self, chip: int) -> bool:
        """Returns whether a port has not yet taken all that was sent to this chip."""
        return self._lines[chip].pending > 0

    def close(self) -> None:
        """Closes all ports."""
        self._selector.close()
        for line in self._distinct:
            line.port.close()

    def _lines_to_flush(self) -> list[Line]:
        return [line for line in self._distinct if line.pending]

    def _lose(self, line: Line, error: Exception) -> None:
        raise self._port_lost(line, error) from None

    def _port_lost(self, line: Line, error: Exception) -> ClusterError:
        return ClusterError(f"lost the port of chip {self._first_chip(line)}: {error}")

    def _first_chip(self, line: Line) -> int:
        """Returns the first chip that is reached over a line."""
        return next(chip for chip, own in self._lines.items() if own is line)
