"""The wire format between host and chips: the same files run under CPython and MicroPython."""
