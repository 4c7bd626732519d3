"""The README shows what commands print: each is run, and prints that."""

import os
import re
import subprocess
import sys

import pytest

from host.run import main, parsed
from tests.simulation.launch import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
TABLE = re.compile(r"^ +shard +heap", re.MULTILINE)  # its counts and times are of one run


def shown(block):
    """Each command after a $ in a block, with what stands below it."""
    parts = (part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:])
    return {command: TABLE.split(printed)[0] for command, _, printed in parts}


BLOCKS = [
    commands
    for block in re.findall(r"^```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    if (commands := shown(block))
]
SHOWN = {command: printed for block in BLOCKS for command, printed in block.items()}
# What a heap lacks, and what plans say in kilobytes and milliseconds, moves a little with every
# change to the code on a chip.
MOVING = re.compile(r"(\d+(?= KB short)|(?<!\S)\d+\.\d(?=\s))")
PYTHON = ".venv/bin/python"


def words(text):
    """Its words: the README folds lines where a terminal would not."""
    return text.split()


def test_all_kinds_of_commands_are_shown():
    used = [command for command in SHOWN if PYTHON in command]
    assert len(used) >= 5 and "make run" in SHOWN
    assert {"inspect", "quantize"} <= set(words(" ".join(used)))


@pytest.mark.parametrize("block", [b for b in BLOCKS if PYTHON in "".join(b)], ids=" ".join)
def test_commands_print_what_the_readme_shows(block, tmp_path):
    (tmp_path / "models").symlink_to(REPOSITORY / "models")  # and what they write is apart
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "99"}
    for command, printed in block.items():
        ended = subprocess.run(
            ["bash", "-c", command.replace(PYTHON, sys.executable)],
            cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=60,
        )  # fmt: skip
        found, expected = MOVING.split(ended.stdout), MOVING.split(printed)
        assert words(" ".join(found[::2])) == words(" ".join(expected[::2]))
        for size, given in zip(found[1::2], expected[1::2], strict=True):
            assert float(size) == pytest.approx(float(given), rel=0.1, abs=4)
        assert ended.returncode == ("error:" in printed)


def test_make_run_shows_these_commands_and_actions(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", None)
    assert main(["--examples", "--no-stats"]) == 0
    assert capsys.readouterr().out == SHOWN["make run"]


def test_the_story(shared_models, monkeypatch, capsys):
    (story,) = (text for command, text in SHOWN.items() if "stories260K.bin" in command)
    model = str(shared_models / "stories260K.bin")
    options = ("--chips", "2", "--link", "uart", "--no-stats")
    assert main(["--model", model, *options, "--prompt", "Once upon a time"]) == 0
    assert words(capsys.readouterr().out) == words(story)


def test_the_options_that_are_listed_are_taken():
    listed = re.findall(r"^\| (`--.*?) \|", README, re.MULTILINE)
    values = {"N": "5", "T": "0.5", "P": "0.5"}
    options = [option for row in listed for option in re.findall(r"`(.*?)`", row)]
    assert len(options) >= 9
    for option in options:
        parsed([values.get(word, word) for word in option.split()])
