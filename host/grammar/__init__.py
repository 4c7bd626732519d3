"""Grammars of answers: if a model's prompt format names one, only its answers are passed on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from host.errors import ModelError
from host.grammar import action_lines
from host.grammar.action_lines import GrammarError


@dataclass(frozen=True)
class Grammar:
    """A grammar of a model's answers.

    parse: raises GrammarError for a text that is not one; refusal: the answer for "this cannot be
    done", which replaces an answer that does not parse.
    """

    name: str
    parse: Callable[[str], object]
    refusal: str

    def verify(self, answer: str) -> tuple[str, str]:
        """Returns the answer to pass on, and "" or, if it is the refusal in place of an answer
        that does not parse, the reason."""
        try:
            self.parse(answer)
        except GrammarError as error:
            return self.refusal, str(error)
        return answer, ""


ACTION_LINES = Grammar("action-lines", action_lines.parse_line, action_lines.UNKNOWN)
GRAMMARS = {grammar.name: grammar for grammar in (ACTION_LINES,)}


def find_grammar(name: object) -> Grammar:
    """Returns the grammar of this name. Raises ModelError if there is none."""
    grammar = GRAMMARS.get(name) if isinstance(name, str) else None
    if grammar is None:
        raise ModelError(f"grammar must be {' or '.join(GRAMMARS)}, got {name!r:.60}")
    return grammar
