"""The format of a model's prompts: what goes around one, and prompts that show what it does.

A model that goes on with any text needs none of this. One that answers, as the home model does,
has a TOML file beside it, called as the model's file but for the ending. Of its fields, only the
first must be there:

    template = "{prompt}\\n"      # what the model is given, {prompt} being what was said
    examples = ["turn off the kitchen lights"]    # prompts that show what it does
    grammar = "action-lines"    # what its answers are (host/grammar/): no others are passed on
    names = "symbols"           # what it knows in the place of names (host/home/marking.py)
    [confidence]                # how sure the model must be of an answer (confidence.py)
    least = 0.8
    [normalization]             # how prompts are rewritten first (normalization.py)
    lower_case = true
    punctuation = true
    wake_words = ["hey", "alexa", "computer,"]
    [spelling]                  # which typing errors in prompts are put right (spelling.py)
    words = "turn switch lights"
    kept = "torn"
    [chat]                      # of a model that was trained on conversations (chat.py), where its
    source = "{% for ... %}"    # own files have no such template, or another is to be used
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from host import text_input
from host.errors import ModelError
from host.grammar import ACTION_LINES, Grammar, find_grammar
from host.grammar.action_lines import format_line, parse_line
from host.grammar.automaton import Automaton
from host.grammar.devices import DANGEROUS
from host.grammar.line_rules import LineNames, line_automaton
from host.home.caution import list_unknown_words
from host.home.evidence import explain_unsaid
from host.home.home import Home, NotInHome
from host.home.home_file import default_home
from host.home.marking import Marked, mark_names
from host.home.names import list_name_words
from host.model.chat import ChatTemplate, parse_chat_template
from host.model.confidence import ANY, Confidence, parse_confidence
from host.model.normalization import Normalization, parse_normalization
from host.model.spelling import Spelling, parse_spelling
from host.toml_file import read_toml

_PLACE = "{prompt}"
SYMBOLS = "symbols"


@dataclass(frozen=True)
class Answer:
    """What is passed on of a model's answer: its text; refused: why that is a refusal in the place
    of what the model wrote, empty where it is not; needs_confirmation: whether it would unlock,
    open or disarm, which nobody should do without having asked."""

    text: str
    refused: str = ""
    needs_confirmation: bool = False


def describe_doubt(confidence: float, least: float) -> str:
    """Returns why an answer is refused of which the model is not sure enough."""
    return f"the model is not sure: {confidence:.3f}, and {least:g} is needed"


@dataclass(frozen=True)
class PromptFormat:
    """template: what the model is given, with {prompt} in the prompt's place; examples: prompts;
    normalization: how prompts are rewritten, None for not at all; spelling: which typing errors
    in them are put right, None for none; grammar: what answers are, None
    for any text; names: SYMBOLS where the model knows these in the place of a home's names, else
    empty; home: whose names they are, and where answers must be possible, None for anywhere;
    chat: how conversations are given to the model, None where it knows none; confidence: how sure
    it must be.

    Raises ModelError for a template without the place, and for symbols in other answers than
    action lines.
    """

    template: str = _PLACE
    examples: tuple[str, ...] = ()
    normalization: Normalization | None = None
    grammar: Grammar | None = None
    names: str = ""
    home: Home | None = None
    chat: ChatTemplate | None = None
    confidence: Confidence = ANY
    spelling: Spelling | None = None

    def __post_init__(self) -> None:
        if _PLACE not in self.template:
            raise ModelError(f"template {self.template!r} has no {_PLACE} in it")
        if self.names and not (self.names == SYMBOLS and self.grammar is ACTION_LINES):
            raise ModelError(
                f'names must be "{SYMBOLS}", of a model whose grammar is "{ACTION_LINES.name}"'
            )

    @property
    def answers(self) -> bool:
        """Whether the model's text is an answer to the prompt, and does not go on from it."""
        return self.template != _PLACE

    def mark(self, prompt: str) -> Marked:
        """Returns `prompt` as `mark_as_said`, with its typing errors put right: after names were
        found, so that no other word becomes one. Raises TextError for what is no text."""
        marked = self.mark_as_said(prompt)
        if self.spelling is None:
            return marked
        names = list_name_words(self.home) if self.home else frozenset[str]()
        return replace(marked, text=self.spelling.correct(marked.text, names))

    def mark_as_said(self, prompt: str) -> Marked:
        """Returns `prompt` normalized, with symbols in the place of names where the model knows
        these. Raises TextError for what is no text."""
        prompt = text_input.normalize(prompt)
        if self.normalization:
            prompt = self.normalization.apply(prompt)
        if self.names and self.home:
            return mark_names(prompt, self.home)
        return Marked(prompt, {}, {}, {})

    def text(self, prompt: str) -> str:
        """Puts `prompt` into the template, as `mark` gives it, and without blanks around it where
        the model answers. Raises TextError for what is no text."""
        text = self.mark(prompt).text
        return self.template.replace(_PLACE, text.strip() if self.answers else text)

    def automaton(self, prompt: str) -> Automaton | None:
        """Returns what holds answers to `prompt` to the grammar, None where there is none: to
        lines with the symbols that stand in the prompt, or with the home's ids."""
        if self.grammar is not ACTION_LINES or self.home is None:
            return None
        if not self.names:
            return line_automaton(self.home.line_names)
        marked = self.mark(prompt)
        devices = tuple((kind, symbol) for symbol, kind in marked.kinds.items())
        return line_automaton(LineNames(tuple(marked.places), devices))

    def verify(self, text: str, prompt: str, confidence: float = 1.0) -> Answer:
        """Returns what is to be passed on of the model's answer to `prompt`: the grammar's refusal
        where it does not parse, where the home cannot do it, or where the model is not as sure of
        it as it must be; else the answer, with names in the place of symbols."""
        if self.grammar is None:
            return Answer(text)
        answer, reason = self.grammar.verify(text)
        if reason or self.home is None:
            return Answer(answer, reason)
        try:
            actions = self.home.resolve(self.mark(prompt).restore(parse_line(answer)))
        except NotInHome as error:
            return Answer(self.grammar.refusal, str(error))
        is_dangerous = any((each.device, each.verb) in DANGEROUS for each in actions)
        least = self.confidence.dangerous if is_dangerous else self.confidence.least
        if actions and confidence < least:
            return Answer(self.grammar.refusal, describe_doubt(confidence, least))
        said = self.mark_as_said(prompt).text  # what is dangerous is done by no guess at words
        if is_dangerous and (unknown := list_unknown_words(said, self.home)):
            reason = f"{answer}: the home has no name with {unknown[0]!r:.40} in it"
            return Answer(self.grammar.refusal, reason)
        if is_dangerous and (reason := explain_unsaid(actions, self._names_of(prompt))):
            return Answer(self.grammar.refusal, reason)
        return Answer(format_line(actions), "", is_dangerous)

    def _names_of(self, prompt: str) -> Marked:
        """The names in a prompt as symbols, whatever the model knows them by."""
        marked = self.mark_as_said(prompt)
        return marked if self.names or self.home is None else mark_names(marked.text, self.home)

    def at_home(self, home: Home) -> PromptFormat:
        """Returns the format for another home. Raises ModelError for a model that has none."""
        if self.home is None:
            raise ModelError("--home: this model's answers are not about a home")
        return replace(self, home=home)

    def fields(self) -> dict[str, Any]:
        """Returns the fields from which `parse_format` makes the format."""
        fields: dict[str, Any] = {"template": self.template, "examples": list(self.examples)}
        if self.normalization:
            fields["normalization"] = self.normalization.fields()
        if self.spelling:
            fields["spelling"] = self.spelling.fields()
        if self.grammar:
            fields["grammar"] = self.grammar.name
        if self.names:
            fields["names"] = self.names
        if self.chat:
            fields["chat"] = self.chat.fields()
        if self.confidence != ANY:
            fields["confidence"] = self.confidence.fields()
        return fields


