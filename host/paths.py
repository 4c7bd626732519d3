"""Finds the files that the program comes with, and the folder for files that it makes.

In a checkout all folders lie side by side, and what is made stays in the checkout. Installed, the
packages `host`, `firmware` and `protocol` lie side by side too, the wheel puts models and boards
into `host/resources/` (see pyproject.toml), and what is made goes to the user's cache folder.

Standard library alone at import: host/setup/ uses this before anything is installed.
"""

from __future__ import annotations

from pathlib import Path

PROJECT = "micropython-federation"

SOURCES = Path(__file__).resolve().parents[1]  # holds host/, firmware/ and protocol/
IS_CHECKOUT = (SOURCES / "pyproject.toml").is_file()

_RESOURCES = SOURCES if IS_CHECKOUT else SOURCES / "host" / "resources"
MODELS = _RESOURCES / "models"
BOARDS = _RESOURCES / "boards"

HOME_MODEL = MODELS / "home.bin"  # the model that commands use if none is named
HOME_TOKENIZER = MODELS / "tok512.bin"
HELD_OUT = MODELS / "held_out.tsv"  # commands that it was not trained on, and their answers


def state_file(name: str) -> Path:
    """Returns a file that the program keeps for its user from run to run; it may not exist yet."""
    if not IS_CHECKOUT:
        import platformdirs

        return platformdirs.user_state_path(PROJECT, appauthor=False) / name
    return SOURCES / "build" / name


def cache_folder(name: str) -> Path:
    """Returns the folder for files that can be made again; it may not exist yet.

    name: "mpy" (compiled modules), "models" (quantized), "fetched" (models of packages),
    "micropython" (images for boards) or "interpreter" (the MicroPython that simulated chips run).
    """
    if not IS_CHECKOUT:
        import platformdirs

        return platformdirs.user_cache_path(PROJECT, appauthor=False) / name
    return SOURCES / ".micropython" if name == "interpreter" else SOURCES / "build" / name
