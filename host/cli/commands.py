"""Names the commands of `federation`, with a line of help each.

A new command is a module with `main(arguments) -> exit code` and a line in `COMMANDS`.
"""

from __future__ import annotations

import difflib
from typing import NamedTuple

from host.cli.arguments import PROGRAM


class Command(NamedTuple):
    """A subcommand: the group that the help lists it in, its module, and a line on what it
    does."""

    group: str
    module: str
    summary: str


COMMANDS = {
    "run": Command("Run", "host.run", "generate text on simulated chips or on boards"),
    "serve": Command("Run", "host.serve", "offer a cluster to other programs, over HTTP"),
    "boards": Command("Plan", "host.boards", "list the boards and check their files"),
    "plan": Command("Plan", "host.plan", "show shards, heaps and a modelled speed"),
    "flash": Command("Boards", "host.flash", "make a board a chip of the cluster"),
    "doctor": Command("Boards", "host.doctor", "check the boards and say how to repair them"),
    "monitor": Command("Boards", "host.monitor", "show what the boards print and report"),
    "model": Command("Models", "host.model.__main__", "inspect, quantize or fetch a model"),
    "evaluate": Command("Models", "host.evaluate", "score a model on held-out commands"),
    "home": Command("Models", "host.home.__main__", "check a home's file, or make one"),
    "setup": Command("Installation", "host.cli.setup", "install MicroPython for simulated chips"),
}

_WIDTH = 2 + max(map(len, COMMANDS))


def overview() -> str:
    """Returns the help of `federation` itself, with the commands in groups."""
    lines = [
        f"usage: {PROGRAM} COMMAND [OPTION ...]",
        "",
        "Runs language models on clusters of ESP32 boards with MicroPython.",
    ]
    group = ""
    for name, command in COMMANDS.items():
        if command.group != group:
            group = command.group
            lines += ["", f"{group}:"]
        lines.append(f"  {name:{_WIDTH}}{command.summary}")
    lines += ["", f"{PROGRAM} COMMAND --help lists the options of a command."]
    return "\n".join(lines)


def unknown(name: str) -> str:
    """Returns the error for an unknown command, with the nearest one as a hint."""
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"run `{PROGRAM}` for a list"
    return f"no command {name!r}: {hint}"