CONTINUATION = PromptFormat()
_FIELDS = {
    "template", "examples", "normalization", "spelling", "grammar", "names", "chat", "confidence",
}  # fmt: skip


def parse_format(fields: dict[str, Any]) -> PromptFormat:
    """Makes the format from fields of a TOML or JSON object. Raises ModelError."""
    examples = fields.get("examples", [])
    if not isinstance(fields.get("template"), str):
        raise ModelError('no template, as template = "{prompt}\\n"')
    if not isinstance(examples, list) or not all(isinstance(text, str) for text in examples):
        raise ModelError("examples must be a list of texts")
    if unknown := fields.keys() - _FIELDS:
        raise ModelError(f"unknown field {min(unknown)}")
    normalization, grammar = fields.get("normalization"), fields.get("grammar")
    chat, spelling = fields.get("chat"), fields.get("spelling")
    return PromptFormat(
        fields["template"],
        tuple(examples),
        None if normalization is None else parse_normalization(normalization),
        None if grammar is None else find_grammar(grammar),
        fields.get("names", ""),
        default_home() if grammar == ACTION_LINES.name else None,
        None if chat is None else parse_chat_template(chat),
        parse_confidence(fields.get("confidence", {})),
        None if spelling is None else parse_spelling(spelling),
    )


def format_path(model: str | Path) -> Path:
    """Returns where the file with the format of the model at `model` would be."""
    model = Path(model)
    if model.name in ("", ".."):  # of "." too
        model = Path(os.path.abspath(model))
    return model.with_name(f"{model.name if model.is_dir() else model.stem}.toml")


def load_format(model: str | Path) -> PromptFormat:
    """Loads the format from the file beside the model at `model`, CONTINUATION where none is.

    Raises ModelError, naming the file and what is wrong with it.
    """
    path = format_path(model)
    try:
        return parse_format(read_toml(path))
    except FileNotFoundError:
        return CONTINUATION
    except OSError as error:
        raise ModelError(f"{path}: cannot read the prompt's format: {error.strerror}") from error
    except (ModelError, ValueError) as error:
        raise ModelError(f"{path}: {error}") from None
