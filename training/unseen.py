"""Loads commands that a training must not contain: those of a table for the evaluation of the
model."""

from __future__ import annotations

from pathlib import Path

from host.generation.command_tables import load_commands
from host.home.home_file import default_home
from host.home.marking import mark_names
from host.model.prompt_format import load_format
from host.paths import HOME_MODEL


def load_unseen(table: Path) -> frozenset[str]:
    """Returns the commands of a table as the model would see them: normalized, and with symbols in
    place of names, so that a sentence is excluded for all rooms at once. Raises ModelError."""
    normalization, home = load_format(HOME_MODEL).normalization, default_home()
    texts = (normalization.apply(command.text) for command in load_commands(table))
    return frozenset(mark_names(text, home).text for text in texts)
