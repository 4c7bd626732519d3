# mypy: ignore-errors
"""Stand-in for MicroPython's `neopixel` on a simulated chip: addressable LEDs on a pin."""


class NeoPixel:
    """Keeps its colours. `written` is what the LEDs show since the last write()."""

    def __init__(self, pin, n, bpp=3, timing=1):
        self.pin = pin
        self.n = n
        self._dark = (0,) * bpp
        self._colours = [self._dark] * n
        self.written = [self._dark] * n

    def __setitem__(self, index, colour):
        if len(colour) != len(self._dark):
            raise ValueError("colour of another length")
        self._colours[index] = tuple(colour)

    def __getitem__(self, index):
        return self._colours[index]

    def write(self):
        """Shows the colours."""
        self.written[:] = self._colours
