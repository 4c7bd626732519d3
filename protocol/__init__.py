"""The wire between host and chips: the same files run under CPython and MicroPython."""
