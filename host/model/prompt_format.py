"""The format of a model's prompts: a template, examples, and how answers are checked.

A model that continues any text needs none of this. One that answers, as the home model does, has a
TOML file beside it, with the name of the model's file and the suffix .toml. Only the first field
is required:

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
    """The answer that is passed on.

    text: the model's answer, or a refusal in its place; refused: why it was refused, "" if it was
    not; needs_confirmation: whether it would unlock, open or disarm something, which should not be
    done without asking the user.
    """

    text: str
    refused: str = ""
    needs_confirmation: bool = False


def describe_doubt(confidence: float, least: float) -> str:
    """Returns the reason for refusing an answer that the model is not sure enough of."""
    return f"the model is not sure: {confidence:.3f}, and {least:g} is needed"


@dataclass(frozen=True)
class PromptFormat:
    """The format of a model's prompts.

    template: the text that the model is given, with {prompt} in place of the prompt; examples:
    prompts; normalization: how prompts are rewritten, None for not at all; spelling: which
    typing errors in them are corrected, None for none; grammar: that of answers, None for any
    text; names: SYMBOLS if the model knows symbols in place of a home's names, else ""; home:
    the home with these names, in which answers must be possible, None for any; chat: the chat
    template, None if the model does not know conversations; confidence: how sure the model must
    be.

    Raises ModelError for a template without {prompt}, and for symbols with a grammar other than
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
        """Whether the model's text is an answer to the prompt, not its continuation."""
        return self.template != _PLACE

    def mark(self, prompt: str) -> Marked:
        """Returns the normalized prompt, with symbols in place of names if the model knows
        symbols. Raises TextError if it is not text."""
        prompt = text_input.normalize(prompt)
        if self.normalization:
            prompt = self.normalization.apply(prompt)
        if self.names and self.home:
            return mark_names(prompt, self.home)
        return Marked(prompt, {}, {}, {})

    def rewrite(self, prompt: str) -> str:
        """Returns the marked prompt with typing errors corrected: names were found before, so that
        no other word becomes one. Raises TextError if it is not text."""
        text = self.mark(prompt).text
        if self.spelling is None:
            return text
        return self.spelling.correct(text, list_name_words(self.home) if self.home else ())

    def text(self, prompt: str) -> str:
        """Returns the template with the rewritten prompt in it, without blanks around the prompt
        if the model answers. Raises TextError if it is not text."""
        text = self.rewrite(prompt)
        return self.template.replace(_PLACE, text.strip() if self.answers else text)

    def automaton(self, prompt: str) -> Automaton | None:
        """Returns the automaton that constrains answers to the grammar, None if there is none.

        It allows only symbols that occur in the prompt, or the home's ids.
        """
        if self.grammar is not ACTION_LINES or self.home is None:
            return None
        if not self.names:
            return line_automaton(self.home.line_names)
        marked = self.mark(prompt)
        devices = tuple((kind, symbol) for symbol, kind in marked.kinds.items())
        return line_automaton(LineNames(tuple(marked.places), devices))

    def verify(self, text: str, prompt: str, confidence: float = 1.0) -> Answer:
        """Returns the Answer to pass on, given the model's text and its confidence.

        It is the grammar's refusal if the text does not parse, if the home cannot do it, if the
        model is not sure enough, or if the prompt does not ask for a dangerous action; else the
        text, with names in place of symbols.
        """
        if self.grammar is None:
            return Answer(text)
        answer, reason = self.grammar.verify(text)
        if reason or self.home is None:
            return Answer(answer, reason)
        marked = self.mark(prompt)
        try:
            actions = self.home.resolve(marked.restore(parse_line(answer)))
        except NotInHome as error:
            return Answer(self.grammar.refusal, str(error))
        is_dangerous = any((each.device, each.verb) in DANGEROUS for each in actions)
        least = self.confidence.dangerous if is_dangerous else self.confidence.least
        if actions and confidence < least:
            reason = describe_doubt(confidence, least)
        elif is_dangerous:
            # Judged by the words as they were typed: a corrected word must not unlock a door.
            named = marked if self.names else mark_names(marked.text, self.home)
            if unknown := list_unknown_words(marked.text, self.home):
                reason = f"{answer}: the home has no name with {unknown[0]!r:.40} in it"
            else:
                reason = explain_unsaid(actions, named)
        if reason:
            return Answer(self.grammar.refusal, reason)
        return Answer(format_line(actions), "", is_dangerous)

    def at_home(self, home: Home) -> PromptFormat:
        """Returns the format for another home. Raises ModelError for a model without a home."""
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
    """Makes the format from the fields of a TOML or JSON object. Raises ModelError."""
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
    """Returns the path of the file with the format of the model at `model`."""
    model = Path(model)
    if model.name in ("", ".."):  # of "." too
        model = Path(os.path.abspath(model))
    return model.with_name(f"{model.name if model.is_dir() else model.stem}.toml")


def load_format(model: str | Path) -> PromptFormat:
    """Loads the format from the file beside the model at `model`; CONTINUATION if there is none.

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
