"""How long to wait for answers before asking again."""

from __future__ import annotations

_SHORTEST = 0.006  # seconds that are waited at least, however fast answers come


class Pace:
    """How long answers of one kind take, and so how long to wait before asking again.

    The mean and mean deviation of the time until the last answer, as TCP estimates its
    round-trip time (RFC 6298). Of a request that had to be repeated, the answers that came before
    count; a chip that answers twice says that the repetition came too early.
    """

    def __init__(self, first: float, longest: float) -> None:
        """first: seconds to wait before anything is learned; longest: as `longest_wait`."""
        self._first, self._longest = first, longest
        self._mean: float | None = None
        self._deviation = 0.0

    @property
    def wait(self) -> float:
        """Seconds to wait."""
        if self._mean is None:
            return self._first
        return max(self._mean + 4 * self._deviation, _SHORTEST)

    @property
    def longest_wait(self) -> float:
        """Seconds beyond which waiting is not drawn out while there is no answer."""
        return max(self.wait, self._longest)

    def learn(self, taken: float) -> None:
        """Takes in the time, in seconds, until the last answer to a request sent once."""
        if self._mean is None:
            self._mean, self._deviation = taken, taken / 2
        self._deviation += (abs(taken - self._mean) - self._deviation) / 4
        self._mean += (taken - self._mean) / 8

    def was_hasty(self) -> None:
        """Takes in that a request was repeated while its answer was on the way.

        Bounded, because where frames are lost and doubled every repetition looks hasty.
        """
        most = max(self._mean or 0.0, self._longest) / 4
        doubled = max(2 * self._deviation, _SHORTEST / 4)
        self._deviation = max(self._deviation, min(doubled, most))
