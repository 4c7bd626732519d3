"""The time of roles under test: it passes when a test says so."""

from firmware.roles import all_reduce, handover, pipeline


class Clock:
    """Milliseconds, in place of MicroPython's."""

    def __init__(self):
        self.now = 1000

    def ticks_ms(self):
        return self.now

    def pass_ms(self, milliseconds):
        """Lets so much time pass."""
        self.now += milliseconds


CLOCK = Clock()
for module in (all_reduce, handover, pipeline):
    module.ticks_ms = CLOCK.ticks_ms
