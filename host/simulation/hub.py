"""The hub: a process that runs the fake radio in real time, over UDP on 127.0.0.1.

    python -m host.simulation.hub --seed 7 --loss 0.2

prints `port N` when it is ready, and when its standard input ends, so also when its parent
dies, one line of JSON: its counters, and `missed`, the frames that never reached it because the
kernel's buffer was full. Those count as sent and not acknowledged.

Datagrams, little-endian. From a chip, which is known by its socket's address:

    kind u8: 0 frame, 1 frame whose sender waits for responses, 2 join, 3 leave, 4 query
    channel u8 (of a join), serial u16 (a frame's counts from 1; of a join the low byte is 0 in a
    program's first, 1 in a later one, and the high byte the chip's version of ESP-NOW less one),
    address 6 bytes (a frame's destination, else the chip), a frame's payload

To a chip, every one padded to 14 bytes and its greatest payload (standins/_air.py says why):

    kind u8 0, u8 0, serial u16 (counts from 0), sender's address 6 bytes, payload length u16,
    sender's number u8, RSSI i8, payload
    kind u8 1, u8 0, serial u16, responses u32, failures u32: how many of the chip's frames were
    acknowledged or not, and how many not. Answers a query, and is sent to a chip that waits for
    responses as soon as all are there.
"""

import argparse
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

from host.interrupts import take_interrupts
from host.paths import SOURCES
from host.simulation.radio import FakeRadio, Payload, Station

MTUS = (250, 1470)  # ESP-NOW version 1 and version 2

FRAME, FRAME_STATUS, JOIN, LEAVE, QUERY = range(5)
TO_CHIP_FRAME, TO_CHIP_STATUS = range(2)
SEND_HEADER = 10
RECEIVE_HEADER = struct.Struct("<BxH6sHBb")
STATUS = struct.Struct("<BxHII")
# Bytes: some 600 frames, a tenth of a second's work. Frames that waited longer would have been
# retransmitted anyway.
RECEIVE_BUFFER = 512 << 10

Address = tuple[str, int]


class RemoteStation:
    """The hub's side of one chip, which acts for a `Station` of the radio."""

    def __init__(self, link: socket.socket, address: Address, mtu: int) -> None:
        self.station: Station | None = None
        self.missed = 0
        self._link = link
        self._address = address
        self._out = bytearray(RECEIVE_HEADER.size + mtu)
        self._serial = 0
        self._last_received = 0
        self._pending = 0
        self._responses = 0
        self._failures = 0
        self._wants_status = False

    @property
    def on_air(self) -> bool:
        """Whether the chip has joined, and has neither left nor been replaced."""
        return self.station is not None and self.station.present

    def receive(self, sender: Station, payload: Payload, rssi: int) -> bool:
        """Sends a frame to the chip; returns False if its version of ESP-NOW does not know it.

        Whether the chip has room for the frame is not known here.
        """
        out = self._out
        length = len(payload)
        if length > len(out) - RECEIVE_HEADER.size:
            return False
        RECEIVE_HEADER.pack_into(
            out, 0, TO_CHIP_FRAME, self._serial, sender.mac, length, sender.number, rssi
        )
        out[RECEIVE_HEADER.size : RECEIVE_HEADER.size + length] = payload
        self._send()
        return True

    def respond(self, acknowledged: bool) -> None:
        """Counts whether one of the chip's frames was acknowledged."""
        self._pending -= 1
        self._responses += 1
        self._failures += not acknowledged
        if self._wants_status and not self._pending:
            self._wants_status = False
            self.send_status()

    def sent(self, serial: int, wants_status: bool) -> None:
        """Counts a frame that the chip sends, and those lost before it on the way to the hub."""
        gap = (serial - self._last_received - 1) & 0xFFFF
        self._last_received = serial
        self.missed += gap
        self._responses += gap
        self._failures += gap
        self._pending += 1
        self._wants_status |= wants_status

    def query(self) -> None:
        """Sends the counts now, and again when all of the chip's frames have their responses."""
        self._wants_status = self._pending > 0
        self.send_status()

    def send_status(self) -> None:
        """Sends the counts of responses."""
        STATUS.pack_into(
            self._out, 0, TO_CHIP_STATUS, self._serial, self._responses, self._failures
        )
        self._send()

    def _send(self) -> None:
        self._serial = (self._serial + 1) & 0xFFFF
        self._link.sendto(self._out, self._address)


