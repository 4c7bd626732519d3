"""Chooses how a model is divided: the way that is modelled to be the fastest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from host.model.quantized import QuantizedModel
from host.parallel.assessment import assess_all, recommend
from host.parallel.boards import BoardSet
from host.parallel.fitting import explain, find_first_plan
from host.parallel.parallelism import Parallelism
from host.parallel.strategies import find_strategy

_LINKS = {"uart": "UART", "espnow": "ESP-NOW", "ring": "a ring"}


@dataclass(frozen=True)
class Choice:
    """How a model is divided, and the reason."""

    parallelism: Parallelism
    reason: str

    def describe(self) -> str:
        """Returns both as text: "tensor, host reduce (as flashed)"."""
        what = find_strategy(self.parallelism).describe(self.parallelism)
        return f"{what} ({self.reason})"

    def __str__(self) -> str:
        return f"parallelism: {self.describe()}"


def choose_parallelism(model: QuantizedModel, boards: BoardSet, batch: bool) -> Choice:
    """Chooses the parallelism modelled to be the fastest for one sequence, or for a batch of them.

    Where times cannot be modelled it is the first that fits. Raises ModelError if none fits.
    """
    if any(board.is_simulated for board in boards.boards):
        reason = "not modelled: simulated chips have no clock"
        return Choice(find_first_plan(model, boards).parallelism, reason)
    fitting, problems = assess_all(model, boards)
    if not fitting:
        raise explain(problems)
    best = recommend(fitting, many=batch)
    where = f"for {_count_boards(boards)} over {_describe_link(boards)}"
    if best is None:
        reason = f"not modelled {where}"
    elif len(fitting) == 1:
        reason = f"the only one that fits, {where}"
    else:
        goal = " for many sequences" if batch else ""
        of_all = f"{len(fitting)}{' that fit' if problems else ''}"
        reason = f"modelled as fastest{goal} of {of_all} {where}"
    return Choice((best or fitting[0]).plan.parallelism, reason)


def _describe_link(boards: BoardSet) -> str:
    """Returns the link with the speed of its slowest lines, as text."""
    name, baud = _LINKS[boards.kind], boards.line_baud
    return name if boards.link.has_radio or baud is None else f"{name} at {baud:,} baud"


def _count_boards(boards: BoardSet) -> str:
    """Returns the numbers of boards as text: "3 esp32s3 and 2 esp32c3"."""
    counts = Counter(board.name for board in boards.boards)
    *others, last = (f"{count} {name}" for name, count in counts.items())
    return " and ".join(filter(None, [", ".join(others), last]))
