"""Rows of a test matrix in which all pairs of values appear, where all combinations would be too
many.

What goes wrong in a cluster nearly always does so where one or two settings come together (this
strategy on that link), not five: so rows are chosen, as few as can be found in one pass, such that
each two values that can come together do. Settings that must be tried in all combinations are
named. `missing` counts anew what no row has, and tests/test_cover.py asks it about every matrix.
"""

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

Row = tuple[Any, ...]


class Cover:
    """factors: the names of settings and the values of each; whole: those of them that appear in
    all combinations; is_allowed(row): whether such a row can be tried; rows: those to try."""

    def __init__(
        self,
        factors: Mapping[str, Sequence[Any]],
        whole: Sequence[str] = (),
        is_allowed: Callable[[Row], bool] = lambda row: True,
    ) -> None:
        self.names, self._is_allowed = tuple(factors), is_allowed
        places = range(len(self.names))
        self._groups = [*itertools.combinations(places, 2)]
        if whole:
            self._groups.append(tuple(self.names.index(name) for name in whole))
        self._values = [tuple(values) for values in factors.values()]
        self.rows = self._choose()

    def parametrize(self, **options: Any) -> pytest.MarkDecorator:
        """The mark of a test that takes the settings by name; options: of parametrize."""
        return pytest.mark.parametrize(self.names, self.rows, **options)

    def missing(self, rows: Sequence[Row]) -> set[tuple[int, ...]]:
        """The combinations (places of settings, and of a value of each) that could be in some row
        and are in none of these."""
        left = set()
        for group in self._groups:
            for chosen in itertools.product(*(enumerate(self._values[place]) for place in group)):
                wanted = dict(zip(group, (value for _, value in chosen), strict=True))
                if not any(_has(row, wanted) for row in rows) and self._can_be(wanted):
                    left.add((*group, *(number for number, _ in chosen)))
        return left

    def _can_be(self, wanted: Mapping[int, Any]) -> bool:
        others = ([wanted[at]] if at in wanted else v for at, v in enumerate(self._values))
        return any(map(self._is_allowed, itertools.product(*others)))

    def _choose(self) -> list[Row]:
        """Takes the row that has most of what no row before it has, until nothing is left.

        What a row would add only becomes less, so that one look at all of them for each number
        finds those that add so many.
        """
        all_numbers = itertools.product(*(range(len(values)) for values in self._values))
        numbers = [n for n in all_numbers if self._is_allowed(self._row(n))]
        parts = {
            row: {(group, tuple(row[place] for place in group)) for group in self._groups}
            for row in numbers
        }
        # In no order: else the first values of settings would be together in most rows.
        mixed = sorted(parts)
        random.Random(1).shuffle(mixed)
        left, chosen = set().union(*parts.values()), []
        for most in range(len(self._groups), 0, -1):
            for row in mixed:
                if len(parts[row] & left) >= most:
                    left -= parts[row]
                    chosen.append(row)
        return [self._row(numbers) for numbers in sorted(chosen)]

    def _row(self, numbers: Sequence[int]) -> Row:
        return tuple(values[n] for values, n in zip(self._values, numbers, strict=True))


def _has(row: Row, wanted: Mapping[int, Any]) -> bool:
    return all(row[place] == value for place, value in wanted.items())
