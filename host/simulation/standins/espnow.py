# mypy: ignore-errors
"""Stand-in for MicroPython's `espnow` on a simulated chip: its API and its traps.

It follows docs.micropython.org/library/espnow, and ports/esp32/modespnow.c and
ports/esp32/modules/espnow.py of MicroPython 1.25:

* an unknown peer, a 21st peer, a peer added twice, a module that is not active, a WLAN that is
  not: OSError(number, name) with ESP-IDF's numbers and names;
* `send` to a broadcast address needs that address as a peer too, and is never acknowledged;
* `send(...) == True` says that a radio acknowledged: the frame may since have been dropped,
  because the receiver's buffer was full or its ESPNow not active;
* the ring of `rxbuf` bytes holds 13 bytes besides each message (14 where a message may be 1470
  bytes: its length takes another byte there) and is never filled to the last byte, so the
  default holds *one* message of the greatest length, not two;
* a new `rxbuf` counts from the next `active(True)`, and `active(False)` forgets the peers;
* `irecv` gives the same list with the same bytearray each time, `recv` makes new objects;
* `config(rate=...)` fails on an ESP32-C6. (MicroPython 1.26.1 has been seen to fail in the same
  way on an ESP32 and a C3, micropython/micropython#18217: firmware must expect it anywhere.)

Where it differs from a board:

* A frame enters the ring when the program next calls `any`, a receive, or `machine.idle`: a
  simulated chip has no interrupts. Each such call takes in all that has arrived, so the ring
  overflows exactly when the real one would. The `irq` callback is scheduled from there too, and
  the time in `peers_table` is the time of receiving.
* A lost acknowledgement is noticed after 2 s and not after 0.1 s (OSError ETIMEDOUT): real time
  on a loaded machine is not the chips' time. And `stats` asks the air for the responses.
* `poll` on the object works, but without a file descriptor MicroPython looks once a millisecond;
  `machine.idle` sleeps in the kernel.
* Encryption is accounted for (6 peers, never broadcast) but frames go in clear.

The constructor takes the air as an argument that the real one does not have; without it there
is one object per process, on the process's own air (`_air.py`). An air has: `mtu`, `chip`,
`channel`, `up` (WLAN active); `macs`, address by station number; `responses` and `failures`,
counts of acknowledgements; `missed`, frames dropped before ESPNow saw them; `receiver`, the
object whose `arrived` gets each datagram, or whose `receive` each frame;
`transmit(mac, message, length, wants_status)`, `poll()`, `wait(ms)`, `query()`, `ticks_ms()` and
`elapsed_ms(start)`.
"""

import errno
import io
import os

try:
    from _peers import ADDR_LEN, KEY_LEN, MAX_ENCRYPT_PEER_NUM, MAX_TOTAL_PEER_NUM, Peers, error
    from micropython import RingIO, const, schedule
except ImportError:  # under CPython, in unit tests
    from host.simulation.ringio import RingIO
    from host.simulation.standins._peers import (  # noqa: F401  (part of this module's API)
        ADDR_LEN,
        KEY_LEN,
        MAX_ENCRYPT_PEER_NUM,
        MAX_TOTAL_PEER_NUM,
        Peers,
        error,
    )

    def const(value):
        return value

    def schedule(function, argument):
        function(argument)


MAX_DATA_LEN = int(os.getenv("FEDERATION_MTU") or 250)
_RECORD = const(10)  # where a ring record starts in what an air hands over
_RECORD_HEAD = const(4)  # message length u16, station number u8, RSSI i8
_RECV_TIMEOUT_MS = const(300_000)
_SEND_TIMEOUT_MS = const(2000)
_MP_STREAM_POLL = const(3)
_POLLIN = const(1)
_POLLOUT = const(4)
_EINVAL = const(22)
_MISSING = object()
_NOTHING = (None, None)

_head = bytearray(_RECORD_HEAD)  # of the record that is being read


