"""Runs first on a board: the clock to what the board's file says. It must never fail.

All else is main.py's: where USB is native it begins to work after this program.
"""

import micropython

micropython.kbd_intr(-1)  # a host may be speaking already: a 3 in its frames is no Ctrl-C

import json  # noqa: E402 (until here, a 3 ends this program)

import machine  # noqa: E402

try:
    with open("config.json") as file:
        machine.freq(json.load(file)["board"]["clock_mhz"] * 1_000_000)
except (OSError, ValueError, KeyError):
    pass  # not flashed whole, or a clock that this chip does not have: it runs, slower
