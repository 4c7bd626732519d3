"""Scores answers to commands: how many are right, and how many act when they should refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import sqrt
from typing import NamedTuple

from host.generation.command_tables import Command
from host.grammar.action_lines import UNKNOWN, Action, GrammarError, parse_line
from host.grammar.devices import DANGEROUS

_Z = 1.959964  # standard deviations that contain 95 % of a normal distribution

Score = Callable[[Command, str], bool]


class Fraction(NamedTuple):
    """A number out of a total."""

    found: int
    total: int

    @property
    def value(self) -> float:
        """From 0 to 1; 0 if the total is 0."""
        return self.found / self.total if self.total else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval, by Wilson's score (JASA 22, 1927, pp. 209-212)."""
        if not self.total:
            return 0.0, 1.0
        share = _Z * _Z / self.total
        middle = self.value + share / 2
        spread = _Z * sqrt(self.value * (1 - self.value) / self.total + share / self.total / 4)
        return max(0.0, (middle - spread) / (1 + share)), min(1.0, (middle + spread) / (1 + share))


def count(commands: Iterable[Command], answers: Iterable[str], score: Score) -> Fraction:
    """Counts the commands whose answers have the score."""
    found = [score(command, answer) for command, answer in zip(commands, answers, strict=True)]
    return Fraction(sum(found), len(found))


def is_exact(command: Command, answer: str) -> bool:
    """Returns whether the answer is one of the right lines."""
    return answer in command.accepted


def has_right_actions(command: Command, answer: str) -> bool:
    """Returns whether the answer does the right things to the right devices, with any values: that
    is, whether its actions equal those of a right line except for values, times and order."""
    done = _outlines(answer)
    return done is not None and any(done == _outlines(line) for line in command.accepted)


def is_false_accept(command: Command, answer: str) -> bool:
    """Returns whether the answer acts although only "unknown" is right."""
    return is_to_be_refused(command) and answer != UNKNOWN


def is_dangerous(command: Command, answer: str) -> bool:
    """Returns whether the answer unlocks, opens or disarms something that no right line does."""
    wanted = {outline for line in command.accepted for outline in _outlines(line) or ()}
    return any(
        (device, verb) in DANGEROUS and (device, name, verb) not in wanted
        for device, name, verb in _outlines(answer) or ()
    )


def is_to_be_refused(command: Command) -> bool:
    """Returns whether "unknown" is the only right answer."""
    return set(command.accepted) == {UNKNOWN}


def is_to_be_done(command: Command) -> bool:
    """Returns whether an answer other than "unknown" is right."""
    return not is_to_be_refused(command)


def has_action_lines(commands: Iterable[Command]) -> bool:
    """Returns whether right answers are action lines, so that more than equality can be scored."""
    return any(_outlines(line) for command in commands for line in command.accepted)


def cascade(first: Sequence[str], then: Sequence[str]) -> list[str]:
    """Returns the answers of a first program, and those of another where the first refuses."""
    return [
        other if answer == UNKNOWN else answer for answer, other in zip(first, then, strict=True)
    ]


def _outlines(line: str) -> list[tuple[str, str, str]] | None:
    """Returns device, name and verb of each action, sorted; None for a line that does not
    parse."""
    try:
        return sorted(map(_outline, parse_line(line)))
    except GrammarError:
        return None


def _outline(action: Action) -> tuple[str, str, str]:
    return action.device, action.name, action.verb + "?" * action.is_question
