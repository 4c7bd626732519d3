"""The hub: MicroPython processes on one air, its speed, and its end."""

import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time

import pytest

from host.simulation import hub as hub_module
from host.simulation.hub import FRAME, FRAME_STATUS, JOIN, QUERY, SEND_HEADER, HubProcess
from tests.simulation import launch

CHIP = """
import espnow, gc, network, sys, time
wlan = network.WLAN(network.WLAN.IF_STA)
wlan.active(True)
esp = espnow.ESPNow()
esp.config(rxbuf=16384)
esp.active(True)
mine = wlan.config("mac")
OTHER = mine[:5] + bytes([mine[5] ^ 3])  # of chip 1 it is chip 2, and of 2 it is 1
BROADCAST = b"\\xff" * 6
esp.add_peer(OTHER)
esp.add_peer(BROADCAST)
"""

ECHO = (
    CHIP
    + """
while True:
    mac, message = esp.irecv(-1)
    if message == b"end":
        break
    esp.send(mac, message, False)
print(esp.stats())
"""
)

PING = (
    CHIP
    + """
while not esp.send(OTHER, b"there yet?"):  # until the other one has started
    time.sleep_ms(5)
esp.irecv(1000)
message = bytearray(200)
times = []
for number in range(2000):
    message[0] = number & 255
    message[1] = number >> 8
    start = time.ticks_us()
    esp.send(OTHER, message, False)
    mac, answer = esp.irecv(2000)
    times.append(time.ticks_diff(time.ticks_us(), start))
    assert mac == OTHER and answer == message, number
times.sort()
print("round trip %d us at the median, %d us at the 99th percentile" % (times[1000], times[1980]))
gc.collect()
gc.disable()
used = gc.mem_alloc()
for number in range(100):
    esp.send(OTHER, message, False)
    esp.irecv(2000)
print("allocates", (gc.mem_alloc() - used) // 100)
esp.send(OTHER, b"end")
"""
)


def test_two_chips_exchange_2000_frames(micropython):
    with HubProcess() as hub:
        echo = launch.chip(micropython, ECHO, 1, hub)
        ping = launch.chip(micropython, PING, 2, hub)
        text = launch.output(ping)
        launch.output(echo)
        counters = hub.close()
    print(text)
    assert counters["missed"] == counters["lost"] == counters["overflowed"] == 0
    assert counters["delivered"] >= 2 * 2100
    # Sending copies the address and the message with two slices of 16 bytes; receiving a frame
    # of the same length as the one before allocates nothing.
    assert int(re.search(r"allocates (\d+)", text)[1]) <= 64


MEMBER = (
    CHIP
    + """
answer = bytearray(200)
while True:
    mac, message = esp.irecv(-1)
    if mac not in [peer[0] for peer in esp.get_peers()]:
        esp.add_peer(mac)
    if message == b"end":
        break
    esp.send(mac, answer, False)
"""
)

STAR = (
    CHIP
    + """
members = set()
while len(members) < %d:  # until all have started
    esp.send(BROADCAST, b"there?", False)
    while True:
        mac, message = esp.irecv(20)
        if mac is None:
            break
        members.add(mac)
request = bytearray(145)
rounds = 0
start = time.ticks_us()
while rounds < 300:
    esp.send(BROADCAST, request, False)
    for member in members:
        assert esp.irecv(2000)[0] in members
    rounds += 1
took = time.ticks_diff(time.ticks_us(), start)
print("%%d members: %%d rounds a second, %%d us an answer"
    %% (len(members), rounds * 1000000 // took, took // rounds // len(members)))
print(esp.stats()[4])
esp.send(BROADCAST, b"end", False)
"""
)


@pytest.mark.parametrize("members", [4, 19])
def test_a_star_of_chips_loses_no_answer(micropython, members):
    with HubProcess() as hub:
        processes = [launch.chip(micropython, MEMBER, 10 + n, hub) for n in range(members)]
        speed, dropped = launch.output(
            launch.chip(micropython, STAR % members, 1, hub)
        ).splitlines()
        for process in processes:
            launch.output(process)
    print(speed)
    assert dropped == "0"


class FakeChip:
    """A chip's socket, driven by the test."""

    def __init__(self, hub, number, mtu=250):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", hub.port))
        self.socket.settimeout(2)
        self.mac = launch.mac_of(number)
        self.mtu = mtu
        self._serial = 0
        self.join()

    def join(self, again=0):
        self.socket.send(bytes([JOIN, 1, again, 0]) + self.mac)
        self.status()

    def send(self, mac, payload, kind=FRAME, skip=0):
        self._serial += 1 + skip
        self.socket.send(bytes([kind, 1]) + self._serial.to_bytes(2, "little") + mac + payload)

    def receive(self):
        datagram = self.socket.recv(4096)
        assert len(datagram) == 14 + self.mtu
        return datagram

    def payload(self):
        datagram = self.receive()
        assert datagram[0] == 0
        return datagram[14 : 14 + int.from_bytes(datagram[10:12], "little")]

    def counts(self):
        datagram = self.receive()
        assert datagram[0] == 1
        return int.from_bytes(datagram[4:8], "little"), int.from_bytes(datagram[8:12], "little")

    def status(self):
        self.socket.send(bytes([QUERY, 1, 0, 0]) + self.mac)
        return self.counts()


