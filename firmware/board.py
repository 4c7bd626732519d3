"""A board's light, BOOT button and watchdog.

The light blinks, in a colour of its own where it has colours (docs/hardware.md):

| state | lit | colour |
| --- | --- | --- |
| starting, and BOOT or Ctrl-C lead to the prompt | an eighth of a second in a quarter | yellow |
| waiting for the host | a tenth of a second in two seconds | green |
| working | always | blue |
| the start failed; the host gets the reason | half a second in one | red |
| the program has ended | never | |
"""

import time

import machine

from protocol.compat import const

# Indices into _PATTERNS.
_STARTING = const(0)
_WAITING = const(1)
_WORKING = const(2)
_FAULT = const(3)
_ENDED = const(4)
# Milliseconds of a period, for how many of them the light is on, and its red, green and blue: low,
# because at full brightness such a light dazzles.
_PATTERNS = (
    (250, 125, (12, 8, 0)),
    (2000, 100, (0, 12, 0)),
    (1000, 1000, (0, 0, 12)),
    (1000, 500, (16, 0, 0)),
    (1000, 0, (0, 0, 0)),
)
_DARK = (0, 0, 0)
# A chip that waits for the next request of a token still counts as working.
_LINGER_MS = const(500)
_TURN_MS = const(20)  # a turn of the loop that waits for BOOT or Ctrl-C
_PIECE = const(64)  # bytes from the host that are examined in a turn
# An ESP32's watchdog can be set again but not stopped: this gives a user at the prompt an hour.
_AT_PROMPT_MS = const(3_600_000)


class Light:
    """An LED on a pin, "gpio" (plain) or "ws2812" (addressable, with colours)."""

    def __init__(self, pin, kind):
        self._pin = machine.Pin(pin, machine.Pin.OUT)
        self._pixel = self._shown = None
        if kind == "ws2812":
            from neopixel import NeoPixel

            self._pixel = NeoPixel(self._pin, 1)

    def show(self, state, now):
        """Switches the light on or off as the pattern of `state` says; now: milliseconds."""
        period, lit, colour = _PATTERNS[state]
        if now % period >= lit:
            colour = _DARK
        if colour is self._shown:
            return
        self._shown = colour
        if self._pixel:
            self._pixel[0] = colour
            self._pixel.write()
        else:
            self._pin.value(colour is not _DARK)


class Board:
    """The board around a node, with those of the parts that its settings name."""

    def __init__(self, settings):
        """settings: a dict that may have led (pin, kind), button (a pin), prompt_ms,
        watchdog_ms."""
        self._settings = settings
        self._light = Light(**settings["led"]) if "led" in settings else None

    def wait_for_prompt(self, on_repl):
        """Waits `prompt_ms` for BOOT or Ctrl-C; raises KeyboardInterrupt if the user wants the
        prompt.

        on_repl: whether the REPL's port is the line to the host. If so, a 0x00 from it ends the
        wait: that is the end of a frame, and no key sends it.
        """
        console = button = None
        if on_repl:
            from firmware.links.repl import repl_console

            console, piece = repl_console(), bytearray(_PIECE)
        if "button" in self._settings:
            button = machine.Pin(self._settings["button"], machine.Pin.IN, machine.Pin.PULL_UP)
        started = now = time.ticks_ms()
        while time.ticks_diff(now, started) < self._settings.get("prompt_ms", 0):
            self._show(_STARTING, now)
            if button and not button.value():
                self._show(_ENDED, now)
                raise KeyboardInterrupt
            if console and b"\0" in piece[: console.readinto(piece)]:
                return
            time.sleep_ms(_TURN_MS)
            now = time.ticks_ms()

    def loop(self, poll, fault):
        """Calls a node's `poll` until it raises, and feeds the watchdog; fault: whether the node
        has failed to start, which the light shows."""
        feed = None
        if "watchdog_ms" in self._settings:
            feed = machine.WDT(timeout=self._settings["watchdog_ms"]).feed
        resting = _FAULT if fault else _WAITING
        idle, now = machine.idle, time.ticks_ms
        worked = now() - _LINGER_MS
        try:
            while True:
                if poll():
                    worked = now()
                    self._show(_WORKING, worked)
                else:
                    lingers = time.ticks_diff(now(), worked) < _LINGER_MS
                    self._show(_WORKING if lingers else resting, now())
                    idle()
                if feed:
                    feed()
        finally:
            if feed:
                machine.WDT(timeout=_AT_PROMPT_MS)
            self._show(_ENDED, 0)

    def _show(self, state, now):
        if self._light:
            self._light.show(state, now)
