"""A deterministic model of the air that ESP-NOW stations share, with a virtual clock.

What it models, per transmitted frame:

* A unicast frame reaches the one station of that address, a broadcast every other station, if
  it listens on the sender's channel. Each receiver's fate is independent of the others'.
* **Loss is end to end**: the probability that a receiver never gets the frame, after all the
  retries that the MAC layer makes for a unicast frame. (A broadcast is not retried on the air, so
  its loss is higher on hardware: choose the loss accordingly.)
* A unicast frame is acknowledged unless it was lost, or no station has its address; a broadcast
  always counts as acknowledged. Acknowledgements are never lost. A frame that the receiver's full
  buffer drops was acknowledged, as on hardware.
* A duplicated frame arrives twice, a corrupted one with one to three bytes changed (on hardware
  the frame check sequence hides this; here it stands for foreign and forged frames), a
  reordered one `reorder_us` late, so that the frames sent in that time overtake it.
* Every frame takes `delay_us` and up to `jitter_us` more, at random; jitter can reorder too.

It does not model airtime, collisions, range, or encryption.

Each link, from A to B, has its own random generator, seeded by (seed, A, B): so the n-th frame
from A to B always has the same fate, however frames on other links interleave.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, fields
from random import Random

from host.errors import ArgumentError

BROADCAST = b"\xff" * 6
MAX_STATIONS = 255  # a station's number fits one byte of the hub's datagrams
RSSI_DBM = -50  # every station is equally near


@dataclass(frozen=True)
class Impairments:
    """What the air does to frames: probabilities per frame and receiver, and times in us."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    delay_us: int = 0
    jitter_us: int = 0
    reorder_us: int = 2000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is float and not 0.0 <= value <= 1.0:
                raise ArgumentError(f"{field.name} is a probability from 0 to 1, not {value}")
            if value < 0:
                raise ArgumentError(f"{field.name} is a time in microseconds, not {value}")

    @property
    def none(self) -> bool:
        """Whether every frame arrives whole, once and at once."""
        rates = (self.loss, self.duplicate, self.reorder, self.corrupt)
        return not any(rates) and not self.delay_us and not self.jitter_us


@dataclass
class Counters:
    """What happened on the air: frames sent, and what became of them at their receivers."""

    sent: int = 0
    delivered: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    corrupted: int = 0
    overflowed: int = 0  # arrived and was acknowledged, but the receiver had no room
    unheard: int = 0  # unicast to an address without a listening station


Payload = bytes | memoryview
# Called with the sender, the frame (valid only during the call) and the RSSI in dBm; returns False
# if the receiver has no room.
Receive = Callable[["Station", Payload, int], bool | None]
# Called once for each transmitted frame, with whether it was acknowledged.
Respond = Callable[[bool], None]


def _ignore_frame(sender: "Station", frame: Payload, rssi: int) -> None:
    pass


def _ignore_response(acknowledged: bool) -> None:
    pass


@dataclass(eq=False)
class Station:
    """One radio on the air."""

    mac: bytes
    number: int
    channel: int
    receive: Receive
    respond: Respond
    present: bool = True


