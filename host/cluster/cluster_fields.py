"""A cluster as federation.toml describes it, and that file's fields."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from msgspec import Meta

from host.build.configuration import CHANNEL
from host.links.discovery import format_mac
from host.parallel.options import NAMES
from host.parallel.parallelism import (
    EXCHANGES,
    HOST_REDUCE,
    LEAST_BAUD,
    LINES,
    LINKS,
    MOST_BAUD,
    REDUCERS,
    RING_BAUD,
    WEIGHTS,
    Link,
    Parallelism,
)
from host.toml_file import TomlError, record_from
from protocol.frame import MAX_CHIP_ID
from protocol.messages import HASH_SIZE
from protocol.session import MIN_KEY_SIZE

VERSION = 2  # of the file's layout
_MAX_CHIPS, _MAX_KEY_SIZE, _MAX_CONTEXT, _CHANNELS = MAX_CHIP_ID + 1, 64, 65535, 14


@dataclass(frozen=True)
class FlashedChip:
    """One chip. board: a name in boards/; mac: as 34:85:18:00:00:01; port: the last one it had."""

    id: int
    board: str
    mac: str
    port: str


@dataclass(frozen=True)
class ClusterFile:
    """A cluster of `chips` chips; `flashed` are those that have been flashed so far, by id.

    model: the path as given; model_hash: the first 8 bytes of the model's SHA-256, as chips report
    it; context: positions; key: empty if frames are not signed (then link.signed is false);
    channel: of Wi-Fi; boards: the name of each chip's board, by which work is divided, or empty:
    then all chips get equal shards, which must fit the smallest; baud: bits per second that all
    lines to pins were found to carry, None if that was not tried yet.
    """

    model: str
    model_hash: bytes
    chips: int
    context: int
    key: bytes
    link: Link
    parallelism: Parallelism = HOST_REDUCE
    channel: int = CHANNEL
    flashed: tuple[FlashedChip, ...] = ()
    boards: tuple[str, ...] = ()
    baud: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "link", replace(self.link, signed=bool(self.key)))

    def with_chip(self, chip: FlashedChip) -> ClusterFile:
        """Returns this cluster with `chip` flashed; it replaces any chip with its id or board."""
        others = [old for old in self.flashed if old.id != chip.id and old.mac != chip.mac]
        flashed = tuple(sorted([*others, chip], key=lambda one: one.id))
        return replace(self, flashed=flashed, baud=None)

    def chip(self, number: int) -> FlashedChip | None:
        """Returns the chip of this id, None if it was not flashed yet."""
        return next((chip for chip in self.flashed if chip.id == number), None)

    def chip_of(self, mac: str) -> FlashedChip | None:
        """Returns the chip that the board with this MAC became, None if it became none."""
        return next((chip for chip in self.flashed if chip.mac == mac), None)

    def has_line(self, chip: int) -> bool:
        """Returns whether the host has a serial line to a chip of its own.

        With the radio only the gateway has one; in a ring no chip has, as all share the line.
        """
        return not self.link.is_ring and (chip == 0 or not self.link.has_radio)


# Types of fields; what concerns several fields is checked by functions below.
_Chips = Annotated[int, Meta(ge=1, le=_MAX_CHIPS, description=f"1 to {_MAX_CHIPS}")]
_Context = Annotated[int, Meta(ge=1, le=_MAX_CONTEXT, description=f"1 to {_MAX_CONTEXT}")]
_Channel = Annotated[int, Meta(ge=1, le=_CHANNELS, description=f"1 to {_CHANNELS}")]
_Baud = Annotated[
    int, Meta(ge=LEAST_BAUD, le=MOST_BAUD, description=f"{LEAST_BAUD} to {MOST_BAUD}")
]
_Hash = Annotated[
    str,
    Meta(
        pattern=f"^([0-9a-f]{{2}}){{{HASH_SIZE}}}$",
        description=f"{HASH_SIZE} bytes in hexadecimal digits",
    ),
]
_Key = Annotated[
    str,
    Meta(
        pattern=f"^([0-9a-f]{{2}}){{0,{_MAX_KEY_SIZE}}}$",
        description=f"at most {_MAX_KEY_SIZE} bytes in hexadecimal digits",
    ),
]


@dataclass(frozen=True)
class _LinkTable:
    kind: str
    channel: _Channel
    line: str
    mtu: _Context | None = None  # bytes; None on UART
    baud: _Baud | None = None  # of all lines of a ring


@dataclass(frozen=True)
class _Fields:
    version: int
    model: str
    model_hash: _Hash
    chips: _Chips
    context: _Context
    key: _Key
    parallelism: Parallelism
    link: _LinkTable
    boards: tuple[str, ...] = ()
    chip: tuple[FlashedChip, ...] = ()


def decode_cluster(fields: dict[str, Any]) -> ClusterFile:
    """Returns the cluster that the file's fields describe. Raises TomlError."""
    found = record_from(fields, _Fields)
    _check_choices(found)
    _check_counts(found)
    link = Link(found.link.kind, found.link.line, found.link.mtu)
    baud = found.link.baud
    if link.is_ring:
        link, baud = replace(link, baud=baud or RING_BAUD), None
    chips = tuple(replace(chip, mac=_mac(chip.mac)) for chip in found.chip)
    for name in ("id", "mac"):
        values = [getattr(chip, name) for chip in chips]
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise TomlError(f"two chips have the {name} {twice}")
    return ClusterFile(
        found.model, bytes.fromhex(found.model_hash), found.chips, found.context,
        bytes.fromhex(found.key), link, found.parallelism, found.link.channel, chips, found.boards,
        baud,
    )  # fmt: skip


