"""The coordinator's side of the federation: everything here runs under CPython."""

import sys

if sys.implementation.name == "cpython":  # chips' tests run host/wire/ on MicroPython too
    import signal


# What `python -m host...` starts is importing for a good part of a second. Ctrl-C then ends it as
# it ends other programs, without Python's traceback, until host/interrupts.py takes it back.
if (
    sys.argv[:1] == ["-m"]
    and sys.implementation.name == "cpython"
    and signal.getsignal(signal.SIGINT) == signal.default_int_handler
):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