class FakeRadio:
    """The air. Time is virtual: frames in flight arrive while `advance` runs.

    Without delay, frames arrive during `transmit`. Raises ArgumentError for impairments out of
    range.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        loss: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        corrupt: float = 0.0,
        delay_us: int = 0,
        jitter_us: int = 0,
        reorder_us: int = 2000,
    ) -> None:
        self.seed = seed
        self.impairments = Impairments(
            loss, duplicate, reorder, corrupt, delay_us, jitter_us, reorder_us
        )
        self.counters = Counters()
        self.now_us = 0
        self._unimpaired = self.impairments.none
        self._stations: dict[bytes, Station] = {}
        self._numbers: dict[bytes, int] = {}
        self._fates: dict[tuple[bytes, bytes], Random] = {}
        self._events: list[tuple[int, int, Callable[[], object]]] = []
        self._scheduled = 0

    def join(
        self,
        mac: bytes,
        channel: int = 1,
        receive: Receive = _ignore_frame,
        respond: Respond = _ignore_response,
    ) -> Station:
        """Adds a station with this address, in place of any earlier one.

        receive: called with each frame that reaches it; respond: called for each frame that it
        sends, with whether that was acknowledged. Raises ArgumentError, a ValueError, if `mac` is
        not a unicast address of 6 bytes, or if there were already 255 different ones.
        """
        if len(mac) != 6 or mac[0] & 1:
            raise ArgumentError(f"{mac.hex(':')} is not a unicast address of 6 bytes")
        self.leave(mac)
        number = self._numbers.setdefault(mac, len(self._numbers))
        if number >= MAX_STATIONS:
            raise ArgumentError(f"more than {MAX_STATIONS} stations on the air")
        station = Station(mac, number, channel, receive, respond)
        self._stations[mac] = station
        return station

    def leave(self, mac: bytes) -> None:
        """Removes the station with this address, if there is one."""
        station = self._stations.pop(mac, None)
        if station is not None:
            station.present = False

    def transmit(self, sender: Station, destination: bytes, payload: Payload) -> None:
        """Sends a frame to one address or to all (ff:ff:ff:ff:ff:ff)."""
        self.counters.sent += 1
        broadcast = destination == BROADCAST
        if broadcast:
            for receiver in self._stations.values():
                if receiver is not sender and receiver.channel == sender.channel:
                    self._reach(sender, receiver, payload)
            acknowledged = True
        else:
            addressed = self._stations.get(destination)
            if addressed is None or addressed.channel != sender.channel or addressed is sender:
                self.counters.unheard += 1
                acknowledged = False
            else:
                acknowledged = self._reach(sender, addressed, payload)
        if self.impairments.delay_us:
            self._schedule(self.impairments.delay_us, lambda: sender.respond(acknowledged))
        else:
            sender.respond(acknowledged)

    def advance(self, microseconds: int) -> None:
        """Advances the clock; events that are due until then happen in order."""
        self.advance_to(self.now_us + microseconds)

    def advance_to(self, now_us: int) -> None:
        """Advances the clock to `now_us`; does nothing if that is in the past."""
        while self._events and self._events[0][0] <= now_us:
            due_us, _, event = heapq.heappop(self._events)
            self.now_us = max(self.now_us, due_us)
            event()
        self.now_us = max(self.now_us, now_us)

    @property
    def next_event_us(self) -> int | None:
        """When the next frame or response arrives, None if nothing is in flight."""
        return self._events[0][0] if self._events else None

    def _reach(self, sender: Station, receiver: Station, payload: Payload) -> bool:
        """Sends a frame to one receiver; returns whether it arrives, now or later."""
        if self._unimpaired:
            self._deliver(sender, receiver, payload)
            return True
        chances = self.impairments
        fate = self._fate(sender.mac, receiver.mac)
        if fate.random() < chances.loss:
            self.counters.lost += 1
            return False
        copies = 1
        if fate.random() < chances.duplicate:
            self.counters.duplicated += 1
            copies = 2
        for _ in range(copies):
            self._send_copy(sender, receiver, payload, fate)
        return True

    def _send_copy(
        self, sender: Station, receiver: Station, payload: Payload, fate: Random
    ) -> None:
        chances = self.impairments
        late_us = chances.delay_us
        if chances.jitter_us:
            late_us += int(fate.random() * (chances.jitter_us + 1))
        if fate.random() < chances.reorder:
            self.counters.reordered += 1
            late_us += chances.reorder_us
        if fate.random() < chances.corrupt:
            self.counters.corrupted += 1
            payload = corrupted(payload, fate)
        if late_us:
            kept = bytes(payload)
            self._schedule(late_us, lambda: self._deliver(sender, receiver, kept))
        else:
            self._deliver(sender, receiver, payload)

    def _deliver(self, sender: Station, receiver: Station, payload: Payload) -> None:
        if not receiver.present:
            return
        if receiver.receive(sender, payload, RSSI_DBM) is False:
            self.counters.overflowed += 1
        else:
            self.counters.delivered += 1

    def _fate(self, source: bytes, destination: bytes) -> Random:
        link = (source, destination)
        fate = self._fates.get(link)
        if fate is None:
            fate = Random(f"{self.seed}/{source.hex()}/{destination.hex()}")
            self._fates[link] = fate
        return fate

    def _schedule(self, late_us: int, event: Callable[[], object]) -> None:
        # The number keeps events of the same time in the order in which they were scheduled.
        self._scheduled += 1
        heapq.heappush(self._events, (self.now_us + late_us, self._scheduled, event))


def corrupted(payload: Payload, chance: Random) -> bytes:
    """Returns a copy of a payload of at least one byte with one to three bytes changed."""
    damaged = bytearray(payload)
    places = chance.sample(range(len(damaged)), min(len(damaged), chance.randint(1, 3)))
    for place in places:
        damaged[place] ^= chance.randint(1, 255)
    return bytes(damaged)
