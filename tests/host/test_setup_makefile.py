"""The Makefile hands its variables on, and .ci/run ends with pytest's summary."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.host.test_setup_micropython import script

REPOSITORY = Path(__file__).resolve().parents[2]
TARGETS = (
    "help", "setup", "run", "test", "verify", "lint", "flash", "doctor", "monitor", "bench",
    "train", "eval", "clean",
)  # fmt: skip


# A make that runs these tests hands its variables down to the ones that they run.
OF_A_MAKE_ABOVE = (
    "ARGS", "BOARD", "CHIP", "FIRMWARE", "LINK", "LLAMA2C", "MAKE", "MFLAGS", "MICROPYTHON",
    "MODEL", "PARALLEL", "PORT", "PROMPT", "REDUCE", "STAGES", "TOKENIZER",
)  # fmt: skip
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(OF_A_MAKE_ABOVE)
}


def made(*arguments: str, folder: Path = REPOSITORY) -> str:
    """What make prints."""
    ended = subprocess.run(
        ["make", *arguments], cwd=folder, env=ENVIRONMENT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def command_line(tmp_path: Path, target: str, *variables: str) -> list[str]:
    """The arguments that a target gives to the environment's Python, without setting up."""
    python = script(tmp_path / "python", 'printf "%s\\n" "$@"')
    return made("--old-file=setup", target, f"VENV_PYTHON={python}", *variables).splitlines()


def test_help_is_the_default_and_lists_every_target():
    listed = re.findall(r"^  (\w+) +\S", made(), re.MULTILINE)
    assert tuple(listed) == TARGETS


def test_run_without_variables_shows_examples_on_five_chips(tmp_path):
    assert command_line(tmp_path, "run") == ["-m", "host.run", "--chips", "5", "--examples"]


def test_run_keeps_quotes_and_spaces(tmp_path):
    arguments = command_line(
        tmp_path, "run", "CHIPS=8", "MODEL=a model.bin", "TOKENIZER=t.bin",
        """PROMPT=Lily's "cat" `is` \\x""", "ARGS=--steps 3 --json",
    )  # fmt: skip
    assert arguments == [
        "-m", "host.run", "--chips", "8", "--model", "a model.bin", "--tokenizer", "t.bin",
        "--prompt", """Lily's "cat" `is` \\x""", "--steps", "3", "--json",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["PROMT", "prompt", "CHIP"])
def test_a_variable_that_nothing_takes_is_refused_in_one_line(name):
    ended = subprocess.run(
        ["make", "--dry-run", "run", f"{name}=hi there"], cwd=REPOSITORY, env=ENVIRONMENT,
        capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 2 and ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert f"no variable {name}: make takes BOARD " in line and " PROMPT " in line


def test_variables_of_the_environment_are_let_be(monkeypatch):
    monkeypatch.setitem(ENVIRONMENT, "PROMT", "x")
    assert made("--dry-run", "--old-file=setup", "run")


DOLLARS = 'I paid $500 for $(shell touch {0}) `touch {0}` ${{HOME}} $$5 # "x"'


@pytest.mark.parametrize("name", ["PROMPT", "MODEL", "TOKENIZER", "BOARD", "LINK"])
def test_nothing_in_what_is_given_is_expanded_or_executed(tmp_path, name, monkeypatch):
    executed = tmp_path / "executed"
    text = DOLLARS.format(executed)
    assert text in command_line(tmp_path, "run", f"{name}={text}")
    monkeypatch.setitem(ENVIRONMENT, name, text)
    assert text in command_line(tmp_path, "run")
    assert not executed.exists()


def test_nothing_in_what_is_given_is_executed_while_setting_up(tmp_path):
    executed = tmp_path / "executed"
    # A dry run still starts the make that sets up, of a checkout in which nothing is there yet.
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    printed = made("--dry-run", "run", f"PROMPT={DOLLARS.format(executed)}", folder=tmp_path)
    assert "-m host.setup.environment" in printed
    assert not executed.exists()


def test_further_arguments_are_words_of_the_shell(tmp_path):
    printed = command_line(tmp_path, "run", "ARGS=--context 64 --heap '1 $5'")
    assert printed[-4:] == ["--context", "64", "--heap", "1 $5"]


def test_flash_names_board_chip_port_and_model(tmp_path):
    variables = (
        "BOARD=esp32s3", "CHIP_ID=2", "PORT=/dev/ttyACM0", "MODEL=m.bin", "FIRMWARE=a folder",
    )  # fmt: skip
    expected = [
        "--board", "esp32s3", "--chip-id", "2", "--port", "/dev/ttyACM0", "--model", "m.bin",
        "--firmware", "a folder",
    ]  # fmt: skip
    # Without a number of chips, that of the cluster as it was flashed before.
    assert command_line(tmp_path, "flash", *variables) == ["-m", "host.flash", *expected]
    more = command_line(
        tmp_path, "flash", *variables, "LINK=uart", "PARALLEL=hybrid", "STAGES=2",
        "REDUCE=chips",
    )  # fmt: skip
    divided = ["--parallel", "hybrid", "--stages", "2", "--reduce", "chips"]
    assert more[2:] == [*expected, "--link", "uart", *divided]
    given = command_line(tmp_path, "flash", *variables, "CHIPS=7")
    assert given == ["-m", "host.flash", "--chips", "7", *expected]


_PARALLEL = ["-n", "auto", "--dist", "worksteal"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("bench", ["-m", "bench", "-x"]),
        ("eval", ["-m", "host.evaluate", "-x"]),
        ("doctor", ["-m", "host.doctor", "-x"]),
        ("monitor", ["-m", "host.monitor", "-x"]),
        ("verify", ["-m", "pytest", *_PARALLEL, "-m", "verify", "-x"]),
        ("lint", ["-m", "ruff", "check", ".", "-m", "mypy"]),
        ("test", ["-m", "ruff", "check", ".", "-m", "mypy", "-m", "pytest", *_PARALLEL, "-x"]),
    ],
)
def test_the_other_targets_run_their_modules(tmp_path, target, expected):
    assert command_line(tmp_path, target, "ARGS=-x") == expected


@pytest.mark.parametrize(
    ("summary", "status"),
    [
        ("=========== 12 passed, 1 deselected in 3.21s ===========", 0),
        ("====== 1 failed, 90 passed in 125.07s (0:02:05) ======", 2),
    ],
)
def test_the_ci_script_ends_with_the_summary_and_makes_status(tmp_path, summary, status):
    script(
        tmp_path / "make",
        f'[ "$*" = test ] || exit 9\necho "{summary}"\n'
        f'echo "make: *** Error 1" >&2\nexit {status}',
    )
    ended = subprocess.run(
        [REPOSITORY / ".ci" / "run"],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == status
    assert ended.stdout.splitlines()[-1] == summary


@pytest.mark.verify
@pytest.mark.timeout(300)
def test_a_fresh_clone_sets_itself_up_and_a_second_time_does_nothing(tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", REPOSITORY, clone], check=True)
    assert "MicroPython" in made("setup", folder=clone)
    assert made("setup", folder=clone) == ""
    finding = "from host.setup.micropython import find; print(find())"
    python = clone / ".venv" / "bin" / "python"
    found = subprocess.run(
        [python, "-c", finding], cwd=clone, env=ENVIRONMENT, check=True, stdout=subprocess.PIPE
    )
    assert Path(found.stdout.decode().strip()).is_relative_to(clone)
