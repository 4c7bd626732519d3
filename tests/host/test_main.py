"""`federation` and its subcommands: grouped help, versions, unknown names, lazy imports."""

import argparse
import ast
import importlib
import shlex
import signal
import subprocess
import sys
import tomllib

import pytest

from host.__main__ import main
from host.build.firmware_version import RELEASE, firmware_version
from host.cli.arguments import Parser, as_called
from host.cli.commands import COMMANDS
from tests.simulation.launch import REPOSITORY

MODULES = sorted({command.module for command in COMMANDS.values()})
NO_EXAMPLES = ("host.boards", "host.cli.setup", "host.evaluate")  # there is little to choose


def has_main(path):
    """Whether a module has a function main that takes arguments."""
    return any(
        isinstance(node, ast.FunctionDef) and node.name == "main"
        for node in ast.parse(path.read_text()).body
    )


def test_every_command_of_the_host_is_a_subcommand():
    commands = {
        f"host.{path.stem}"
        for path in (REPOSITORY / "host").glob("*.py")
        if path.stem != "__main__" and has_main(path)
    }
    assert commands <= set(MODULES)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands_in_groups(arguments, capsys):
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"  {name} " in printed and command.summary in printed
    groups = [line for line in printed.splitlines() if line.endswith(":")]
    assert len(groups) == len(set(groups)) == len({each.group for each in COMMANDS.values()})
    assert max(map(len, printed.splitlines())) <= 80


class Parsed(Exception):
    """A command line was understood."""


@pytest.mark.parametrize("module", [one for one in MODULES if one not in NO_EXAMPLES])
def test_examples_in_the_help_of_a_command_are_command_lines_of_it(module, capsys, monkeypatch):
    main_of = importlib.import_module(module).main
    with pytest.raises(SystemExit):
        main_of(["--help"])
    prog = f"python -m {module.removesuffix('.__main__')}"
    examples = capsys.readouterr().out.partition("\nexamples:\n")[2].splitlines()
    assert examples

    def parse_args(self, arguments):
        argparse.ArgumentParser.parse_args(self, arguments)
        raise Parsed

    monkeypatch.setattr(Parser, "parse_args", parse_args)
    for line in examples:
        assert line.startswith(f"  {prog}")
        with pytest.raises(Parsed):
            main_of(shlex.split(line.strip().removeprefix(prog)))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("rnu", "did you mean 'run'?"),
        ("evalute", "did you mean 'evaluate'?"),
        ("host.run", "run `federation` for a list"),
        ("xyzzy", "run `federation` for a list"),
    ],
)
def test_an_unknown_command_is_refused_in_one_line(name, hint, capsys):
    assert main([name]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err == f"error: no command {name!r}: {hint}\n"


def test_arguments_and_the_exit_code_are_passed_on(monkeypatch):
    passed = []

    def plan(arguments):
        passed.append(arguments)
        return 7

    monkeypatch.setattr("host.plan.main", plan)
    assert main(["plan", "--chips", "3"]) == 7
    assert passed == [["--chips", "3"]]


@pytest.mark.parametrize("arguments", [["--version"], *([name, "--version"] for name in COMMANDS)])
def test_each_command_shows_the_version(arguments, capsys):
    try:
        code = main(arguments)
    except SystemExit as ended:
        code = ended.code
    assert code in (0, None)
    expected = f"micropython-federation {RELEASE}, firmware {firmware_version()}\n"
    assert capsys.readouterr().out == expected


def test_the_release_is_that_of_the_distribution():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["version"] == RELEASE


def test_only_the_module_of_the_command_is_imported():
    program = (
        "import sys; from host.__main__ import main; main(['--help']); main(['rnu']);"
        "print(sorted({'numpy', 'rich', 'serial', 'esptool', 'host.run'} & set(sys.modules)))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, check=True, text=True,
        capture_output=True, timeout=60,
    ).stdout  # fmt: skip
    assert printed.splitlines()[-1] == "[]"


def test_ctrl_c_prints_no_traceback_while_a_command_is_imported():
    program = (
        "import os, signal; from host import __main__;"
        "__main__.importlib.import_module = lambda name: os.kill(os.getpid(), signal.SIGINT);"
        "__main__.main(['plan'])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, b"", b"")


def test_help_names_commands_as_they_were_called(monkeypatch, capsys):
    assert as_called("see python -m host.boards") == "see python -m host.boards"
    monkeypatch.setattr(sys, "argv", ["/some/bin/federation", "plan"])
    assert as_called("see python -m host.boards, or python -m\n host.plan") == (
        "see federation boards, or federation plan"
    )
    with pytest.raises(SystemExit):
        importlib.import_module("host.plan").main(["--help"])
    printed = capsys.readouterr().out
    assert printed.startswith("usage: federation plan [-h]")
    assert "python -m" not in printed and "federation boards" in printed
    with pytest.raises(SystemExit):
        importlib.import_module("host.plan").main(["--chips", "0"])
    assert capsys.readouterr().err.startswith("error: argument --chips")
