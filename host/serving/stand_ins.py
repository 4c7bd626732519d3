"""Chooses the chips to open for a cluster: its own or, if some are missing, those that stand
in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from host.launch import Chips
from host.model.quantized import QuantizedModel


@dataclass(frozen=True)
class StandIn:
    """Chips to open; note: a text on what they are, "" for the cluster's own."""

    chips: Chips
    note: str = ""


class StandIns:
    """Tries in turn a cluster's own chips, its spares, and plans for fewer of its own.

    current: what to open now; has_worked: whether it has generated a token; failures: how often in
    a row nothing could be opened. Spares come before fewer chips, because they are as fast.
    """

    def __init__(self, model: QuantizedModel, own: Chips, spares: Sequence[Chips] = ()) -> None:
        self._model, self._own, self._spares = model, own, spares
        self.failures = 0
        self._begin()

    def advance(self) -> bool:
        """Chooses what to open after the current chips failed: if they had worked, the cluster's
        own, which may be back, else the next ones.

        Returns False if all had their turn, and the own ones are next again.
        """
        following = None if self.has_worked else next(self._rest, None)
        has_next = self.has_worked or following is not None
        self.failures += not has_next
        self._begin(following)
        return has_next

    def _begin(self, chips: StandIn | None = None) -> None:
        if chips is None:
            self._rest = self._others()
        self.current, self.has_worked = chips or StandIn(self._own), False

    def _others(self) -> Iterator[StandIn]:
        for number, chips in enumerate(self._spares, 1):
            yield StandIn(chips, f"on spare {number}, of {_chips(chips.count)}")
        fewer = self._own.without_one(self._model)
        while fewer:
            count = self._own.count
            yield StandIn(fewer, f"planned anew for {fewer.count} of {_chips(count)}")
            fewer = fewer.without_one(self._model)


def _chips(count: int) -> str:
    return f"{count} chip{'s' * (count != 1)}"
