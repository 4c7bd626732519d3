"""What README.md and docs/ show is what happens: commands, options, links, tables."""

import os
import re
import shlex
import subprocess

import pytest

from host.cli.inspection import inspect_model
from host.cli.run_options import parse_options
from host.paths import HOME_MODEL
from host.run import main
from protocol import message_types
from tests.host.test_setup_micropython import script
from tests.pages import BLOCK, CHECKED, PAGES, blocks, count_checked_files, is_run, run
from tests.simulation.launch import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
OPTIONS = (REPOSITORY / "docs" / "options.md").read_text(encoding="utf-8")
LONGEST_README = 1200  # words
TABLE = re.compile(r"^chip +heads", re.MULTILINE)  # its counts and times are of one run

BLOCKS = blocks()
SHOWN = {command: printed for block in BLOCKS.values() for command, printed in block.items()}
RUN = {name: block for name, block in BLOCKS.items() if all(map(is_run, block))}
# What a heap lacks or would hold, and the kilobytes and milliseconds of plans, move a little with
# every change to the code on a chip.
MOVING = re.compile(r"(\d+(?= KB short)|(?<=or --context )\d+|(?<!\S)\d+\.\d(?=\s))")


def words(text):
    """Its words: pages fold lines where a terminal would not."""
    return text.split()


def without_new_boards(text):
    """What `inspect` prints, without boards that no page shows: a board is its file alone."""
    shown = "".join(printed for block in BLOCKS.values() for printed in block.values())
    return "".join(
        line
        for line in text.splitlines(keepends=True)
        if not (new := re.match(r"on (\S+) ", line)) or f"on {new[1]} " in shown
    )


def test_all_kinds_of_commands_are_shown():
    used = words(" ".join(command for block in RUN.values() for command in block))
    assert len(RUN) >= 5 and "make run" in SHOWN
    assert {"inspect", "quantize", "host.plan", "federation"} <= set(used)


def test_readme_says_how_many_files_are_checked():
    """`python -m tests.pages` writes the number anew."""
    assert CHECKED.findall(README) == [str(count_checked_files())]


@pytest.mark.parametrize("name", RUN)
def test_commands_print_what_the_pages_show(name, tmp_path):
    for command, printed in RUN[name].items():
        ended = run(command, tmp_path)
        found, expected = MOVING.split(without_new_boards(ended.stdout)), MOVING.split(printed)
        assert words(" ".join(found[::2])) == words(" ".join(expected[::2]))
        for size, given in zip(found[1::2], expected[1::2], strict=True):
            assert float(size) == pytest.approx(float(given), rel=0.1, abs=4)
        assert ended.returncode == ("error:" in printed)


def test_make_run_shows_these_commands_and_actions(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", None)
    assert main(["--examples", "--no-stats"]) == 0
    assert capsys.readouterr().out == SHOWN["make run"]


def test_the_story(shared_models, capsys):
    (story,) = (text for command, text in SHOWN.items() if "stories260K.bin" in command)
    model = str(shared_models / "stories260K.bin")
    options = ("--chips", "2", "--link", "uart", "--no-stats")
    assert main(["--model", model, *options, "--prompt", "Once upon a time"]) == 0
    assert words(capsys.readouterr().out) == words(TABLE.split(story)[0])


def test_the_options_that_are_listed_are_taken():
    listed = re.findall(r"^\| (`--.*?) \|", OPTIONS, re.MULTILINE)
    values = {"N": "5", "T": "0.5", "P": "0.5"}
    options = [option for row in listed for option in re.findall(r"`(.*?)`", row)]
    assert len(options) >= 15
    for option in options:
        parse_options([values.get(word, word) for word in option.split()])


def test_the_readme_is_short():
    assert len(words(README)) <= LONGEST_README


def test_what_is_copied_flashes_every_chip_and_runs_the_cluster(tmp_path):
    (block,) = (text for text in BLOCK.findall(README) if "make flash" in text)
    script(tmp_path / "bin" / "make", f'echo make "$@" >> {tmp_path}/called')
    script(tmp_path / ".venv" / "bin" / "python", f'echo python "$@" >> {tmp_path}/called')
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-ec", block], cwd=tmp_path, env=environment, check=True)
    called = (tmp_path / "called").read_text().splitlines()
    chips = [f"make flash BOARD=esp32s3 CHIP_ID={chip}" for chip in range(5)]
    assert called == [*chips, "python -m host.run --ports auto", "make doctor", "make monitor"]
    makefile = (REPOSITORY / "Makefile").read_text()
    assert all(re.search(rf"^{name}:", makefile, re.MULTILINE) for name in ("doctor", "monitor"))
    parse_options(shlex.split(called[-3])[3:])


def test_the_boards_that_the_model_takes_are_those_of_the_readme():
    single, least, most = re.search(
        r"takes one `(\S+)`, or (\d+) to (\d+) boards without PSRAM", README
    ).groups()
    chips = inspect_model(str(HOME_MODEL), None, None, "uart").as_dict()["chips"]
    counts = {name: links["uart"] for name, links in chips.items()}
    assert counts[single] == 1
    several = [count for count in counts.values() if count and count > 1]
    assert (min(several), max(several)) == (int(least), int(most))


def test_the_python_of_the_readme_runs(capsys):
    (program,) = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    exec(compile(program, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("alarm ")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            names = {re.sub(r"[^\w\- ]", "", each).lower().replace(" ", "-") for each in headings}
            assert anchor in names, target


def test_the_speeds_that_are_quoted_are_those_of_the_benchmarks():
    results = (REPOSITORY / "docs" / "results.md").read_text(encoding="utf-8")
    benchmarks = (REPOSITORY / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    table = results.partition("## Speed")[2].partition("Chips are added")[0]
    rows = re.findall(
        r"^\|(.*?)\|(.*?)\|(.*?)\|.*(?:measured|emulated|modelled)", table, re.MULTILINE
    )
    quoted = {figure for row in rows for figure in re.findall(r"\d[\d.,]*", " ".join(row[1:]))}
    assert len(quoted) >= 15
    known = set(re.findall(r"\d[\d.,]*\d", benchmarks))
    assert quoted <= known, quoted - known


def test_the_protocol_page_lists_the_message_types():
    page = (REPOSITORY / "docs" / "protocol.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (0x[0-9A-F]{2}) \| (\w+) \|", page, re.MULTILINE)
    types = {name: value for name, value in vars(message_types).items() if name.isupper()}
    assert {name: int(number, 16) for number, name in listed} == types
