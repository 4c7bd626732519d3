"""Hides the differences between CPython and MicroPython from the other files.

Most hot functions are written once, as `@micropython.viper` functions that only index their
pointers and whose integers stay within 32 bits. MicroPython compiles them to machine code; under
CPython the decorator is the identity, and the same source runs on bytearrays and array("i"). The
hottest loops move their pointers, which CPython cannot do, so these modules come in pairs:
cobs_pointers.py and cobs_plain.py, bitpack_pointers.py and bitpack_plain.py. frame_check.py holds
both versions in one file.
"""

import sys

# Names for viper, which MicroPython's compiler knows without looking them up.
ptr8 = bytearray
ptr32 = bytearray
uint = int
if sys.implementation.name == "micropython":
    from time import ticks_diff, ticks_ms  # type: ignore[attr-defined]

    import micropython
    from micropython import const
else:
    from time import monotonic
    from types import SimpleNamespace

    def ticks_ms():
        """Returns the milliseconds of a clock that only goes forward; MicroPython's wraps."""
        return int(monotonic() * 1000)

    def ticks_diff(later, earlier):
        """Returns the milliseconds from one reading of ticks_ms to a later one."""
        return later - earlier

    def _unchanged(value):
        return value

    const = _unchanged
    micropython = SimpleNamespace(viper=_unchanged, native=_unchanged)

    class _Buffer:
        """Stands for viper's pointer types: a cast returns the buffer itself."""

        def __new__(cls, buffer):
            return buffer

    MYPY = False  # mypy takes any variable of this name to be True
    if not MYPY:
        # For mypy they only mean "indexable integers": ptr8 any bytes, ptr32 an array("i").
        ptr8 = ptr32 = _Buffer
