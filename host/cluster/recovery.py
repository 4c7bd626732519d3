"""Limits how often what a chip has lost is computed again before the chip is given up."""

from __future__ import annotations

from collections import defaultdict

from host.errors import ClusterError

# Recoveries without a completed token. A chip that restarts more often is faulty.
MOST_RECOVERIES = 8
# Earned by each completed token: with more, a cluster could spend all its time on recoveries.
_EARNED = 0.5


class RecoveryBudget:
    """The recoveries that are left for each cause: a chip, or all chips together."""

    def __init__(self) -> None:
        self._left: defaultdict[object, float] = defaultdict(lambda: float(MOST_RECOVERIES))

    def spend(self, cause: object, problem: str) -> None:
        """Counts a recovery; raises ClusterError with the text `problem` if none is left."""
        if self._left[cause] < 1:
            raise ClusterError(problem)
        self._left[cause] -= 1

    def earn(self) -> None:
        """Counts a completed token."""
        for cause, left in list(self._left.items()):
            self._left[cause] = left + _EARNED
            if self._left[cause] >= MOST_RECOVERIES:
                del self._left[cause]
