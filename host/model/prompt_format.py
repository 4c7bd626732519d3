"""The format of a model's prompts: what goes around one, and prompts that show what it does.

A model that goes on with any text needs none of this. One that answers, as the home model does,
has a TOML file beside it, called as the model's file but for the ending, with two fields:

    template = "{prompt}\\n"      # what the model is given, {prompt} being what was said
    examples = ["turn off the kitchen lights"]    # prompts that show what it does; may be left out
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.errors import ModelError

_PLACE = "{prompt}"


@dataclass(frozen=True)
class PromptFormat:
    """template: what the model is given, with {prompt} in the prompt's place; examples: prompts.

    Raises ModelError for a template without the place.
    """

    template: str = _PLACE
    examples: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if _PLACE not in self.template:
            raise ModelError(f"template {self.template!r} has no {_PLACE} in it")

    @property
    def answers(self) -> bool:
        """Whether the model's text is an answer to the prompt, and does not go on from it."""
        return self.template != _PLACE

    def text(self, prompt: str) -> str:
        """Puts `prompt` into the template, without spaces around it where the model answers."""
        return self.template.replace(_PLACE, prompt.strip() if self.answers else prompt)

    def fields(self) -> dict[str, Any]:
        """Returns the fields from which `parse_format` makes the format."""
        return {"template": self.template, "examples": list(self.examples)}


CONTINUATION = PromptFormat()


def parse_format(fields: dict[str, Any]) -> PromptFormat:
    """Makes the format from fields of a TOML or JSON object. Raises ModelError."""
    examples = fields.get("examples", [])
    if not isinstance(fields.get("template"), str):
        raise ModelError('no template, as template = "{prompt}\\n"')
    if not isinstance(examples, list) or not all(isinstance(text, str) for text in examples):
        raise ModelError("examples must be a list of texts")
    if unknown := fields.keys() - {"template", "examples"}:
        raise ModelError(f"unknown field {min(unknown)}")
    return PromptFormat(fields["template"], tuple(examples))


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
        return parse_format(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return CONTINUATION
    except OSError as error:
        raise ModelError(f"{path}: cannot read the prompt's format: {error.strerror}") from error
    except (ModelError, ValueError) as error:
        raise ModelError(f"{path}: {error}") from None
