"""Installs the packages that only training needs into the checkout's virtual environment.

python -m training.environment
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from host.errors import SetupError
from host.paths import SOURCES
from host.setup.environment import install


def read_requirements(pyproject: Path) -> list[str]:
    """Returns the packages of the dependency group "train"."""
    packages: list[str] = tomllib.loads(pyproject.read_text())["dependency-groups"]["train"]
    return packages


def main() -> None:
    """Installs the packages."""
    needed = read_requirements(SOURCES / "pyproject.toml")
    print(f"train: {', '.join(needed)} and what they need", flush=True)
    try:
        install(needed)
    except SetupError as reason:
        sys.exit(f"train: {reason}")


if __name__ == "__main__":
    main()
