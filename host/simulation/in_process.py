"""Connects the stand-in `espnow` to a fake radio in the same process, for unit tests.

Waiting makes the radio's virtual time pass, so a test never sleeps and always runs the same way:

    radio = FakeRadio(seed=1, loss=0.2)
    esp = ESPNow(InProcessAir(radio, b"\\x02\\0\\0\\0\\0\\1"))
    esp.active(True)
"""

from typing import Protocol

from host.simulation.radio import FakeRadio, Payload, Station


class Receiver(Protocol):
    """Receives frames: the stand-in ESPNow."""

    def receive(self, sender: int, rssi: int, frame: Payload) -> bool:
        """Takes a frame of the station number `sender`; returns whether there was room for it."""


class InProcessAir:
    """One station of a `FakeRadio`, on the air from the start."""

    def __init__(
        self,
        radio: FakeRadio,
        mac: bytes,
        *,
        mtu: int = 250,
        chip: str = "esp32",
        channel: int = 1,
    ) -> None:
        self.mac = mac
        self.mtu = mtu
        self.chip = chip
        self.macs: dict[int, bytes] = {}
        self.responses = 0
        self.failures = 0
        self.missed = 0
        self.receiver: Receiver | None = None
        self._radio = radio
        self.join(channel)

    def join(self, channel: int) -> None:
        """Goes on the air, on this channel."""
        self.channel = channel
        self.up = True
        self._station = self._radio.join(self.mac, channel, self._receive, self._respond)

    def leave(self) -> None:
        """Goes off the air."""
        self.up = False
        self._radio.leave(self.mac)

    def transmit(self, mac: bytes, message: Payload, length: int, wants_status: bool) -> None:
        """Sends a frame; the response is always counted."""
        self._radio.transmit(self._station, bytes(mac), bytes(message))

    def poll(self) -> None:
        """Does nothing: frames arrive while time passes."""

    def wait(self, timeout_ms: int) -> None:
        """Lets time pass until the next frame arrives or the timeout.

        Raises RuntimeError for a wait without end when nothing is in flight.
        """
        due_us = self._radio.next_event_us
        if timeout_ms < 0:
            if due_us is None:
                raise RuntimeError("waits for ever: nothing is on the air")
            self._radio.advance_to(due_us)
            return
        limit_us = self._radio.now_us + 1000 * timeout_ms
        self._radio.advance_to(limit_us if due_us is None else min(due_us, limit_us))

    def query(self) -> None:
        """Does nothing: the counts are always up to date."""

    def ticks_ms(self) -> int:
        """Returns the virtual time in milliseconds."""
        return self._radio.now_us // 1000

    def elapsed_ms(self, start: int) -> int:
        """Returns the virtual milliseconds since `start`."""
        return self.ticks_ms() - start

    def _receive(self, sender: Station, payload: Payload, rssi: int) -> bool:
        if self.receiver is None:
            return True  # acknowledged by the radio, and nobody wants it
        if len(payload) > self.mtu:
            return False  # a frame of ESP-NOW version 2, which this station does not know
        self.macs[sender.number] = sender.mac
        return self.receiver.receive(sender.number, rssi, payload)

    def _respond(self, acknowledged: bool) -> None:
        self.responses += 1
        self.failures += not acknowledged
