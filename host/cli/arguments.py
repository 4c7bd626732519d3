"""Shared parts of the command lines: the parser, errors in one line, exit codes."""

from __future__ import annotations

import argparse
import difflib
import errno
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from host.errors import one_line
from host.interrupts import take_interrupts
from host.paths import PROJECT

FAILED, USAGE = 1, 2
# 128 + SIGHUP, SIGINT, SIGPIPE or SIGTERM, as shells report it.
HUNG_UP, INTERRUPTED, NOBODY_READS, TERMINATED = 129, 130, 141, 143

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room for what is written

PROGRAM = "federation"  # the console script; `python -m host.run` is its `federation run`


def as_called(text: str) -> str:
    """Returns `text` with our commands named in the way that the user called this one:
    `federation boards` in place of `python -m host.boards`."""
    if Path(sys.argv[0]).stem != PROGRAM:
        return text
    return re.sub(r"python\s+-m\s+host[.\s]\s*(?=[a-z])", f"{PROGRAM} ", text)


def print_error(reason: str) -> None:
    """Prints an error as one line on standard error."""
    print(f"error: {as_called(one_line(reason))}", file=sys.stderr, flush=True)


def print_version() -> None:
    """Prints the release, and the version of the firmware that it flashes."""
    from host.build.firmware_version import RELEASE, firmware_version  # reads all its sources

    print(f"{PROJECT} {RELEASE}, firmware {firmware_version()}")


class _PrintVersion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        parser.exit(print_out(print_version))


class Parser(argparse.ArgumentParser):
    """An argument parser that reports errors in one line, as our commands report all errors.

    It also has --version, and suggests the nearest option for an unknown one.
    """

    def __init__(self, prog: str, examples: Sequence[str] = (), **settings: Any) -> None:
        """prog: `python -m host.run`, or what argparse makes of it for a subcommand; examples:
        argument lists, each shown as a command line at the end of the help."""
        super().__init__(prog=as_called(prog), **settings)
        self._examples = examples
        self.add_argument(
            "--version", nargs=0, action=_PrintVersion, help="show the version and exit"
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Does what argparse does, but refuses unknown options first, before their values are
        taken for something else."""
        found, rest = super().parse_known_args(args, namespace)
        unknown = [word for word in rest if word.startswith("-")]
        if unknown:
            self.error(self._describe_unknown(unknown[0].partition("=")[0]))
        return found, rest

    def _describe_unknown(self, option: str) -> str:
        for action in self._get_positional_actions():
            if option.lstrip("-") == str(action.metavar).lower():
                return f"no option {option}: give the {action.metavar} without it"
        known = {name.lstrip("-"): name for name in self._option_string_actions}
        near = difflib.get_close_matches(option.lstrip("-"), known, n=1, cutoff=0.7)
        hint = f"did you mean {known[near[0]]}?" if near else "--help lists all options"
        return f"no option {option}: {hint}"

    def format_help(self) -> str:
        text = super().format_help()
        if self._examples:
            lines = [f"  {self.prog} {example}".rstrip() for example in self._examples]
            text += "\n".join(["\nexamples:", *lines, ""])
        return as_called(text)

    def print_help(self, file: Any = None) -> None:
        """Prints the help; exits cleanly if the output's reader is gone or the disk is full."""
        if code := print_out(lambda: print(self.format_help(), end="", file=file)):
            self.exit(code)

    def error(self, message: str) -> NoReturn:
        print_error(self._say_what_to_give(message))
        self.exit(USAGE)

    def _say_what_to_give(self, message: str) -> str:
        """Returns argparse's message, with what to do where that says only what is wrong."""
        missing = message.partition(" are required: ")[2]
        if missing:
            commands = [
                f"COMMAND ({', '.join(action.choices)})"
                for action in self._get_positional_actions()
                if action.metavar == missing == "COMMAND" and action.choices
            ]
            what = ", ".join(commands) or missing
            return f"give {what}: {self.prog} --help explains it"
        option, _, expected = message.removeprefix("argument ").partition(": expected ")
        action = self._option_string_actions.get(option.rpartition("/")[2])
        if expected and action:
            values = action.metavar or "|".join(map(str, action.choices or (action.dest.upper(),)))
            return f"{option} has no value: give {option.partition('/')[0]} {values}"
        if message.startswith("unrecognized arguments: "):
            return f"{message}: {self.prog} --help lists what it takes"
        return message


def hold_standard_files() -> None:
    """Opens the null device for standard input, output or error if they were closed at start.

    Otherwise the next files to be opened would get their numbers, and a child process would use
    them as its standard files. Python has None for a closed standard file, and prints to standard
    output what is meant for it.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  to the end of the program


def exit_code(command: Callable[[], int], failures: tuple[type[Exception], ...]) -> int:
    """Runs a command and returns its exit code, or the one for what it raises.

    An error is printed as one line: one of `failures`, Ctrl-C, an output whose reader is gone, a
    full disk or memory.
    """
    hold_standard_files()
    take_interrupts()
    try:
        code = command()
        sys.stdout.flush()
    except failures as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except MemoryError:
        return _failed("out of memory")
    except BrokenPipeError:
        _give_up_output()
        return NOBODY_READS
    except OSError as error:  # a full disk, too few files or processes for so many chips
        _give_up_output()
        # Code that writes files makes its errors name them (host/errors.naming_file).
        where = error.filename or ("standard output" if error.errno in _FULL else "")
        return _failed(f"{where}: {error.strerror or error}".removeprefix(": "))
    return code


def end_at_signals() -> None:
    """Makes SIGTERM and SIGHUP end the program with a clean-up, which further ones do not stop."""

    def end(number: int, _: object) -> NoReturn:
        for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)
        sys.exit(HUNG_UP if number == signal.SIGHUP else TERMINATED)

    signal.signal(signal.SIGTERM, end)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup has it ignored
        signal.signal(signal.SIGHUP, end)


def print_out(printing: Callable[[], None]) -> int:
    """Calls a function that only prints, and returns the exit code."""

    def command() -> int:
        printing()
        return 0

    return exit_code(command, ())


def _failed(reason: str) -> int:
    print_error(reason)
    return FAILED


def _give_up_output() -> None:
    """Replaces standard output: otherwise Python would fail again when it flushes the rest."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