def encode_cluster(cluster: ClusterFile) -> dict[str, Any]:
    """Returns a cluster as the fields of its file."""
    link = {"kind": cluster.link.kind, "channel": cluster.channel, "line": cluster.link.line}
    counts = {"mtu": cluster.link.mtu, "baud": cluster.link.baud or cluster.baud}
    return {
        "version": VERSION,
        "model": cluster.model,
        "model_hash": cluster.model_hash.hex(),
        "chips": cluster.chips,
        "context": cluster.context,
        "key": cluster.key.hex(),
        **({"boards": list(cluster.boards)} if cluster.boards else {}),
        "parallelism": asdict(cluster.parallelism),
        "link": {**link, **{name: n for name, n in counts.items() if n is not None}},
        **({"chip": [asdict(chip) for chip in cluster.flashed]} if cluster.flashed else {}),
    }


def _check_choices(found: _Fields) -> None:
    parallelism, link = found.parallelism, found.link
    choices = {
        "parallelism.strategy": (parallelism.strategy, NAMES),
        "parallelism.reduce": (parallelism.reduce, REDUCERS),
        "parallelism.exchange": (parallelism.exchange, EXCHANGES),
        "parallelism.weights": (parallelism.weights, WEIGHTS),
        "link.kind": (link.kind, LINKS),
        "link.line": (link.line, LINES),
    }
    for name, (value, values) in choices.items():
        if value not in values:
            raise TomlError(f"field {name} is {value!r}, expected {' or '.join(values)}")


def _check_counts(found: _Fields) -> None:
    if not 1 <= found.parallelism.stages <= found.chips:
        raise TomlError(
            f"field parallelism.stages is {found.parallelism.stages}, expected 1 to {found.chips}"
        )
    if len(found.boards) not in (0, found.chips):
        raise TomlError(f"field boards has {len(found.boards)} names, expected {found.chips}")
    if 0 < len(found.key) < 2 * MIN_KEY_SIZE:
        raise TomlError(
            f"field key has {len(found.key) // 2} bytes, {MIN_KEY_SIZE} at least are needed"
        )
    for number, chip in enumerate(found.chip):
        if not 0 <= chip.id < found.chips:
            raise TomlError(f"field chip[{number}].id is {chip.id}, expected 0 to"
                            f" {found.chips - 1}")  # fmt: skip


def _mac(text: str) -> str:
    try:
        return format_mac(text)
    except ValueError as error:
        raise TomlError(str(error)) from None
