"""What differs between CPython and MicroPython, so that the other files need not know.

Most hot functions are written once, as `@micropython.viper` functions that do nothing with their
pointers but index them and whose integers stay within 32 bits. MicroPython compiles them to
machine code; under CPython the decorator is the identity and the same source runs on bytearrays
and array("i"). The hottest loops move their pointers, and CPython has others in their place:
framing_pointers.py and framing_plain.py, bitpack_pointers.py and bitpack_plain.py, frame_check.py.
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
        """Milliseconds of a clock that only goes forward; MicroPython's wraps."""
        return int(monotonic() * 1000)

    def ticks_diff(later, earlier):
        """Milliseconds from one reading of it to another."""
        return later - earlier

    def _unchanged(value):
        return value

    const = _unchanged
    micropython = SimpleNamespace(viper=_unchanged, native=_unchanged)

    class _Buffer:
        """What viper casts to a pointer is the buffer itself."""

        def __new__(cls, buffer):
            return buffer

    MYPY = False  # which takes it to be True
    if not MYPY:
        # They only say "indexable integers": ptr8 any bytes, ptr32 an array("i").
        ptr8 = ptr32 = _Buffer
