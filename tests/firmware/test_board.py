"""The light, the BOOT button and the watchdog, on a machine module of lists."""

import sys

from tests.dual import raises


class Stop(Exception):
    """Ends the loop, as a node's poll does when it fails."""


class Clock:
    """The time module, as far as it is used; `now` is in milliseconds."""

    now = 0

    @staticmethod
    def ticks_ms():
        return Clock.now

    @staticmethod
    def ticks_diff(a, b):
        return a - b

    @staticmethod
    def sleep_ms(ms):
        Clock.now += ms


class Pin:
    IN, OUT, PULL_UP = 1, 3, 2
    history = []  # of (pin, level, when)
    pressed_at = None

    def __init__(self, number, mode, pull=-1):
        self.number = number
        assert (mode, pull) in ((Pin.OUT, -1), (Pin.IN, Pin.PULL_UP))

    def value(self, level=None):
        if level is None:  # the button, which connects to ground
            return int(Pin.pressed_at is None or Clock.now < Pin.pressed_at)
        Pin.history.append((self.number, bool(level), Clock.now))


class NeoPixel:
    history = []  # of (colour, when)

    def __init__(self, pin, count):
        assert count == 1
        self._colour = None

    def __setitem__(self, index, colour):
        self._colour = colour

    def write(self):
        NeoPixel.history.append((self._colour, Clock.now))


class WDT:
    history = []  # timeouts, and "fed"

    def __init__(self, timeout):
        WDT.history.append(timeout)

    def feed(self):
        WDT.history.append("fed")


class Machine:
    Pin, WDT = Pin, WDT

    @staticmethod
    def idle():
        Clock.now += 1


def imported():
    """firmware.board on these, without leaving them to other tests."""
    others = {name: sys.modules.pop(name, None) for name in ("machine", "neopixel")}
    sys.modules["machine"] = Machine
    from firmware import board

    board.machine, board.time = Machine, Clock
    sys.modules.pop("machine")
    for name in others:
        if others[name]:
            sys.modules[name] = others[name]
    return board


module = imported()
RGB = {"pin": 48, "kind": "ws2812"}
PLAIN = {"pin": 2, "kind": "gpio"}


def board_with(**settings):
    """A Board, at time 0."""
    Clock.now, Pin.pressed_at = 0, None
    del Pin.history[:], NeoPixel.history[:], WDT.history[:]
    sys.modules["neopixel"] = Neopixel
    try:
        return module.Board(settings)
    finally:
        sys.modules.pop("neopixel")


class Neopixel:
    NeoPixel = NeoPixel


def polling(script):
    """A poll that works through (milliseconds, worked), and then raises Stop."""
    steps = iter(script)

    def poll():
        for taken, worked in steps:
            Clock.now += taken
            return worked
        raise Stop

    return poll


def test_a_plain_light_blinks_while_the_prompt_is_offered():
    board_with(led=PLAIN, prompt_ms=500).wait_for_prompt(False)
    assert Clock.now == 500
    assert [(pin, lit) for pin, lit, _ in Pin.history] == [(2, True), (2, False)] * 2


def test_the_button_or_the_prompts_ctrl_c_end_the_wait():
    board = board_with(led=PLAIN, button=0, prompt_ms=2000)
    Pin.pressed_at = 700
    raises(KeyboardInterrupt, board.wait_for_prompt, False)
    assert 700 <= Clock.now <= 720 and Pin.history[-1][1] is False
    board = board_with(button=0, prompt_ms=2000)
    board.wait_for_prompt(False)
    assert Clock.now == 2000


class Said:
    """A console that hears these bytes after 300 ms."""

    def __init__(self, data):
        self._data = data

    def readinto(self, buffer):
        if Clock.now < 300:
            return 0
        piece, self._data = self._data[: len(buffer)], self._data[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


def waited(data):
    """How long the prompt is offered when this comes on the REPL's port."""
    board = board_with(prompt_ms=2000)
    from firmware.links import repl as console

    whole, console.repl_console = console.repl_console, lambda: Said(data)
    try:
        board.wait_for_prompt(True)
    finally:
        console.repl_console = whole
    return Clock.now


def test_a_host_that_speaks_on_the_repls_port_ends_the_wait():
    for frame in (b"\x05abcd\0", b"\x03\0", b"\xff" * 60 + b"\3\3\3\3\0", b"\0"):
        assert 300 <= waited(frame) <= 320


def test_keys_that_come_too_early_do_not_end_the_wait():
    """Ctrl-C before the console can tell it from a frame's end, noise, a frame that is cut."""
    for data in (b"\r\x03", b"\xff\xfe", b"\x20half a frame"):
        assert waited(data) == 2000


def test_nothing_is_waited_for_where_nothing_is_set():
    board_with().wait_for_prompt(False)
    assert Clock.now == 0
    raises(Stop, board_with().loop, polling([(1, True)]), "")
    assert WDT.history == []


def test_the_watchdog_is_fed_at_every_turn_and_left_an_hour_at_the_prompt():
    board = board_with(watchdog_ms=8000)
    raises(Stop, board.loop, polling([(5, True), (0, False), (7, True)]), "")
    assert WDT.history == [8000, "fed", "fed", "fed", 3600000]


def test_the_colours_tell_work_from_waiting():
    board = board_with(led=RGB)
    raises(Stop, board.loop, polling([(10, True)] + [(0, False)] * 3000), "")
    blue, green, dark = (0, 0, 12), (0, 12, 0), (0, 0, 0)
    colours = [colour for colour, _ in NeoPixel.history]
    assert colours == [blue, dark, green, dark]
    # It lingers on work for half a second, and flashes every two seconds.
    assert [when for _, when in NeoPixel.history[:3]] == [10, 510, 2000]
    assert NeoPixel.history[3][1] == 2100


def test_a_fault_blinks_red():
    board = board_with(led=RGB)
    raises(Stop, board.loop, polling([(0, False)] * 2000), "ShardError: ...")
    assert [colour for colour, _ in NeoPixel.history] == [(16, 0, 0), (0, 0, 0)] * 2


def test_the_light_is_only_written_when_it_changes():
    board = board_with(led=PLAIN)
    raises(Stop, board.loop, polling([(1, True)] * 1000), "")
    assert [lit for _, lit, _ in Pin.history] == [True, False]
