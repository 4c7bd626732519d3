"""The stand-in `machine.UART` at one end of a pseudo-terminal, pyserial at the other."""

import os
import time
import tty

import pytest
import serial

from tests.simulation import launch

OPEN = """
import machine, select, time
uart = machine.UART(1, baudrate=921600, tx=17, rx=18, rxbuf=512, timeout=0)
"""


class Line:
    """A pseudo-terminal: one descriptor for the chip, a path for the host."""

    def __init__(self):
        self.chip, self._kept = os.openpty()
        tty.setraw(self._kept)
        os.set_blocking(self.chip, False)
        self.path = os.ttyname(self._kept)

    def hang_up(self):
        """Leave the chip's end without another one."""
        os.close(self._kept)
        self._kept = None

    def close(self):
        os.close(self.chip)
        if self._kept is not None:
            os.close(self._kept)


@pytest.fixture
def line():
    made = Line()
    yield made
    made.close()


@pytest.fixture
def port(line):
    with serial.Serial(line.path, 921600, timeout=5) as opened:
        yield opened


def test_bytes_travel_both_ways(micropython, line, port):
    program = (
        OPEN
        + """
poller = select.poll()
poller.register(uart, select.POLLIN)
buffer = bytearray(64)
print(uart.any(), uart.read(), uart.readinto(buffer), uart.readline())
uart.write(b"ready\\0")
print(len(poller.poll(5000)))
while uart.any() < 10:
    machine.idle()
print(uart.readinto(buffer, 3), bytes(buffer[:4]), uart.read(2), uart.any())
print(uart.readline(), uart.read(), uart.read())
print(uart.write(memoryview(bytes(range(256)))), uart.flush(), uart.txdone())
"""
    )
    chip = launch.chip(micropython, program, uart=line.chip)
    assert port.read_until(b"\0") == b"ready\0"
    port.write(b"\0\x03\xffab\ncdef")
    assert port.read(256) == bytes(range(256))
    assert launch.output(chip).splitlines() == [
        "0 None None None",
        "1",
        "3 b'\\x00\\x03\\xff\\x00' b'ab' 5",
        "b'\\n' b'cdef' None",
        "256 None True",
    ]


def test_the_ring_drops_what_it_has_no_room_for(micropython, line, port, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    program = f"""{OPEN}
uart.write(b"go\\0")
{launch.gate(first)}
print(uart.any(), uart.read() == bytes(range(256)) * 2, uart.dropped)
uart.init(baudrate=115200, rxbuf=2048)
uart.write(b"go\\0")
{launch.gate(second)}
print(uart.any(), uart.dropped)
"""
    chip = launch.chip(micropython, program, uart=line.chip)
    for written in (first, second):
        assert port.read_until(b"\0") == b"go\0"
        port.write(bytes(range(256)) * 4)
        written.touch()
    assert launch.output(chip).splitlines() == ["512 True 512", "1024 512"]


def test_reading_waits_as_long_as_its_timeout(micropython, line, port):
    program = (
        OPEN
        + """
uart.init(timeout=50, timeout_char=3000)
start = time.ticks_ms()
print(uart.read(4), 50 <= time.ticks_diff(time.ticks_ms(), start) < 2000)
uart.init(timeout=5000, timeout_char=300)
uart.write(b"go\\0")
print(uart.read(4), uart.read(1))
"""
    )
    chip = launch.chip(micropython, program, uart=line.chip)
    assert port.read_until(b"\0") == b"go\0"
    port.write(b"ab")
    port.write(b"cde")
    assert launch.output(chip).splitlines() == ["None True", "b'abcd' b'e'"]


def test_writing_waits_for_a_slow_reader_and_loses_nothing(micropython, line, port):
    program = OPEN + "print(uart.write(bytes(i % 251 for i in range(100000))))"
    chip = launch.chip(micropython, program, uart=line.chip)
    received = bytearray()
    while len(received) < 100_000:
        part = port.read(2500)
        assert part
        received += part
    assert received == bytes(i % 251 for i in range(100_000))
    assert launch.output(chip) == "100000\n"


def test_a_reader_that_is_gone_loses_what_is_written(micropython, line):
    program = OPEN + "print(uart.write(bytes(100000)), uart.any())"
    assert launch.output(launch.chip(micropython, program, uart=line.chip)) == "100000 0\n"


def test_nobody_at_the_other_end_is_silence_and_no_busy_wait(micropython, line):
    program = (
        OPEN
        + """
print(uart.write(b"lost"), uart.any(), uart.read())
used = time.clock()
start = time.ticks_ms()
while time.ticks_diff(time.ticks_ms(), start) < 500:
    machine.idle()
print(time.clock() - used < 0.1)
"""
    )
    line.hang_up()
    chip = launch.chip(micropython, program, uart=line.chip)
    assert launch.output(chip).splitlines() == ["4 0 None", "True"]


def test_the_host_may_close_the_port_and_open_it_again(micropython, line):
    program = (
        OPEN
        + """
for turn in range(2):
    while not uart.any():
        machine.idle()
    uart.write(uart.read())
"""
    )
    chip = launch.chip(micropython, program, uart=line.chip)
    for message in (b"first", b"again"):
        with serial.Serial(line.path, 115200, timeout=5) as port:
            port.write(message)
            assert port.read(5) == message
    launch.output(chip)


def test_an_idle_chip_wakes_when_bytes_arrive(micropython, line, port):
    program = (
        OPEN
        + """
used = time.clock()
uart.write(b"go\\0")
for turn in range(20):
    while not uart.any():
        machine.idle()
    uart.write(uart.read())
print(time.clock() - used)
"""
    )
    chip = launch.chip(micropython, program, uart=line.chip)
    assert port.read_until(b"\0") == b"go\0"
    times = []
    for turn in range(20):
        time.sleep(0.013)
        start = time.perf_counter()
        port.write(bytes([turn]))
        assert port.read(1) == bytes([turn])
        times.append(time.perf_counter() - start)
    print(f"a byte there and back: {sorted(times)[10] * 1e6:.0f} us at the median")
    assert sorted(times)[10] < 0.005
    assert float(launch.output(chip)) < 0.1


def test_wrong_use_raises_as_on_a_board(micropython, line):
    program = (
        OPEN
        + """
from tests.dual import raises
raises(ValueError, machine.UART, 2)
raises(ValueError, machine.UART, 9)
raises(ValueError, lambda: uart.init(bits=9))
raises(ValueError, lambda: uart.init(stop=3))
again = machine.UART(1, 115200)
raises(OSError, uart.any)
print(again.any())
again.deinit()
raises(OSError, again.any)
raises(OSError, again.write, b"x")
machine.idle()
again.init(115200)
print(again.any())
"""
    )
    chip = launch.chip(micropython, program, uart=line.chip)
    assert launch.output(chip).split() == ["0", "0"]
    without = launch.chip(micropython, "import machine; machine.UART(1)")
    text, _ = without.communicate(timeout=10)
    assert "ValueError: UART(1) does not exist" in text
