"""What differs between CPython and MicroPython, so that the other files need not know.

A hot loop is written once, as a `@micropython.viper` function that does nothing with its
pointers but index them and whose integers stay within 32 bits. MicroPython compiles it to
machine code; here, under CPython, the decorator is the identity and the same source runs on
bytearrays and array("i").
"""

try:
    from time import ticks_diff, ticks_ms  # type: ignore[attr-defined]

    import micropython
    from micropython import const
except ImportError:
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

# Names for viper's annotations. MicroPython's compiler knows them without looking them up;
# elsewhere they only say "indexable integers": ptr8 any bytes, ptr32 an array("i").
ptr8 = bytearray
ptr32 = bytearray
