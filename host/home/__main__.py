"""Checks a home's file, and makes one of Home Assistant's: `python -m host.home check home.toml`,
`python -m host.home from-homeassistant .storage -o home.toml`."""

from __future__ import annotations

import argparse
import sys

import tomli_w

from host.cli.arguments import Parser, exit_code
from host.cli.console import Console
from host.cli.home_report import describe_home
from host.errors import naming_file
from host.home.from_home_assistant import import_home, read_registries
from host.home.home import HomeError
from host.home.home_file import DEFAULT, load_home, parse_home

_HEAD = """\
# Made of Home Assistant's registries by `host.home from-homeassistant`; docs/home.md says what may
# stand here.
"""


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    parser = Parser(
        prog="python -m host.home",
        description="Checks a home's file, or makes one of what Home Assistant stores.",
        examples=("check home.toml", "from-homeassistant .storage -o home.toml"),
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("check", help="what a home's file says, or what is wrong")
    command.add_argument("file", nargs="?", default=DEFAULT, metavar="FILE",
        help="default: the home that comes with the program")  # fmt: skip
    command = commands.add_parser(
        "from-homeassistant", help="write the file of a home that Home Assistant knows"
    )
    add = command.add_argument
    add("files", nargs="+", metavar="FILE",
        help="Home Assistant's folder .storage, or registries of it as JSON")  # fmt: skip
    add("-o", "--output", metavar="FILE", help="the file to write (default: standard output)")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code. Raises HomeError, OSError."""
    if options.command == "check":
        for line in describe_home(load_home(options.file)):
            print(line)
        return 0
    found = import_home(read_registries(options.files))
    text = _HEAD + "\n" + tomli_w.dumps(found.fields)
    parse_home(found.fields)
    console = Console(stderr=True)
    for line in found.left_out:
        console.print(f"left out: {line}", highlight=False, markup=False, soft_wrap=True)
    if options.output is None:
        print(text, end="")
        return 0
    try:
        with naming_file(options.output), open(options.output, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise HomeError(f"{options.output} is there already: name another file") from None
    except OSError as error:
        raise HomeError(f"{options.output}: {error.strerror}") from None
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    options = parse_arguments(arguments)
    return exit_code(lambda: run(options), (HomeError,))


if __name__ == "__main__":
    sys.exit(main())
