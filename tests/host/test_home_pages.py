"""docs/home.md and docs/action-lines.md: what they show is so."""

import re
import subprocess
import sys
import tomllib

import pytest

from host.grammar.action_lines import VERSION, format_line, parse_line
from host.grammar.devices import COLOURS, DEVICES
from host.grammar.line_rules import LineNames, line_automaton
from host.home.home import KINDS, NotInHome
from host.home.home_file import parse_home
from host.home.marking import mark_names
from tests.conftest import REPOSITORY

HOME = (REPOSITORY / "docs/home.md").read_text()
LINES = (REPOSITORY / "docs/action-lines.md").read_text()


def rows(page, heading):
    """The cells of the table under a heading."""
    part = page.partition(f"{heading}\n")[2]
    lines = re.search(r"(?:^\|.*\n)+", part, re.MULTILINE)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def block(page, language):
    return re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)[1]


def codes(text):
    return re.findall(r"`([^`]+)`", text)


@pytest.fixture(scope="module")
def home():
    return parse_home(tomllib.loads(block(HOME, "toml")))


def test_lines_of_the_page_parse_and_print_and_are_paths_of_the_automaton():
    shown = [codes(line)[0] for _, line in rows(LINES, "## Examples")]
    assert len(shown) > 15 and f"version {VERSION}" in LINES.splitlines()[0]
    names = ("kitchen", "bedroom", "office", "downstairs")
    automaton = line_automaton(LineNames(names, (("lock", "front_door"),)))
    for line in shown:
        assert format_line(parse_line(line)) == line
        assert automaton.is_final(automaton.follow(automaton.start, line))


def test_the_table_of_verbs_is_the_grammars():
    shown = {kind: set() for kind in DEVICES}
    for kinds, verbs in rows(LINES, "## Kinds and verbs"):
        for kind in codes(kinds):
            shown[kind] |= {each.rstrip("=?") for each in codes(verbs)}
    words = {"up", "down", "min", "max", "low", "medium", "high"}
    assert {kind: verbs - words for kind, verbs in shown.items()} == {
        kind: set(doings) for kind, doings in DEVICES.items()
    }
    assert all(colour in LINES for colour in COLOURS)


def test_the_program_prints_what_the_page_shows(tmp_path):
    program, printed = block(LINES, "python"), LINES.partition("prints\n\n```\n")[2]
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": str(REPOSITORY)}, timeout=100,
    )  # fmt: skip
    assert (ended.stderr, ended.stdout) == ("", printed.partition("```")[0])


def test_commands_of_the_page_become_what_it_shows(home):
    table = rows(HOME, "## How names reach the model")
    assert len(table) >= 6
    for said, seen, answer, line in table:
        marked = mark_names(said.replace("'", ""), home)
        assert marked.text == seen.replace("'", "")
        (answer,), line = codes(answer), codes(line)[0]
        try:
            found = format_line(home.resolve(marked.restore(parse_line(answer))))
        except NotInHome:
            found = "unknown"
        assert found == line


def test_the_kinds_of_the_page_are_all():
    (described,) = [text for name, text in rows(HOME, "## The file") if name == "`kind`"]
    assert tuple(codes(described)) == KINDS


def test_check_says_what_the_page_shows(tmp_path):
    (tmp_path / "home.toml").write_text(
        '[rooms.den]\nnames = ["moon"]\n[rooms.office]\nnames = ["light"]\n[devices.moon]\n'
        'kind = "plug"\n'
    )
    printed = re.search(r"check home.toml\n(error: .*)\n", HOME)[1]
    ended = subprocess.run(
        [sys.executable, "-m", "host.home", "check", "home.toml"], cwd=tmp_path, timeout=100,
        capture_output=True, text=True, env={"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (1, f"{printed}\n")
