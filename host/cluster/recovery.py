"""How often what a chip has lost is computed again before the chip is given up."""

from __future__ import annotations

from collections import defaultdict

from host.errors import ClusterError

# At once. A chip that restarts more often than this has a fault of its own.
MOST_RECOVERIES = 8
# For each token that is completed: with more, a cluster would go on without getting on.
_EARNED = 0.5


class RecoveryBudget:
    """Recoveries that are left, of each cause, a chip or all of them together."""

    def __init__(self) -> None:
        self._left: defaultdict[object, float] = defaultdict(lambda: float(MOST_RECOVERIES))

    def spend(self, cause: object, problem: str) -> None:
        """Takes in a recovery. Raises ClusterError with `problem` where none is left."""
        if self._left[cause] < 1:
            raise ClusterError(problem)
        self._left[cause] -= 1

    def earn(self) -> None:
        """Takes in that a token was completed."""
        for cause, left in list(self._left.items()):
            self._left[cause] = left + _EARNED
            if self._left[cause] >= MOST_RECOVERIES:
                del self._left[cause]
