"""Runs first on a board, and sets its clock frequency. It must never fail.

main.py does everything else: native USB only begins to work after this program.
"""

import micropython

micropython.kbd_intr(-1)  # the host may be sending already: a byte 3 in a frame is no Ctrl-C

import json  # noqa: E402 (until here, a 3 ends this program)

import machine  # noqa: E402

try:
    with open("config.json") as file:
        machine.freq(json.load(file)["board"]["clock_mhz"] * 1_000_000)
except (OSError, ValueError, KeyError):
    pass  # flashing was interrupted, or the chip cannot run at this clock: it goes on, slower
