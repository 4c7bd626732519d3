"""Updates federation.toml as boards are flashed, and asks before a board becomes another chip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from host.cluster import cluster_file
from host.cluster.cluster_fields import ClusterFile, FlashedChip
from host.cluster.place import Place
from host.cluster.port_choice import Ask
from host.errors import FlashError
from host.hardware import boards
from host.hardware.board import Board
from host.model.quantized import QuantizedModel
from protocol.messages import HASH_SIZE


def make_cluster(
    model: QuantizedModel,
    path: str,
    place: Place,
    before: ClusterFile | None,
    signed: bool | None = None,
) -> ClusterFile:
    """Returns the cluster that results from flashing `place`; before: the one in the file, if any.

    path: of the model, as given; signed: whether the cluster has a key; None for as before, which
    in a new cluster means yes.
    """
    was_signed = before is None or bool(before.key)
    key = before.key if before else b""
    if not (was_signed if signed is None else signed):
        key = b""
    elif not key:
        key = cluster_file.make_key()
    new = ClusterFile(
        path,
        model.sha256()[:HASH_SIZE],
        place.chips,
        place.context or model.config.context,
        key,
        place.link,
        place.parallelism,
        boards=tuple(board.name for board in place.boards),
    )
    if before is None:
        return new
    kept = tuple(chip for chip in before.flashed if chip.id < place.chips)
    return replace(new, channel=before.channel, flashed=kept)


def agree_on_key(cluster: ClusterFile, chip: int, file: Path) -> tuple[bytes, Sequence[int]]:
    """Returns the key to flash a chip of the cluster with, and the other chips that have none yet.

    A new key is written to the file at once, so that two boards that are flashed at the same time
    get the same one. Raises ClusterFileError.
    """
    stale: list[int] = []

    def change(old: ClusterFile | None) -> ClusterFile:
        if old is None:
            return cluster
        if old.key or not cluster.key:
            return old
        stale.extend(one.id for one in cluster.flashed if one.id != chip)
        return replace(old, key=cluster.key)

    key = cluster_file.change(change, file).key
    return key if cluster.key else b"", stale


def load_other_boards(cluster: ClusterFile, chip: int) -> tuple[Board, ...]:
    """Returns the boards of all chips but one. Raises BoardError."""
    return tuple(boards.load(one.board) for one in cluster.flashed if one.id != chip)


def check_permission(
    cluster: ClusterFile, chip: int, mac: str, ask: Ask, consented: bool
) -> None:
    """Asks the user before a board replaces another one, or becomes another chip.

    consented: whether not to ask. Raises FlashError if the answer is no, or there is no terminal.
    """
    held, was = cluster.chip(chip), cluster.chip_of(mac)
    if was and was.id != chip:
        question = f"this board ({mac}) is chip {was.id} of the cluster: make it chip {chip}?"
    elif held and held.mac != mac:
        question = (
            f"chip {chip} is another board ({held.board}, {held.mac}): replace it by this one"
            f" ({mac})?"
        )
    else:
        return
    if consented:
        return
    if ask is None:
        raise FlashError(f"{question.removesuffix('?')} only with --yes")
    if ask(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise FlashError("nothing was changed")


def record(cluster: ClusterFile, chip: FlashedChip, file: Path) -> Sequence[int]:
    """Writes a chip that was flashed as `cluster` says to the file.

    Returns the chips that were flashed with other settings, and must be flashed again. Raises
    ClusterFileError.
    """
    stale: list[int] = []

    def change(before: ClusterFile | None) -> ClusterFile:
        others = before.flashed if before else cluster.flashed
        kept = tuple(one for one in others if one.id < cluster.chips)
        after = replace(cluster, flashed=kept).with_chip(chip)
        if before and _settings(before) != _settings(after):
            stale.extend(one.id for one in after.flashed if one.id != chip.id)
        return after

    cluster_file.change(change, file)
    return stale


def _settings(cluster: ClusterFile) -> ClusterFile:
    """Returns what all chips of a cluster must agree on: all but where its model and boards
    are."""
    return replace(cluster, model="", flashed=())
