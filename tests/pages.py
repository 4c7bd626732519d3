"""The commands that the pages show with what they print, and how they are run.

    python -m tests.pages

runs them and writes what they print now into the pages: for whoever changes what is printed.
"""

import os
import re
import subprocess
import sys
import tempfile
import textwrap
import tomllib
from pathlib import Path

from tests.simulation.launch import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
PYTHON = ".venv/bin/python"
BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WIDTH = 99
CHECKED = re.compile(r"(?<=no issues found in )\d+(?= source files)")  # as mypy says it


def shown(block: str) -> dict[str, str]:
    """Returns each command after a $ in a block, with what stands below it."""
    parts = (part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:])
    return {command: printed for command, _, printed in parts}


def blocks() -> dict[str, dict[str, str]]:
    """Returns the commands of each block of all pages, by the page's name and a number."""
    return {
        f"{path.name}-{number}": commands
        for path in PAGES
        for number, text in enumerate(BLOCK.findall(path.read_text(encoding="utf-8")))
        if (commands := shown(text))
    }


def is_run(command: str) -> bool:
    """Whether a command can be run wherever the tests run."""
    return PYTHON in command or command.startswith("federation ")


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command of a page in a folder that has the models; others may have run there."""
    if not (folder / "models").exists():
        (folder / "models").symlink_to(REPOSITORY / "models")
    command = command.replace(PYTHON, sys.executable)
    command = re.sub(r"^federation ", f"{sys.executable} -m host ", command)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": str(WIDTH)}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
    )  # fmt: skip


def count_checked_files() -> int:
    """Returns how many source files mypy checks, by its settings in pyproject.toml."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    settings = tomllib.loads(text)["tool"]["mypy"]
    paths = (
        path.relative_to(REPOSITORY).as_posix()
        for folder in settings["files"]
        for path in (REPOSITORY / folder).rglob("*.py")
    )
    return sum(not any(re.search(out, path) for out in settings["exclude"]) for path in paths)


def _written(block: str) -> str:
    """Returns a block with what its commands print now."""
    block = CHECKED.sub(str(count_checked_files()), block)
    commands = shown(block)
    if not all(map(is_run, commands)):
        return block
    with tempfile.TemporaryDirectory() as folder:
        for command in commands:
            lines = run(command, Path(folder)).stdout.splitlines()
            folded = [textwrap.fill(line, 105) if "  " not in line else line for line in lines]
            commands[command] = "".join(f"{line.rstrip()}\n" for line in folded)
    return "".join(f"$ {command}\n{printed}" for command, printed in commands.items())


def main() -> None:
    """Writes the pages anew."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        new = BLOCK.sub(
            lambda match: f"```\n{_written(match[1])}```" if shown(match[1]) else match[0], text
        )
        if new != text:
            path.write_text(new, encoding="utf-8")
            print(f"{path.relative_to(REPOSITORY)}: written")


if __name__ == "__main__":
    main()
