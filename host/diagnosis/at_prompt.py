"""Reads and checks what a board at its prompt reports: MicroPython, chip, files, radio."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from host.build.configuration import REPL_UART
from host.build.firmware_version import firmware_version
from host.cluster.cluster_fields import ClusterFile, FlashedChip
from host.diagnosis.answers import ask
from host.diagnosis.findings import Finding, fine, flash_again, wrong
from host.diagnosis.prompt import NoPrompt, Prompt
from host.errors import BoardError
from host.hardware import boards
from host.links.discovery import format_mac

OLDEST_VERSION = (1, 26)
_PM_NONE = 0  # network.WLAN.PM_NONE

# Reads the settings of the radio when the node was interrupted. It is short, because a node leaves
# little heap. If the node has no radio, nothing of `network` may be called: that starts Wi-Fi,
# which keeps more than 40 KB of the chip's memory until a hard reset (emulated: MicroPython 1.27
# on an ESP32-C3).
_LIVE = """
answer = None
with open("config.json", "rb") as file:
    if b'"radio"' in file.read():
        import network
        w = network.WLAN(network.STA_IF)
        answer = w.active(), w.config("pm"), w.config("channel")
"""

_IDENTITY = """
import machine, sys
s = sys.implementation
def start_of(name, size):
    try:
        with open(name, "rb") as file:
            return file.read(size)
    except OSError:
        return None
answer = (
    tuple(s[1][:3]), getattr(s, "_machine", ""), bytes(machine.unique_id()),
    start_of("main.py", 1), start_of("config.json", 4096), start_of("shard.bin", 64),
)
"""
_FILES = ("main.py", "config.json", "shard.bin")  # a few of a chip's
_MODEL = re.compile(rb'"model":"([0-9a-f]{16})"')


@dataclass(frozen=True)
class Identity:
    """A board and what was flashed onto it.

    starts: whether main.py is there and not empty; config: the content of config.json, None
    without one; model_hash: of its shard, None without one; missing, damaged: names of files.
    """

    version: tuple[int, int, int]
    machine: str
    mac: str
    starts: bool
    config: dict[str, Any] | None
    model_hash: bytes | None
    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def link(self) -> str | None:
        """The link for which it is configured."""
        return self.config.get("link") if self.config else None

    @property
    def chip(self) -> int | None:
        """Its chip id in its cluster."""
        return self.config.get("chip") if self.config else None

    @property
    def key(self) -> bytes:
        """The cluster key that it has, empty for none."""
        text = str((self.config or {}).get("key", ""))
        return bytes.fromhex(text) if re.fullmatch("([0-9a-f]{2}){16,}", text) else b""

    @property
    def speaks_here(self) -> bool:
        """Whether its node answers at the port of its prompt."""
        config = self.config or {}
        reached = self.link == "uart" or bool(config.get("gateway"))
        return self.starts and reached and config.get("uart", {}).get("id") == REPL_UART["id"]


def read_identity(prompt: Prompt) -> Identity:
    """Returns the identity of the board at a prompt. Raises NoPrompt if it cannot be asked."""
    try:
        version, machine, mac, main, config, shard = ask(prompt, _IDENTITY)
        found = _MODEL.search(shard or b"")
        settings = _json(config)
        content = dict(zip(_FILES, (main, config, shard), strict=True))
        sound = dict(zip(_FILES, (main, settings, found), strict=True))
        return Identity(
            version,
            machine,
            format_mac(mac.hex()),
            bool(main),
            settings,
            bytes.fromhex(found[1].decode()) if found else None,
            tuple(name for name, start in content.items() if start is None),
            tuple(name for name in content if content[name] is not None and not sound[name]),
        )
    except (TypeError, ValueError) as error:
        raise NoPrompt(f"its answers are not those of MicroPython ({error})") from None


def _json(text: bytes | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def check_radio(prompt: Prompt) -> Iterator[Finding]:
    """Yields findings on the radio's settings when the node was interrupted, none without a radio.
    Raises NoPrompt."""
    answer = ask(prompt, _LIVE)
    if answer is None:
        return
    active, power_save, channel = answer
    if active:
        yield check_power_save(power_save)
        yield fine(f"the radio is on channel {channel}")


def check_power_save(power_save: int) -> Finding:
    """Returns the finding on power_save, which is what WLAN.config("pm") reports."""
    if power_save == _PM_NONE:
        return fine("power save is off")
    return wrong(
        f"power save is on (pm={power_save}): a radio that sleeps loses frames",
        "Set it off, as the firmware does: WLAN.config(pm=WLAN.PM_NONE)",
    )


def check_identity(board: Identity, cluster: ClusterFile | None) -> Iterator[Finding]:
    """Yields findings on a board at its prompt."""
    version = ".".join(map(str, board.version))
    entry = _entry(board, cluster)
    again = flash_again(entry.id if entry else board.chip, entry.board if entry else None)
    if board.version[:2] < OLDEST_VERSION:
        yield wrong(f"MicroPython {version}: before 1.26 it compiles wrong code for Xtensa", again)
    else:
        yield fine(f"MicroPython {version} on {board.machine or 'a board'}, MAC {board.mac}")
    if entry:
        yield from _kind_findings(board, entry)
    if board.missing or board.damaged:
        yield wrong(_incomplete(board), again)
    elif (found := (board.config or {}).get("firmware", "of an older version")) != (
        firmware_version()
    ):
        yield wrong(f"its firmware is {found} and this is {firmware_version()}", again)
    if cluster and board.config is not None:
        yield from _config_findings(board, entry, cluster, again)


def _incomplete(board: Identity) -> str:
    """Returns a text on the files of a chip that are missing or damaged."""
    if board.missing == tuple(_FILES):
        return "it was never flashed as a chip: it holds none of our files"
    parts = [f"{name} is missing" for name in board.missing]
    parts += [f"{name} is damaged" for name in board.damaged]
    return f"it holds no whole firmware: {', '.join(parts)}"


def _entry(board: Identity, cluster: ClusterFile | None) -> FlashedChip | None:
    """Returns the board's place in the cluster: by its MAC, else by the chip in its
    configuration."""
    if cluster is None:
        return None
    return cluster.chip_of(board.mac) or cluster.chip(-1 if board.chip is None else board.chip)


def _kind_findings(board: Identity, entry: FlashedChip) -> Iterator[Finding]:
    """Yields a finding if the board has another chip than expected. `machine` is "<module> with
    <chip>" on Espressif's chips (MicroPython's mpconfigboard.h)."""
    found = board.machine.rpartition(" with ")[2].lower().replace("-", "")
    try:
        expected = boards.load(entry.board).chip
    except BoardError as error:
        yield wrong(str(error), "Correct federation.toml, or flash the board again")
        return
    if found.startswith("esp32") and found != expected:
        yield wrong(
            f"the chip is an {found}, and chip {entry.id} was flashed as {entry.board}",
            f"Plug in the right board, or flash this one as what it is with CHIP_ID={entry.id}",
        )


