"""federation.toml: the cluster as it was flashed, and the key that its chips share.

    model = "models/home.bin"
    model_hash = "0123456789abcdef"
    chips = 5
    link = "espnow"
    channel = 1
    context = 128
    line = "usb"
    combine = "host"
    stages = 5
    key = "64 hexadecimal digits"

    [[chip]]
    id = 0
    board = "esp32s3"
    mac = "34:85:18:00:00:01"
    port = "/dev/ttyACM0"

`stages` is there where they are of a pipeline.

Whoever reads the key can join the cluster: the file is made for its owner's eyes alone, and git
ignores it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from host.errors import ClusterError
from host.parallel.parallelism import (
    LINES,
    LINKS,
    REDUCERS,
    Link,
    Parallelism,
    check_reachable,
)
from protocol.frame import MAX_CHIP_ID
from protocol.messages import HASH_SIZE
from protocol.session import MIN_KEY_SIZE

FILE = Path("federation.toml")
MODE = 0o600
_KEY_SIZE = 32  # bytes of a new key
_CHANNELS = 14
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class ClusterFileError(ClusterError):
    """A cluster file that cannot be read or written; the message is one line."""


@dataclass(frozen=True)
class FlashedChip:
    """One chip: board is a name in boards/, mac as 34:85:18:00:00:01, port where it was last."""

    id: int
    board: str
    mac: str
    port: str


@dataclass(frozen=True)
class Cluster:
    """A cluster of `chips` chips, of which `flashed` have been so far, by id.

    model: its path as given; model_hash: its first 8 bytes, as chips report it; context: in
    positions; key: empty for frames that are not signed; link, line, combine: of LINKS, LINES and
    REDUCERS; boards: the name of each chip's, by which the work is dealt, or empty: then all
    are dealt the same, as far as the smallest has room; stages: of a pipeline, 0 where all chips
    have a part of every layer.
    """

    model: str
    model_hash: bytes
    chips: int
    link: str
    channel: int
    context: int
    key: bytes
    flashed: tuple[FlashedChip, ...] = ()
    line: str = "usb"
    combine: str = "host"
    boards: tuple[str, ...] = ()
    stages: int = 0

    def with_chip(self, chip: FlashedChip) -> Cluster:
        """This cluster after `chip` was flashed: in the place of one with its id or its board."""
        others = [old for old in self.flashed if old.id != chip.id and old.mac != chip.mac]
        return replace(self, flashed=tuple(sorted([*others, chip], key=lambda one: one.id)))

    def chip(self, number: int) -> FlashedChip | None:
        """The chip of this id, None if it was not flashed yet."""
        return next((chip for chip in self.flashed if chip.id == number), None)

    def chip_of(self, mac: str) -> FlashedChip | None:
        """The chip that the board with this MAC became, None if it is of no chip."""
        return next((chip for chip in self.flashed if chip.mac == mac), None)


def check_reach(link: str, line: str, combine: str, chips: int) -> None:
    """Raises ClusterError where chips that add up partial sums do not reach each other."""
    check_reachable(Link(link, line), Parallelism(reduce=combine), chips)


def make_parallelism(combine: str, stages: int, chips: int, layers: int) -> Parallelism:
    """The Parallelism of the fields `combine` and `stages`, which is 0 for tensor parallelism."""
    if not stages:
        return Parallelism(reduce=combine)
    name = "pipeline" if stages == min(layers, chips) else "hybrid"
    return Parallelism(name, stages, "chips")


def random_key() -> bytes:
    """A new cluster key."""
    return os.urandom(_KEY_SIZE)


def mac_text(text: str) -> str:
    """A MAC as the file has it: lower case, with colons. Raises ValueError for what is none."""
    digits = re.sub("[:-]", "", text.lower())
    mac = ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))
    if not _MAC.fullmatch(mac):
        raise ValueError(f"{text!r} is no MAC")
    return mac


def read(path: Path = FILE) -> Cluster | None:
    """The cluster in a file, None where there is none. Raises ClusterFileError."""
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ClusterFileError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ClusterFileError(
            f"{path} is not a TOML file: {error}: mend it, or remove it and flash again"
        ) from None
    try:
        return _cluster(fields)
    except ValueError as error:
        raise ClusterFileError(f"{path}: {error}: mend it, or remove it and flash again") from None


def changed(change: Callable[[Cluster | None], Cluster], path: Path = FILE) -> Cluster:
    """What `change` makes of the cluster in a file, which then holds it.

    Commands that do so at once, for two boards, wait for each other, so `change` must be quick.
    The file is replaced whole or not at all. Raises ClusterFileError.
    """
    try:
        with _locked(path.parent):
            cluster = change(read(path))
            _replace(path, _text(cluster))
    except OSError as error:
        raise ClusterFileError(f"cannot write {path}: {error.strerror}") from None
    except UnicodeEncodeError:
        raise ClusterFileError(f"cannot write {path}: a name in it is not Unicode") from None
    return cluster


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    content = text.encode()
    # Made with mode 0600, in the same folder so that the renaming is atomic.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _text(cluster: Cluster) -> str:
    lines = [
        "# The cluster as flashed. Whoever has the key can join it: keep this file to yourself.",
        f"model = {_quoted(cluster.model)}",
        f"model_hash = {_quoted(cluster.model_hash.hex())}",
        f"chips = {cluster.chips}",
        f"link = {_quoted(cluster.link)}",
        f"channel = {cluster.channel}",
        f"context = {cluster.context}",
        f"line = {_quoted(cluster.line)}",
        f"combine = {_quoted(cluster.combine)}",
        *([f"stages = {cluster.stages}"] if cluster.stages else []),
        f"key = {_quoted(cluster.key.hex())}",
        *([f"boards = [{', '.join(map(_quoted, cluster.boards))}]"] if cluster.boards else []),
    ]
    for chip in cluster.flashed:
        lines += [
            "",
            "[[chip]]",
            f"id = {chip.id}",
            f"board = {_quoted(chip.board)}",
            f"mac = {_quoted(chip.mac)}",
            f"port = {_quoted(chip.port)}",
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    return '"' + re.sub(r'["\\\x00-\x1f\x7f]', lambda found: f"\\u{ord(found[0]):04x}", text) + '"'


def _cluster(fields: dict[str, Any]) -> Cluster:
    """Raises ValueError that names the field."""
    take = _Fields(fields, "")
    count = take.integer("chips", 1, MAX_CHIP_ID + 1)
    cluster = Cluster(
        model=take.text("model"),
        model_hash=take.data("model_hash", HASH_SIZE, HASH_SIZE),
        chips=count,
        link=take.choice("link", LINKS),
        channel=take.integer("channel", 1, _CHANNELS),
        context=take.integer("context", 1, 65535),
        key=take.data("key", 0, 64),
        flashed=tuple(_chip(entry, count) for entry in take.tables("chip")),
        line=take.choice("line", LINES),
        combine=take.choice("combine", REDUCERS),
        boards=take.names("boards", count),
        stages=take.integer("stages", 1, count) if "stages" in fields else 0,
    )
    take.check_all_taken()
    if 0 < len(cluster.key) < MIN_KEY_SIZE:
        raise ValueError(f"key has {len(cluster.key)} bytes, {MIN_KEY_SIZE} at least are needed")
    for name in ("id", "mac"):
        values = [getattr(chip, name) for chip in cluster.flashed]
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise ValueError(f"two chips have the {name} {twice}")
    return cluster


def _chip(entry: object, chips: int) -> FlashedChip:
    if not isinstance(entry, dict):
        raise ValueError("chip is no list of tables")
    take = _Fields(entry, "chip.")
    chip = FlashedChip(
        id=take.integer("id", 0, chips - 1),
        board=take.text("board"),
        mac=mac_text(take.text("mac")),
        port=take.text("port"),
    )
    take.check_all_taken()
    return chip


class _Fields:
    """The fields of a table, each taken once. All methods raise ValueError."""

    def __init__(self, fields: dict[str, Any], prefix: str) -> None:
        self._fields, self._prefix = dict(fields), prefix

    def text(self, name: str) -> str:
        value = self._taken(name)
        if not isinstance(value, str):
            raise ValueError(f"{self._prefix}{name} is {value!r}, expected text")
        return value

    def choice(self, name: str, values: Sequence[str]) -> str:
        value = self.text(name)
        if value not in values:
            raise ValueError(f"{self._prefix}{name} is {value!r}, expected {' or '.join(values)}")
        return value

    def integer(self, name: str, least: int, most: int) -> int:
        value = self._taken(name)
        # A TOML true is a Python int too.
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"{self._prefix}{name} is {value!r}, expected {least} to {most}")
        return value

    def data(self, name: str, least: int, most: int) -> bytes:
        text = self.text(name)
        if not re.fullmatch("([0-9a-f]{2})*", text) or not least <= len(text) // 2 <= most:
            size = least if least == most else f"at most {most}"
            raise ValueError(f"{self._prefix}{name} is not {size} bytes in hexadecimal digits")
        return bytes.fromhex(text)

    def names(self, name: str, count: int) -> tuple[str, ...]:
        """So many texts, or none where the field is missing."""
        value = self._fields.pop(name, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise ValueError(f"{self._prefix}{name} is no list of names")
        if len(value) not in (0, count):
            raise ValueError(f"{self._prefix}{name} has {len(value)} names, expected {count}")
        return tuple(value)

    def tables(self, name: str) -> list[Any]:
        value = self._fields.pop(name, [])
        if not isinstance(value, list):
            raise ValueError(f"{self._prefix}{name} is no list of tables")
        return value

    def check_all_taken(self) -> None:
        for name in self._fields:
            raise ValueError(f"{self._prefix}{name} is not known")

    def _taken(self, name: str) -> object:
        if name not in self._fields:
            raise ValueError(f"{self._prefix}{name} is missing")
        return self._fields.pop(name)