@pytest.mark.parametrize("receivers", [1, 4])
def test_a_frame_through_the_hub_is_quick(receivers):
    with HubProcess() as hub:
        sender, *others = [FakeChip(hub, number) for number in range(1, receivers + 2)]
        destination = b"\xff" * 6 if receivers > 1 else others[0].mac
        times = []
        for _ in range(2000):
            start = time.perf_counter_ns()
            sender.send(destination, bytes(200))
            for other in others:
                other.payload()
            times.append(time.perf_counter_ns() - start)
    median_us = statistics.median(times) / 1000
    print(f"a frame to {receivers} through the hub: {median_us:.0f} us, both ends included")
    assert median_us < 2000  # far from what it takes: only a stall fails


def test_frames_meet_the_impairments_that_were_asked_for():
    with HubProcess(seed=4, loss=0.3, duplicate=0.1) as hub:
        a, b = FakeChip(hub, 1), FakeChip(hub, 2)
        for _ in range(20):
            for _ in range(50):
                a.send(b.mac, bytes(20))
            a.status()  # paces the burst
        responses, failures = a.status()
        b.socket.settimeout(0.2)
        heard = 0
        try:
            while b.payload():
                heard += 1
        except TimeoutError:
            pass
        counters = hub.close()
    assert responses == counters["sent"] == 1000
    assert failures == counters["lost"]
    assert 200 < failures < 400
    assert counters["delivered"] == 1000 - failures + counters["duplicated"]
    # The kernel keeps a few hundred datagrams for a socket nobody reads, and drops the rest.
    assert 0 < heard <= counters["delivered"]


def test_the_same_seed_loses_the_same_frames():
    def survivors(seed):
        with HubProcess(seed=seed, loss=0.5) as hub:
            a, b = FakeChip(hub, 1), FakeChip(hub, 2)
            for number in range(100):
                a.send(b.mac, bytes([number]))
            a.status()
            heard = []
            b.socket.settimeout(0.1)
            try:
                while True:
                    heard.append(b.payload())
            except TimeoutError:
                return heard

    assert survivors(1) == survivors(1) != survivors(2)


def test_a_reordered_frame_is_late_by_the_real_clock():
    with HubProcess(reorder=1.0, reorder_us=30_000) as hub:
        a, b = FakeChip(hub, 1), FakeChip(hub, 2)
        time.sleep(0.1)
        start = time.monotonic()
        a.send(b.mac, b"x")
        assert b.payload() == b"x"
        assert 0.03 <= time.monotonic() - start < 1


def test_delayed_frames_arrive_late_and_so_do_responses():
    with HubProcess(delay_us=30_000) as hub:
        a, b = FakeChip(hub, 1), FakeChip(hub, 2)
        start = time.monotonic()
        a.send(b.mac, b"x", FRAME_STATUS)
        assert b.payload() == b"x"
        assert a.counts() == (1, 0)
        assert 0.03 <= time.monotonic() - start < 1


def test_frames_that_never_reached_the_hub_count_as_failed():
    with HubProcess() as hub:
        a, b = FakeChip(hub, 1), FakeChip(hub, 2)
        a.send(b.mac, b"1")
        a.send(b.mac, b"2", skip=5)
        assert a.status() == (7, 5)
        assert hub.close()["missed"] == 5


def test_an_address_that_starts_again_is_a_new_chip():
    with HubProcess() as hub:
        a, before = FakeChip(hub, 1), FakeChip(hub, 2)
        a.send(before.mac, b"1")
        assert before.payload() == b"1"
        after = FakeChip(hub, 2)
        assert after.status() == (0, 0)
        a.send(before.mac, b"2")
        assert after.payload() == b"2"
        before.send(a.mac, b"from a station that is no more on the air")
        before.status()
        after.send(a.mac, b"3")
        assert a.payload() == b"3"
        before.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            before.receive()


def test_joining_again_keeps_the_counts_unless_the_program_starts():
    with HubProcess() as hub:
        a, b = FakeChip(hub, 1), FakeChip(hub, 2)
        a.send(b.mac, b"1")
        a.join(again=1)
        assert a.status() == (1, 0)
        a.join()  # another program that got the same port
        assert a.status() == (0, 0)


def test_foreign_datagrams_change_nothing():
    with HubProcess() as hub:
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        a, b = FakeChip(hub, 1), FakeChip(hub, 2)
        no_station = bytes([JOIN, 1, 0, 0]) + b"\xff" * 6
        for datagram in (b"", b"\0", bytes(10), bytes(100), b"\xff" * 10, no_station, bytes(2000)):
            stranger.sendto(datagram, ("127.0.0.1", hub.port))
        a.socket.send(b"\0\1")
        a.socket.send(bytes(10))
        a.send(b.mac, b"still there")
        assert b.payload() == b"still there"
        assert a.status() == (1, 0)
        assert hub.close()["sent"] == 1


def test_it_starts_quickly():
    times = []
    for _ in range(5):
        start = time.perf_counter()
        with HubProcess():
            times.append(time.perf_counter() - start)
    print(f"the hub starts in {min(times) * 1000:.0f} ms")
    assert min(times) < 1


def test_it_ends_when_its_parent_dies():
    program = (
        "import time; from host.simulation.hub import HubProcess\n"
        "hub = HubProcess(); print(hub.process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=launch.REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 5
    while launch.running(pid):
        assert time.monotonic() < deadline, "the hub outlives its parent"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--loss", "2"], "hub: loss is a probability from 0 to 1, not 2.0"),
        (["--mtu", "500"], "hub: the greatest message is 250 or 1470 bytes, not 500"),
    ],
)
def test_impossible_options_are_one_line(arguments, message, capsys):
    assert hub_module.main(arguments) == 2
    assert capsys.readouterr().err == message + "\n"


def test_a_frame_has_the_header_that_chips_expect():
    assert SEND_HEADER == 10 and hub_module.RECEIVE_HEADER.size == 14
