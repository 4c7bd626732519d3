"""The stand-in `machine` and `network`, and how a chip waits, in MicroPython processes."""

import re
import subprocess
import sys
import time

import pytest

from host.simulation.hub import HubProcess
from tests.simulation import launch


@pytest.fixture(scope="module")
def hub():
    with HubProcess() as process:
        yield process


def printed(micropython, program, **options):
    return launch.output(launch.chip(micropython, program, **options)).split()


def test_machine_is_the_stand_in_and_knows_the_chip(micropython):
    program = "import machine; print(machine.__file__, machine.unique_id().hex(), machine.freq())"
    path, unique_id, hertz = printed(micropython, program, number=9)
    assert path.endswith("standins/machine.py")
    assert unique_id == launch.mac_of(9).hex() and hertz == "160000000"


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("machine.reset()", 72),
        ("machine.soft_reset()", 75),
        ("dog = machine.WDT(timeout=20); dog.feed(); time.sleep_ms(60); dog.feed()", 73),
        ("dog = machine.WDT(timeout=500); dog.feed(); time.sleep_ms(20); dog.feed()", 0),
    ],
)
def test_a_reset_is_an_exit_code_that_tells_its_cause(micropython, statement, code):
    process = launch.chip(micropython, f"import machine, time; {statement}")
    process.communicate(timeout=10)
    assert process.returncode == code
    cause = {"FEDERATION_RESET_CAUSE": str(code - 70)} if code else {}
    names = {72: "HARD_RESET", 73: "WDT_RESET", 75: "SOFT_RESET", 0: "PWRON_RESET"}
    program = f"import machine; print(machine.reset_cause() == machine.{names[code]})"
    assert printed(micropython, program, **cause) == ["True"]


def test_pins_of_one_number_are_one(micropython):
    program = """
from machine import Pin
led = Pin(2, Pin.OUT, value=1)
same = Pin(2)
print(same.value(), led(0), same(), led.toggle(), same.value(), led.off(), same.value())
"""
    assert printed(micropython, program) == ["1", "None", "0", "None", "1", "None", "0"]


def test_frequencies_a_chip_does_not_have_are_refused(micropython):
    program = """
import machine
from tests.dual import raises
machine.freq(240_000_000)
raises(ValueError, machine.freq, 123)
raises(ValueError, machine.WDT, 1)
print(machine.freq())
"""
    assert printed(micropython, program) == ["240000000"]


NETWORK = """
import network, espnow, machine
from tests.dual import raises
from network import WLAN
wlan = WLAN(network.STA_IF)
assert WLAN(WLAN.IF_STA) is wlan and WLAN() is wlan
assert not wlan.active() and not wlan.isconnected()
assert wlan.config("mac") == machine.unique_id()
assert str(raises(OSError, lambda: wlan.config(channel=6))) == "Wifi Not Started"
assert str(raises(OSError, wlan.disconnect)) == "Wifi Not Started"
assert wlan.config("pm") == WLAN.PM_PERFORMANCE
assert wlan.active(True) and wlan.active()
wlan.disconnect()
wlan.config(channel=6, pm=WLAN.PM_NONE)
assert wlan.config("channel") == 6 and wlan.config("pm") == WLAN.PM_NONE
raises(RuntimeError, lambda: wlan.config(channel=15))
raises(RuntimeError, lambda: wlan.config(pm=7))
raises(ValueError, lambda: wlan.config(colour=1))
raises(ValueError, wlan.config, "colour")
raises(TypeError, wlan.config)
raises(TypeError, lambda: wlan.config("mac", pm=0))
raises(OSError, lambda: wlan.config(mac=b"\\2\\0\\0\\0\\0\\x77"))
raises(ValueError, WLAN, 5)
esp = espnow.ESPNow()
assert espnow.ESPNow() is esp and espnow.MAX_DATA_LEN == 250
esp.active(True)
esp.add_peer(b"\\2\\0\\0\\0\\0\\1")
assert wlan.active(False) is False
raises(OSError, esp.send, b"\\2\\0\\0\\0\\0\\1", b"x")
wlan.config(mac=b"\\2\\0\\0\\0\\0\\x77")
assert wlan.config("mac") == b"\\2\\0\\0\\0\\0\\x77"
print("done")
"""


def test_network_sets_channel_and_power_save_as_on_a_board(micropython, hub):
    assert printed(micropython, NETWORK, hub=hub) == ["done"]


def test_without_a_hub_there_is_no_radio(micropython):
    process = launch.chip(micropython, "import network; network.WLAN(network.STA_IF)")
    text, _ = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "RuntimeError: no radio: FEDERATION_HUB and FEDERATION_MAC are not set" in text


SLEEPER = """
import espnow, machine, network, time
network.WLAN(network.STA_IF).active(True)
esp = espnow.ESPNow()
%s
start = time.ticks_ms()
used = time.clock()
turns = 0
while time.ticks_diff(time.ticks_ms(), start) < 1000:
    machine.idle()
    turns += 1
print(turns, time.clock() - used)
"""


SLEEPER_FOR_EVER = """
import machine, network
network.WLAN(network.STA_IF).active(True)
while True:
    machine.idle()
"""