class ESPNow(io.IOBase):
    """ESP-NOW on this chip, or on the given air."""

    _single = None

    def __new__(cls, air=None):
        if air is not None:
            return super().__new__(cls)
        if ESPNow._single is None:
            ESPNow._single = super().__new__(cls)
        return ESPNow._single

    def __init__(self, air=None):
        if hasattr(self, "_air"):
            return  # the one object of the process, asked for again
        if air is None:
            import _air

            air = _air.process_air()
        self._air = air
        self._overhead = 13 if air.mtu < 256 else 14
        self._rxbuf = 2 * (self._overhead + air.mtu)
        self._timeout_ms = _RECV_TIMEOUT_MS
        self._callback = None
        self._ring = None
        self._room = 0
        self._peers = Peers()
        self._sent = 0
        self._received = 0
        self._dropped = 0
        self._full_length = bytearray(air.mtu)
        self._data = [None, bytearray(air.mtu)]
        self._resized = {}
        self.peers_table = {}

    # Configuration

    def active(self, flag=None):
        """Returns whether ESP-NOW is on; with an argument, turns it on or off before."""
        if flag is not None:
            if flag and self._ring is None:
                self._ring = RingIO(self._rxbuf)
                self._room = self._rxbuf - 1
                self._air.receiver = self
            elif not flag and self._ring is not None:
                self._air.poll()
                self._air.receiver = None
                self._ring = None
                self._peers = Peers()
        return self._ring is not None

    def config(self, param=None, *, rxbuf=-1, timeout_ms=None, rate=-1):
        """Returns the value of the named parameter, or sets rxbuf (bytes), timeout_ms, rate."""
        if rxbuf >= 0:
            self._rxbuf = rxbuf
        if timeout_ms is not None:
            self._timeout_ms = timeout_ms
        if rate >= 0 and self._air.chip == "esp32c6":
            raise OSError(errno.EPERM, "ESP_FAIL")
        if param is None:
            return None
        if param == "rxbuf":
            return self._rxbuf
        if param == "timeout_ms":
            return self._timeout_ms
        raise ValueError("unknown config param")

    def irq(self, callback):
        """Makes callback(self) run soon after a frame has arrived; None ends that."""
        if callback is not None and not callable(callback):
            raise ValueError("invalid handler")
        self._callback = callback

    def stats(self):
        """Returns (frames sent, responses, failures, frames received, frames dropped)."""
        air = self._air
        if air.responses < self._sent:
            air.query()
        dropped = self._dropped + air.missed
        return (self._sent, air.responses, air.failures, self._received, dropped)

    # Sending and receiving

    def send(self, mac, msg=_MISSING, sync=True):
        """Sends to a peer or, without an address, to all peers; returns False if one did not
        acknowledge."""
        self._require_active()
        if msg is _MISSING:
            msg = mac
            mac = None
        if isinstance(msg, str):
            msg = msg.encode()
        air = self._air
        sync = sync is None or sync
        if sync and air.responses < self._sent:
            air.query()
            self._await_responses()
        failures = air.failures
        length = len(msg)
        if not 0 < length <= air.mtu:
            raise error("ARG")
        if mac:
            self._transmit(mac, msg, length, sync)
        else:
            unicast = self._peers.unicast()
            if not unicast:
                raise error("NOT_FOUND")
            for peer in unicast:
                self._transmit(peer, msg, length, sync)
        if sync:
            self._await_responses()
            return air.failures == failures
        return True

    def recvinto(self, buffers, timeout_ms=None):
        """Returns the length of the frame put into [mac, bytearray(MAX_DATA_LEN)], 0 on timeout.

        With a list of four, RSSI (dBm) and time (ms) go into the others.
        """
        self._require_active()
        if not isinstance(buffers, list) or len(buffers) < 2:
            raise ValueError("ESPNow.recvinto(): Invalid argument")
        message = buffers[1]
        if message is not self._data[1] and len(message) != len(self._full_length):
            # A bytearray that was resized here has the space it was made with.
            if id(message) not in self._resized:
                raise ValueError("invalid buffer length")
        if not self._await_frame(timeout_ms):
            return 0
        ring = self._ring
        head = _head
        ring.readinto(head, _RECORD_HEAD)
        length = head[0] | head[1] << 8
        self._room += self._overhead + length
        if isinstance(message, bytearray) and len(message) != length:
            if message is not self._data[1]:
                self._resized[id(message)] = message
            # Grows into the space it was made with and shrinks in place: no allocation of the
            # message's size, and it stays the same object, as on a board.
            message[:] = self._full_length
            if length < len(self._full_length):
                message[length:] = b""
        ring.readinto(message, length)
        mac = self._air.macs[head[2]]
        buffers[0] = mac
        rssi = head[3] - 256
        now = self._air.ticks_ms()
        seen = self.peers_table.get(mac)
        if seen is None:
            self.peers_table[mac] = [rssi, now]
        else:
            seen[0] = rssi
            seen[1] = now
        if len(buffers) >= 4:
            buffers[2] = rssi
            buffers[3] = now
        return length

    def irecv(self, timeout_ms=None):
        """Returns [mac, message], the same list and bytearray each time; (None, None) on
        timeout."""
        return self._data if self.recvinto(self._data, timeout_ms) else _NOTHING

    def recv(self, timeout_ms=None):
        """Returns [mac, message] as new bytes; (None, None) on timeout."""
        if self.recvinto(self._data, timeout_ms):
            return [bytes(self._data[0]), bytes(self._data[1])]
        return _NOTHING

    def any(self):
        """Returns whether a frame is waiting."""
        self._require_active()
        self._air.poll()
        return self._ring.any() > 0

    def __iter__(self):
        return self

    def __next__(self):
        return self.irecv()

    def ioctl(self, request, flags):
        """Supports select.poll()."""
        if request != _MP_STREAM_POLL:
            return -_EINVAL
        return flags & (_POLLOUT | _POLLIN if self.waiting() else _POLLOUT)

    # Peers

    def set_pmk(self, pmk):
        """Sets the primary key, 16 bytes."""
        self._require_active()
        if len(pmk) != KEY_LEN:
            raise ValueError("invalid buffer length")

    def add_peer(self, mac, lmk=None, channel=None, ifidx=None, encrypt=None):
        """Registers an address, so that frames can be sent to it."""
        self._require_active()
        self._peers.add(mac, lmk, channel, ifidx, encrypt)

    def mod_peer(self, mac, lmk=None, channel=None, ifidx=None, encrypt=None):
        """Changes the given settings of a registered peer."""
        self._require_active()
        self._peers.change(mac, lmk, channel, ifidx, encrypt)

    def del_peer(self, mac):
        """Removes a peer."""
        self._require_active()
        self._peers.remove(mac)

    def get_peer(self, mac):
        """Returns (mac, lmk, channel, ifidx, encrypt) of a peer."""
        self._require_active()
        return (bytes(mac),) + tuple(self._peers.get(mac))

    def get_peers(self):
        """Returns a tuple of what get_peer gives for all peers, without broadcast and multicast
        ones."""
        self._require_active()
        return tuple([self.get_peer(mac) for mac in self._peers.unicast()])

    def peer_count(self):
        """Returns (peers, encrypted peers)."""
        self._require_active()
        return self._peers.count()

    # What the air calls

    def arrived(self, frame):
        """Returns whether the ring had room for the record of a frame, which starts at byte 10."""
        length = frame[_RECORD] | frame[_RECORD + 1] << 8
        size = self._overhead + length
        if size >= self._room:
            self._dropped += 1
            return False
        self._room -= size
        self._ring.write(frame, _RECORD, _RECORD_HEAD + length)
        self._received += 1
        if self._callback is not None:
            try:
                schedule(self._callback, self)
            except RuntimeError:
                pass  # the queue of callbacks is full: as on a board, this call is dropped
        return True

    def receive(self, sender, rssi, frame):
        """Takes a frame alone, from an air in the same process; whether there was room."""
        head = len(frame).to_bytes(2, "little") + bytes([sender, rssi & 0xFF])
        return self.arrived(bytes(_RECORD) + head + frame)

    def waiting(self):
        """Returns whether a frame is waiting; False when not active."""
        self._air.poll()
        return self.held()

    def held(self):
        """Returns whether there was a frame left to receive at the last look at the air."""
        return self._ring is not None and self._ring.any() > 0

    def _require_active(self):
        if self._ring is None:
            raise error("NOT_INIT")

    def _transmit(self, mac, msg, length, wants_status):
        peer = self._peers.get(mac)
        air = self._air
        if not air.up or peer[2] != 0:
            raise error("IF")
        if peer[1] and peer[1] != air.channel:
            raise error("CHAN")
        air.transmit(mac, msg, length, wants_status)
        self._sent += 1

    def _await_responses(self):
        air = self._air
        start = air.ticks_ms()
        while air.responses < self._sent:
            left = _SEND_TIMEOUT_MS - air.elapsed_ms(start)
            if left <= 0:
                raise OSError(errno.ETIMEDOUT)
            air.wait(left)
            air.poll()

    def _await_frame(self, timeout_ms):
        air = self._air
        ring = self._ring
        if ring.any():
            return True  # without polling the air, which costs a system call
        air.poll()
        if ring.any():
            return True
        if timeout_ms is None:
            timeout_ms = self._timeout_ms
        if timeout_ms == 0:
            return False
        start = air.ticks_ms()
        left = timeout_ms
        while timeout_ms < 0 or left > 0:
            air.wait(left)
            air.poll()
            if ring.any():
                return True
            left = timeout_ms if timeout_ms < 0 else timeout_ms - air.elapsed_ms(start)
        return False
