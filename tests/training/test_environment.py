"""`make train` installs what training needs, `make eval` runs what counts."""

import re
import subprocess

import pytest

from tests.simulation.launch import REPOSITORY
from training import environment
from training.environment import read_requirements

MAKE = [
    "make", "--no-print-directory", "--dry-run", "--old-file=setup",
    "VENV_PYTHON=python", "ARGS=-x",
]  # fmt: skip


def printed(*arguments: str) -> str:
    """The commands that make would run."""
    return subprocess.run(
        [*MAKE, *arguments], cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout


def test_the_group_is_pytorch() -> None:
    listed = read_requirements(REPOSITORY / "pyproject.toml")
    names = [re.match(r"[a-z]+", line)[0] for line in listed]
    assert names == ["torch"]


def test_nothing_else_installs_pytorch() -> None:
    from host.setup.environment import read_requirements as needed

    assert not [line for line in needed(REPOSITORY / "pyproject.toml") if line.startswith("torch")]


def test_installing_hands_the_group_to_pip(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed: list[list[str]] = []
    monkeypatch.setattr(environment, "install", installed.append)
    environment.main()
    assert installed == [read_requirements(REPOSITORY / "pyproject.toml")]
    assert "train: torch" in capsys.readouterr().out


def test_train_installs_once_and_trains() -> None:
    assert "python -m training.train -x" in printed("--old-file=.venv/train-installed", "train")
    commands = printed("--what-if=pyproject.toml", "train")
    assert commands.index("training.environment") < commands.index("training.train -x")


def test_eval_evaluates() -> None:
    assert printed("eval").strip() == "python -m host.evaluate -x"
