"""Commands that cannot start: without set-up, as a script, from another folder."""

import os
import re
import subprocess
import sys

import pytest

from host import unready
from host.setup import environment
from tests.simulation.launch import REPOSITORY

PYTHON = REPOSITORY / ".venv" / "bin" / "python"


def ended(*arguments, cwd=REPOSITORY, python=(sys.executable, "-S")):
    """What a Python that has no packages says of a command: its exit code and its lines."""
    run = subprocess.run(
        [*python, *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    return run.returncode, (run.stdout + run.stderr).splitlines()


def without_package(line):
    """The line without which package a command happens to import first."""
    return re.sub("the package [a-z_]+ is", "the package NAME is", line)


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (("-m", "host.run"), "host.run"),
        (("-m", "host.model"), "host.model"),
        (("host/doctor.py",), "host.doctor"),
    ],
)
def test_without_set_up_it_is_one_line_that_says_what_to_do(arguments, module):
    code, (line,) = ended(*arguments)
    assert code == 1
    assert without_package(line) == (
        "error: the package NAME is not installed here: run make setup, then"
        f" .venv/bin/python -m {module}"
    )


def test_from_another_folder_the_checkout_is_named(tmp_path):
    code, (line,) = ended(REPOSITORY / "host/run.py", cwd=tmp_path)
    assert code == 1
    assert without_package(line) == (
        f"error: the package NAME is not installed here: run make setup in {REPOSITORY}, then"
        f" {PYTHON} -m host.run"
    )


def test_a_file_of_a_command_runs_as_a_script_in_any_folder(tmp_path):
    code, lines = ended(REPOSITORY / "host/boards.py", cwd=tmp_path, python=(sys.executable,))
    assert code == 0 and lines[0].startswith("Boards (")


def test_training_without_pytorch_says_how_to_get_it():
    assert unready.describe_missing("torch") == (
        "PyTorch is not installed here: `make train` installs it"
    )
    code, (line,) = ended("-m", "training.train", "--help")
    assert code == 1 and line.startswith("error: the package numpy is not installed here: ")


def test_an_old_python_is_told(monkeypatch):
    unready.require_python((3, 11, 0))
    monkeypatch.setattr(sys, "orig_argv", ["python3", "-m", "host.plan", "--chips"])
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(SystemExit) as caught:
        unready.require_python((3, 9, 2, "final"))
    assert caught.value.code == (
        "error: this is Python 3.9.2; 3.11 or later is needed: run make setup PYTHON=python3.11,"
        " then .venv/bin/python -m host.plan"
    )


def test_other_errors_keep_their_traceback():
    program = "from host import unready; unready.explain_missing_packages(); import host.nothing"
    code, lines = ended("-c", program)
    assert code == 1 and lines[0].startswith("Traceback")


def test_the_environment_finds_the_checkout_from_any_folder(tmp_path, monkeypatch):
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    monkeypatch.setattr(environment, "FOLDER", tmp_path)
    environment.link_sources()
    program = f"import site; site.addsitedir({str(packages)!r}); import host; print(host.__file__)"
    assert ended("-c", program, cwd=tmp_path) == (0, [str(REPOSITORY / "host/__init__.py")])