@pytest.mark.parametrize("active", ["esp.active(True)", ""])
def test_an_idle_chip_sleeps(micropython, hub, active):
    turns, used = printed(micropython, SLEEPER % active, number=20, hub=hub)
    print(f"an idle chip uses {float(used) * 100:.1f} % of a core")
    assert 5 <= int(turns) <= 110
    assert float(used) < 0.05  # of one second


def test_a_chip_that_ignores_what_arrives_sleeps_too(micropython, hub):
    """Its wireless interface acknowledges, and nobody in the chip wants the frames."""
    caller = """
import espnow, network, time
network.WLAN(network.STA_IF).active(True)
esp = espnow.ESPNow()
esp.active(True)
deaf = b"\\2\\0\\0\\0\\0\\x15"
esp.add_peer(deaf)
while not esp.send(deaf, b"x"):
    time.sleep_ms(5)
print(esp.send(deaf, b"x"))
"""
    calling = launch.chip(micropython, caller, 22, hub)
    _, used = printed(micropython, SLEEPER % "", number=21, hub=hub)
    assert launch.output(calling) == "True\n"
    assert float(used) < 0.05


def test_a_chip_ends_with_the_program_that_started_it(micropython, hub):
    """As a launcher does: the chip's standard input is a pipe of its own."""
    program = "\n".join(
        [
            "import subprocess, sys, time",
            f"chip = subprocess.Popen([{str(micropython)!r}, '-c', {SLEEPER_FOR_EVER!r}],",
            "                        stdin=subprocess.PIPE)",
            "print(chip.pid, flush=True)",
            "time.sleep(60)",
        ]
    )
    environment = launch.environment(23, hub)
    launcher = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    )
    pid = int(launcher.stdout.readline())
    time.sleep(0.1)
    assert launch.running(pid)
    launcher.kill()
    launcher.wait()
    deadline = time.monotonic() + 5
    while launch.running(pid):
        assert time.monotonic() < deadline, "the chip outlives its launcher"
        time.sleep(0.01)


WAITER = """
import espnow, machine, network, select, time
network.WLAN(network.STA_IF).active(True)
esp = espnow.ESPNow()
esp.active(True)
esp.add_peer(b"\\xff" * 6)
esp.add_peer(b"\\2\\0\\0\\0\\0\\1")
poller = select.poll()
poller.register(esp, select.POLLIN)
waited = []
while not esp.send(b"\\2\\0\\0\\0\\0\\1", b"there yet?"):
    time.sleep_ms(5)
while len(waited) < 40:
    while not esp.any():
        %s
    mac, message = esp.irecv(0)
    # Both processes see the same clock, in microseconds.
    waited.append(time.ticks_diff(time.ticks_us(), int.from_bytes(message, "little")))
    esp.send(b"\\xff" * 6, b"next", False)
waited.sort()
print(waited[20], waited[38])
"""

WAKER = """
import espnow, network, time
network.WLAN(network.STA_IF).active(True)
esp = espnow.ESPNow()
esp.active(True)
esp.add_peer(b"\\xff" * 6)
esp.irecv(5000)
for turn in range(40):
    time.sleep_ms(7)
    esp.send(b"\\xff" * 6, time.ticks_us().to_bytes(4, "little"), False)
    esp.irecv(1000)
"""


@pytest.mark.parametrize("wait", ["machine.idle()", "poller.poll(20)"])
def test_a_waiting_chip_wakes_at_once(micropython, wait):
    with HubProcess() as own_hub:
        waker = launch.chip(micropython, WAKER, 1, own_hub)
        median, worst = printed(micropython, WAITER % wait, number=2, hub=own_hub)
        launch.output(waker)
    print(f"{wait} wakes {median} us after a frame was sent, {worst} us at the 95th percentile")
    assert int(median) < 3000  # a wait that nothing wakes takes 20 ms, so 10 on average


FLOODED = """
import espnow, network
network.WLAN(network.STA_IF).active(True)
esp = espnow.ESPNow()
esp.config(rxbuf=4096)
esp.active(True)
%s
while esp.irecv(0)[0]:
    pass
esp.add_peer(b"\\xff" * 6)
esp.send(b"\\xff" * 6, b"the hub's answer tells of what came before", True)
print(esp.stats()[3:])
"""

FLOOD = """
import espnow, network, time
network.WLAN(network.STA_IF).active(True)
esp = espnow.ESPNow()
esp.active(True)
esp.add_peer(b"\\2\\0\\0\\0\\0\\2")
while not esp.send(b"\\2\\0\\0\\0\\0\\2", b"there yet?"):
    time.sleep_ms(5)
for burst in range(40):
    for frame in range(49):
        esp.send(b"\\2\\0\\0\\0\\0\\2", bytes(200), False)
    assert esp.send(b"\\2\\0\\0\\0\\0\\2", bytes(200), True)
"""


def test_a_flood_beyond_the_kernels_buffer_is_counted_as_dropped(micropython, tmp_path):
    with HubProcess() as own_hub:
        flooded = launch.chip(micropython, FLOODED % launch.gate(tmp_path / "open"), 2, own_hub)
        launch.output(launch.chip(micropython, FLOOD, 1, own_hub))
        (tmp_path / "open").touch()
        received, dropped = map(int, re.findall(r"\d+", launch.output(flooded)))
    assert 10 < received < 100
    assert received + dropped == 2001
