"""The process of the hub: MicroPython processes on one air, its start, options and end."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from host.simulation import hub as hub_module
from host.simulation.hub import HubProcess
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
    ],
)
def test_impossible_options_are_one_line(arguments, message, capsys):
    assert hub_module.main(arguments) == 2
    assert capsys.readouterr().err == message + "\n"