class Hub:
    """The fake radio, a socket, and the chips that have joined."""

    def __init__(self, radio: FakeRadio) -> None:
        self._radio = radio
        self._link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._link.bind(("127.0.0.1", 0))
        self._link.setblocking(False)
        self._chips: dict[Address, RemoteStation] = {}
        self._in = bytearray(SEND_HEADER + MTUS[-1])
        self._view = memoryview(self._in)
        self._keeps_time = not radio.impairments.none
        self._start_ns = time.monotonic_ns()

    @property
    def port(self) -> int:
        """The UDP port to which chips send."""
        return int(self._link.getsockname()[1])

    def counters(self) -> dict[str, int]:
        """Returns the radio's counters, and the frames that never reached the hub."""
        missed = sum(chip.missed for chip in self._chips.values())
        return {**asdict(self._radio.counters), "missed": missed}

    def serve(self, parent: int) -> None:
        """Carries frames until the other end of the file descriptor `parent` is closed."""
        poller = select.poll()
        poller.register(self._link, select.POLLIN)
        poller.register(parent, select.POLLIN)
        while True:
            for descriptor, _ in poller.poll(self._ms_to_next_event()):
                if descriptor != parent:
                    self._take_in()
                elif not os.read(parent, 4096):
                    return
            if self._keeps_time:
                self._radio.advance_to(self._now_us())

    def _now_us(self) -> int:
        return (time.monotonic_ns() - self._start_ns) // 1000

    def _ms_to_next_event(self) -> float | None:
        due_us = self._radio.next_event_us
        return None if due_us is None else max(0, due_us - self._now_us()) / 1e3

    def _take_in(self) -> None:
        """Handles a datagram that has arrived, after all events that were due before."""
        datagram = self._in
        try:
            size, address = self._link.recvfrom_into(datagram)
        except BlockingIOError:
            return  # it was damaged, and the kernel dropped it
        kind = datagram[0]
        if size == SEND_HEADER:
            self._manage(kind, address)
        chip = self._chips.get(address)
        if kind > FRAME_STATUS or size <= SEND_HEADER or chip is None or not chip.on_air:
            return
        if self._keeps_time:
            self._radio.advance_to(self._now_us())
        chip.sent(datagram[2] | datagram[3] << 8, kind == FRAME_STATUS)
        assert chip.station is not None
        self._radio.transmit(chip.station, bytes(datagram[4:10]), self._view[SEND_HEADER:size])

    def _manage(self, kind: int, address: Address) -> None:
        chip = self._chips.get(address)
        if kind == JOIN:
            if chip is None or not self._in[2]:
                mtu = MTUS[self._in[3] & 1]
                chip = self._chips[address] = RemoteStation(self._link, address, mtu)
            mac = bytes(self._in[4:10])
            try:
                chip.station = self._radio.join(mac, self._in[1], chip.receive, chip.respond)
            except ValueError as error:
                print(f"hub: {error}", file=sys.stderr, flush=True)
        elif chip is None:
            return
        elif kind == LEAVE and chip.station is not None and chip.on_air:
            self._radio.leave(chip.station.mac)
        elif kind == QUERY:
            chip.query()


class HubProcess:
    """A hub as a child process; keyword arguments are those of `FakeRadio`."""

    def __init__(self, **options: float) -> None:
        command = [sys.executable, "-m", "host.simulation.hub"]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        self.process = subprocess.Popen(
            command,
            cwd=SOURCES,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C in the terminal is for the parent, which ends the hub last
        )
        assert self.process.stdout is not None
        word, _, port = self.process.stdout.readline().partition(" ")
        if word != "port":
            raise RuntimeError(f"the radio's hub ended with exit code {self.process.wait()}")
        self.port = int(port)

    def close(self) -> dict[str, int]:
        """Ends the process; returns its counters, empty if it had died."""
        output, _ = self.process.communicate()
        counters: dict[str, int] = json.loads(output) if output.strip() else {}
        return counters

    def __enter__(self) -> "HubProcess":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m host.simulation.hub")
    parser.add_argument("--seed", type=int, default=0)
    for name in ("loss", "duplicate", "reorder", "corrupt"):
        parser.add_argument(f"--{name}", type=float, default=0.0, help="probability per frame")
    for name, default in (("delay", 0), ("jitter", 0), ("reorder", 2000)):
        parser.add_argument(f"--{name}-us", type=int, default=default, help="microseconds")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Runs a hub until standard input ends."""
    take_interrupts()
    options = vars(parse_options(arguments))
    try:
        hub = Hub(FakeRadio(**options))
    except ValueError as error:
        print(f"hub: {error}", file=sys.stderr)
        return 2
    print("port", hub.port, flush=True)
    try:
        hub.serve(sys.stdin.fileno())
        print(json.dumps(hub.counters()), flush=True)
    except (KeyboardInterrupt, BrokenPipeError):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
