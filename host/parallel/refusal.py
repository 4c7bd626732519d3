"""The error for a model that chips cannot hold: why, and what would help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from host.errors import Curable, one_line


@dataclass(frozen=True)
class Advice:
    """Why a model does not fit, and what would help.

    problem: what is wrong; chips, context: how many chips, or positions, are enough, each None if
    no number is; otherwise: what to do if no number of chips is enough; uart_helps: whether a
    serial line per chip would leave enough heap.
    """

    problem: str
    chips: int | None
    context: int | None
    otherwise: str = ""
    uart_helps: bool = False

    @property
    def text(self) -> str:
        """The problem and the advice in one line."""
        less = f", or --context {self.context}" if self.context else ""
        if self.chips:
            return f"{self.problem}: {self.chips} chip{'s' * (self.chips > 1)} would do{less}"
        if self.uart_helps:
            less += ", or --link uart"  # the radio takes memory for itself
        return f"{self.problem}{self.otherwise}{less}"


class DoesNotFit(Curable):
    """The chips cannot hold the model; the message says why, and what would help.

    Finding advice takes time, so it is done only when the message or the advice is read.
    """

    def __init__(self, find_advice: Callable[[], Advice]) -> None:
        super().__init__("")
        self._find_advice = find_advice

    @cached_property
    def advice(self) -> Advice:
        """The advice on what would help."""
        return self._find_advice()

    @property
    def chips(self) -> int | None:
        """The number of chips that is enough, None if no number is."""
        return self.advice.chips

    def __str__(self) -> str:
        return one_line(self.advice.text)