def _config_findings(
    board: Identity, entry: FlashedChip | None, cluster: ClusterFile, again: str
) -> Iterator[Finding]:
    config = board.config or {}
    if entry is None:
        yield wrong("this board is not in federation.toml", again)
    elif entry.mac != board.mac:
        yield wrong(
            f"it was flashed as chip {entry.id}, which is the board with MAC {entry.mac}",
            "Flash one of the two as another chip",
        )
    elif entry.id != board.chip:
        yield wrong(f"it was flashed as chip {board.chip}, and is chip {entry.id} here", again)
    if board.key != cluster.key:
        yield wrong("it has another key than federation.toml, and so refuses all frames", again)
    if board.model_hash not in (None, cluster.model_hash):
        assert board.model_hash is not None
        yield wrong(
            f"it holds model {board.model_hash.hex()}, and federation.toml has"
            f" {cluster.model_hash.hex()} ({cluster.model})",
            again,
        )
    if board.link != cluster.link.kind:
        yield wrong(
            f"it was flashed for {board.link}, and the cluster is on {cluster.link.kind}", again
        )
    line = "usb" if config.get("uart", {}).get("id") == REPL_UART["id"] else "pins"
    if line != cluster.link.line and cluster.has_line(board.chip or 0):
        yield wrong(
            f"its line is at {line}, and the cluster's lines at {cluster.link.line}", again
        )
    channel = (config.get("radio") or {}).get("channel", cluster.channel)
    if channel != cluster.channel:
        yield wrong(f"its radio is on channel {channel}, not {cluster.channel}", again)
