"""Renders conversations by a model's chat template, and encodes them as tokens.

A template is a Jinja program that comes with a model, so it runs in Jinja's sandbox. It gets the
variables and functions that transformers' `apply_chat_template` offers.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from host.errors import ModelError
from host.model.tokenizers.text import Tokenizer

if TYPE_CHECKING:
    from jinja2 import Template

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
# Inserted into messages where they contain the text of a control token, so that it does not become
# that token: a code point that is not a character.
_GUARD = "\ufdd0"


@dataclass(frozen=True)
class Message:
    """A message. role: "system", "user", "assistant", or another that the template knows; content:
    its text."""

    role: str
    content: str


Conversation = Sequence[Message]


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template. source: the Jinja program; words: special tokens that it may name, as
    bos_token."""

    source: str
    words: Mapping[str, str] = field(default_factory=dict)

    def render(self, messages: Conversation) -> str:
        """Returns the text up to where the model's answer begins.

        Raises ModelError for a template that fails, or refuses these messages.
        """
        from jinja2 import TemplateError
        from jinja2.sandbox import SecurityError

        try:
            return self._template.render(
                messages=[{"role": one.role, "content": one.content} for one in messages],
                add_generation_prompt=True,
                tools=None,
                documents=None,
                **self.words,
            )
        except _Refusal as refusal:
            raise ModelError(f"the model's chat template refuses this: {refusal}") from None
        except SecurityError as error:
            raise ModelError(f"the model's chat template is not allowed that: {error}") from None
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ModelError(f"the model's chat template fails: {reason}") from None

    def encode(self, messages: Conversation, tokenizer: Tokenizer) -> list[int]:
        """Returns the tokens of a conversation, up to where the model's answer begins.

        They begin with BOS if the tokenizer begins texts so, but only once if the template puts it
        there too. The text of a control token within a message stays text, so that no message can
        end itself or speak for another role. Raises ModelError as render does.
        """
        controls = tokenizer.controls
        names = [re.escape(text) for text in sorted(controls, key=len, reverse=True)]
        pattern = re.compile(f"({'|'.join(names)})") if names else None

        def guard(text: str) -> str:
            text = text.replace(_GUARD, "")
            return pattern.sub(lambda found: _break_up(found[0]), text) if pattern else text

        text = self.render([Message(one.role, guard(one.content)) for one in messages])
        if _GUARD not in text or pattern is None:
            tokens = tokenizer.encode(text, bos=False)
        else:
            tokens = []
            for part in pattern.split(text):
                if part in controls:
                    tokens.append(controls[part])
                elif part:
                    tokens += tokenizer.encode(part.replace(_GUARD, ""), bos=False, control=False)
        begins = tokenizer.encode("a")[:1] == [tokenizer.bos] or not tokens
        return [tokenizer.bos, *tokens] if begins and tokens[:1] != [tokenizer.bos] else tokens

    def fields(self) -> dict[str, Any]:
        """Returns the fields from which `parse_chat_template` makes the template."""
        return {"source": self.source, "words": dict(self.words)}

    @cached_property
    def _template(self) -> Template:
        from jinja2 import TemplateSyntaxError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _dump_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _format_now
        try:
            return environment.from_string(self.source)
        except TemplateSyntaxError as error:
            raise ModelError(f"its chat template is no Jinja: {error.message}") from None
        except RecursionError:
            raise ModelError("its chat template is nested too deeply") from None


def parse_chat_template(fields: object) -> ChatTemplate:
    """Makes the template from the fields of a TOML or JSON object. Raises ModelError."""
    if not isinstance(fields, dict) or not isinstance(fields.get("source"), str):
        raise ModelError("chat must be a table with the template's source, a text")
    words = fields.get("words", {})
    if not isinstance(words, dict) or not all(isinstance(text, str) for text in words.values()):
        raise ModelError("chat.words must be a table of texts")
    if unknown := fields.keys() - {"source", "words"}:
        raise ModelError(f"unknown field chat.{min(unknown)}")
    return ChatTemplate(fields["source"], dict(words))


def _break_up(text: str) -> str:
    return _GUARD.join(text) if len(text) > 1 else text


class _Refusal(Exception):
    """Raised by a template for messages that it refuses."""


def _refuse(message: object) -> None:
    raise _Refusal(f"{message}"[:200])


def _format_now(form: str) -> str:
    return datetime.datetime.now().strftime(form)


def _dump_json(value: object, indent: int | None = None, **options: Any) -> str:
    """Returns JSON for a model, not for a web page: Jinja's own filter escapes "<"."""
    return json.dumps(value, ensure_ascii=False, indent=indent)
