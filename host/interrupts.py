"""Gives Ctrl-C back to Python, which host/__init__.py and host/__main__.py take from it."""

import signal


def take_interrupts() -> None:
    """Makes Ctrl-C a KeyboardInterrupt, in a program that has imported what it needs."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
