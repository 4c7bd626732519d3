"""A finite automaton over characters, whose states are made from rules when they are first
reached.

A rule is a choice between sequences of texts and other rules; no rule may contain itself. A state
is the set of sequences that may still follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

DEAD = -1  # the state after characters with which no text begins


@dataclass(frozen=True, eq=False)
class Rule:
    """A choice between sequences of texts and rules."""

    alternatives: tuple[tuple[str | Rule, ...], ...]


def one_of(texts: Iterable[object]) -> Rule:
    """Returns the rule for any one of these texts."""
    return Rule(tuple((str(text),) for text in texts))


def optional(*parts: str | Rule) -> Rule:
    """Returns the rule for these parts in sequence, or nothing."""
    return Rule((parts, ()))


_Stack = tuple["str | Rule", ...]


class Automaton:
    """Recognizes texts of a rule, character by character. States are numbers; `start` is the
    first."""

    start = 0

    def __init__(self, rule: Rule) -> None:
        self._numbers: dict[frozenset[_Stack], int] = {}
        self._stacks: list[frozenset[_Stack]] = []
        self._edges: list[dict[str, int] | None] = []
        self._finals: list[bool] = []
        self._number(frozenset(_expand((rule,))))

    def edges(self, state: int) -> dict[str, int]:
        """Returns the states after each character that may follow."""
        edges = self._edges[state]
        if edges is None:
            following: dict[str, set[_Stack]] = {}
            for stack in self._stacks[state]:
                if stack:
                    text, rest = str(stack[0]), stack[1:]
                    left = (text[1:], *rest) if len(text) > 1 else rest
                    following.setdefault(text[0], set()).update(_expand(left))
            edges = {each: self._number(frozenset(to)) for each, to in following.items()}
            self._edges[state] = edges
        return edges

    def is_final(self, state: int) -> bool:
        """Returns whether a text may end in this state."""
        return self._finals[state]

    def follow(self, state: int, text: str) -> int:
        """Returns the state after a text, DEAD if it may not follow."""
        for character in text:
            state = self.edges(state).get(character, DEAD)
            if state == DEAD:
                return DEAD
        return state

    def find_sole_path(self, state: int) -> tuple[str, int]:
        """Returns the text that must follow, up to the first choice, and the state after it."""
        path = ""
        while len(self.edges(state)) == 1 and not self.is_final(state):
            ((character, state),) = self.edges(state).items()
            path += character
        return path, state

    def _number(self, stacks: frozenset[_Stack]) -> int:
        number = self._numbers.get(stacks)
        if number is None:
            number = self._numbers[stacks] = len(self._stacks)
            self._stacks.append(stacks)
            self._edges.append(None)
            self._finals.append(() in stacks)
        return number


def _expand(stack: _Stack) -> Iterator[_Stack]:
    """Yields the sequences to which a sequence expands: each begins with a text that is not empty,
    or is empty."""
    if not stack or (isinstance(stack[0], str) and stack[0]):
        yield stack
    elif isinstance(stack[0], Rule):
        for parts in stack[0].alternatives:
            yield from _expand((*parts, *stack[1:]))
    else:
        yield from _expand(stack[1:])
