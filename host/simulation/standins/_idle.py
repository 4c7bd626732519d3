# mypy: ignore-errors
"""How a simulated chip waits: asleep in the kernel until something arrives for it.

`select.poll` on stand-in objects would look at them once a millisecond, because their buffers
lie in Python; twenty chips doing so keep a core busy. Firmware therefore ends each turn of its
loop in which nothing was to be done with `machine.idle()`, which exists on boards too.

A chip whose standard input is a pipe ends when the other end is closed: it does not outlive the
program that started it, however that ended. With FEDERATION_CONSOLE=1 standard input is the
terminal that is the chip's serial line, and what arrives there wakes it too.
"""

import os
import select
import sys
import time

from micropython import const

_LONGEST_MS = const(10)  # the firmware looks at its own deadlines that often

_STDIN = const(0)

_poller = select.poll()
# Where no events are asked for, only its hang-up is reported.
_poller.register(_STDIN, select.POLLIN if os.getenv("FEDERATION_CONSOLE") else 0)
_sources = []


def watch(stream, source):
    """Makes idle() return when the stream has input.

    source.waiting(): whether the program has input from it; source.held(): whether it had some
    when it last looked.
    """
    _poller.register(stream, select.POLLIN)
    _sources.append(source)


def unwatch(stream, source):
    """Undoes watch()."""
    _poller.unregister(stream)
    _sources.remove(source)


def idle():
    """Returns as soon as there is something to receive, at the latest after 10 ms."""
    # Input that was not read from a stream wakes the poller at once: no need to look at it first.
    for source in _sources:
        if source.held():
            return
    start = time.ticks_ms()
    for stream, event in _poller.ipoll(_LONGEST_MS):
        if stream == _STDIN and event & select.POLLHUP:
            sys.exit(1)
        if stream == _STDIN and event & select.POLLIN:
            return
    # Looking again runs what an interrupt would have done, such as ESPNow's callback. A stream
    # that stays ready without giving anything (a hung-up terminal) must not make the program spin.
    if not _pending() and time.ticks_diff(time.ticks_ms(), start) < _LONGEST_MS:
        time.sleep_ms(1)


def _pending():
    for source in _sources:
        if source.waiting():
            return True
    return False
