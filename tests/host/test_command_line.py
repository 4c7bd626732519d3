"""Kinds of arguments, and the one line in which a wrong command line is refused."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from host.__main__ import main as overview
from host.cli.argument_types import count_up_to, heap_size, probability
from host.cli.arguments import Parser, end_at_signals, exit_code
from host.cli.console import Console
from tests.simulation.launch import REPOSITORY


@pytest.mark.parametrize(
    ("text", "size"), [("100K", 100 << 10), ("2m", 2 << 20), ("70000", 70000), ("32M", 32 << 20)]
)
def test_sizes(text: str, size: int) -> None:
    assert heap_size(text) == size


@pytest.mark.parametrize("text", ["", "12Q", "0", "160", "-5K", "33M", "1.5M", "K"])
def test_what_is_no_size(text: str) -> None:
    line = f"must be a size from 4K to 32M, .* got '{text}'"
    with pytest.raises(argparse.ArgumentTypeError, match=line):
        heap_size(text)


def test_probabilities() -> None:
    assert [probability(text) for text in ("0", "0.25", "1e-320")] == [0, 0.25, 1e-320]
    for text in ("1", "-0.1", "nan", "inf", "some", ""):
        with pytest.raises(argparse.ArgumentTypeError, match=rf"in \[0, 1\), got '{text}'"):
            probability(text)


def test_counts() -> None:
    count = count_up_to(254)
    assert [count(text) for text in ("1", "07", "254")] == [1, 7, 254]
    for text in ("0", "255", "-1", "five", "1.5", "", "\u0663", "9" * 5000):
        with pytest.raises(argparse.ArgumentTypeError, match="a whole number from 1 to 254, got"):
            count(text)


def test_a_wrong_command_line_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="program")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("go").add_argument("--chips", type=count_up_to(5))
    stop = commands.add_parser("stop")
    stop.add_argument("path", metavar="PATH")
    stop.add_argument("-o", "--output", metavar="FILE", required=True)
    stop.add_argument("--kv", choices=("int16", "int8"))
    for arguments, line in (
        ([], "give COMMAND (go, stop): program --help explains it"),
        (["stop"], "give PATH, -o/--output: program stop --help explains it"),
        (["stop", "x", "-o"], "-o/--output has no value: give -o FILE"),
        (["stop", "x", "--kv"], "--kv has no value: give --kv int16|int8"),
        (["go", "--chips"], "--chips has no value: give --chips CHIPS"),
        (["go", "--chips", "6"], "argument --chips: must be a whole number from 1 to 5, got '6'"),
        (["go", "a\nb"], "unrecognized arguments: a\\nb: program --help lists what it takes"),
    ):
        with pytest.raises(SystemExit) as caught:
            parser.parse_args(arguments)
        assert caught.value.code == 2
        assert capsys.readouterr().err == f"error: {line}\n"


class Wrong(Exception):
    """What a command may raise."""


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (Wrong("no such board"), 1, "error: no such board\n"),
        (OSError(28, "No space left"), 1, "error: standard output: No space left\n"),
        (OSError(28, "No space left", "x.bin"), 1, "error: x.bin: No space left\n"),
        (OSError(11, "Temporarily unavailable"), 1, "error: Temporarily unavailable\n"),
        (OSError(13, "Permission denied", "x.bin"), 1, "error: x.bin: Permission denied\n"),
        (Wrong("no a\nb\x1b[2J\udcff"), 1, "error: no a\\nb\\x1b[2J\\udcff\n"),
        (MemoryError(), 1, "error: out of memory\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_what_a_command_raises_is_a_line_and_a_code(
    raised: BaseException, code: int, line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def command() -> int:
        raise raised

    kept = os.dup(1)
    try:
        assert exit_code(command, (Wrong,)) == code
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    assert capfd.readouterr().err == line
    assert exit_code(lambda: 3, ()) == 3


@pytest.mark.parametrize(
    "printing",
    [
        lambda: exit_code(lambda: Console().print("a table") or 0, ()),
        lambda: exit_code(lambda: print("an object") or 0, ()),
        lambda: overview(["--help"]),
        lambda: overview(["--version"]),
        lambda: Parser(prog="program").parse_args(["--help"]),
    ],
)
def test_a_reader_that_has_gone_ends_each_command_as_shells_have_it(
    printing: Callable[[], int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        try:
            code = printing()
        except SystemExit as ended:
            code = ended.code  # type: ignore[assignment]
    assert code == 141 and capfd.readouterr().err == ""


def test_what_is_a_fault_of_the_program_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: 1 // 0, (Wrong,))


@pytest.mark.parametrize(
    "module", ["host.boards", "host.doctor", "host.model inspect models/home.bin"]
)
def test_a_full_disk_is_one_line(module: str) -> None:
    command = f"exec {sys.executable} -m {module} >/dev/full"
    ended = subprocess.run(["sh", "-c", command], cwd=REPOSITORY, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (
        1, "error: standard output: No space left on device\n"
    )  # fmt: skip


@pytest.mark.parametrize("module", ["host.boards", "host.model inspect models/home.bin"])
def test_standard_files_that_are_closed_are_no_fault(module: str) -> None:
    command = f"exec {sys.executable} -m {module} <&- >&-"
    ended = subprocess.run(["sh", "-c", command], cwd=REPOSITORY, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_an_error_is_not_printed_among_the_output_where_standard_error_is_closed() -> None:
    command = f"exec {sys.executable} -m host.model inspect /nonexistent 2>&-"
    ended = subprocess.run(["sh", "-c", command], cwd=REPOSITORY, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (1, "")


def test_no_further_signal_disturbs_the_clean_up() -> None:
    numbers = signal.SIGTERM, signal.SIGHUP, signal.SIGINT
    before = {number: signal.getsignal(number) for number in numbers}
    cleaned = False
    try:
        end_at_signals()
        with pytest.raises(SystemExit) as ended:
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                for number in numbers:
                    signal.raise_signal(number)
                cleaned = True
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert cleaned and ended.value.code == 143


INTERRUPTED_WHILE_IMPORTING = """
import os, signal, sys
sys.argv = ["-m"]  # as Python has it while it looks for what -m names
import host
from host.cli.arguments import exit_code
def interrupted():
    os.kill(os.getpid(), signal.SIGINT)
    return 0
if {begun}:
    sys.exit(exit_code(interrupted, ()))
interrupted()
"""


@pytest.mark.parametrize(("begun", "code"), [(False, -signal.SIGINT), (True, 130)])
def test_ctrl_c_prints_no_traceback_while_modules_are_imported(begun: bool, code: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_IMPORTING.format(begun=begun)],
        cwd=REPOSITORY, capture_output=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, b"", b"")


def test_whoever_ignores_interrupts_goes_on_doing_so() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WHILE_IMPORTING.format(begun=True)],
        cwd=REPOSITORY, capture_output=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
