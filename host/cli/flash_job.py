"""Plans a flash command: which chip the board becomes, in which cluster, at which port."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

from host.cli.console import Console
from host.cluster import cluster_file
from host.cluster.cluster_fields import ClusterFile
from host.cluster.place import Place
from host.cluster.port_choice import Ask, choose_port
from host.cluster.registry import agree_on_key, check_permission, load_other_boards, make_cluster
from host.errors import FlashError, ModelError
from host.hardware.board import Board
from host.hardware.boards import board_names, load
from host.links.discovery import find_candidates
from host.model import loading
from host.model.cache import quantize_once
from host.model.outline import Outline
from host.model.quantized import QuantizedModel
from host.parallel.assessment import choose_parallelism, describe_options
from host.parallel.boards import BoardSet
from host.parallel.fitting import find_first_plan
from host.parallel.options import AUTO, parse_parallelism
from host.parallel.parallelism import (
    ANYWHERE,
    HOST_REDUCE,
    LINES,
    Link,
    Parallelism,
    pipeline,
)
from host.parallel.refusal import DoesNotFit
from host.paths import HOME_MODEL

CHIPS = 5


@dataclass
class FlashJob:
    """What a flash command shall do.

    place: the chip, with the board's port; cluster: the cluster afterwards; choice: a line on what
    the planner chose, empty if it chose nothing; stale: the chips that have another key.
    """

    options: argparse.Namespace
    model: QuantizedModel
    place: Place
    cluster: ClusterFile
    choice: str
    ask: Ask
    stale: Sequence[int] = ()

    def check_permission(self, mac: str) -> None:
        """Raises FlashError unless the board of this MAC may become the chip."""
        check_permission(self.cluster, self.place.chip, mac, self.ask, self.options.yes)

    def agree_on_key(self) -> Place:
        """Returns the place with the cluster's key, which is also written to the cluster's
        file."""
        key, self.stale = agree_on_key(self.cluster, self.place.chip, cluster_file.FILE)
        self.place, self.cluster = replace(self.place, key=key), replace(self.cluster, key=key)
        return self.place


def prepare_job(options: argparse.Namespace, console: Console, ask: Ask) -> FlashJob:
    """Plans what to do, before any board is looked for.

    Raises FlashError, ClusterError, BoardError, ModelError.
    """
    before = cluster_file.read()
    _check_link(options, before)
    place = _place(options, before)
    place.check()
    path = options.model or (before.model if before else str(HOME_MODEL))
    signed = options.key if options.key is not None else before is None or bool(before.key)

    def check(outline: Outline) -> None:
        """Raises ModelError early: if no parallelism fits by the header, the chosen one will
        not."""
        if before is None:
            find_first_plan(outline, _expected_boards(place, before, signed, options.line_baud))

    with console.status("quantizing"):
        # Loaded as host.run does it: both must get the same integers.
        source = loading.load_model(path, options.tokenizer, check)
        model = quantize_once(source)
    with console.status("planning"):
        parallelism, choice = _parallelism(options, place, model, before, signed)
        if options.slots is not None:
            parallelism = replace(parallelism, slots=options.slots)
        parallelism = replace(parallelism, weights=_weights(options, before))
        place = replace(place, parallelism=parallelism)
        place.check()
        cluster = make_cluster(model, path, place, before, options.key)
        others = load_other_boards(cluster, place.chip)
        place = replace(place, key=cluster.key, channel=cluster.channel, others=others)
        cluster = replace(cluster, link=place.link)  # with the MTU that all boards have
        _check_fit(place, model, is_kept=before is not None and not choice)
    port = options.port or choose_port(find_candidates(), before, place.chip, ask)
    return FlashJob(options, model, replace(place, port=port), cluster, choice, ask)


def _check_link(options: argparse.Namespace, before: ClusterFile | None) -> None:
    """Raises FlashError for options about lines that the link does not have."""
    is_ring = (options.link or (before.link.kind if before else "")) == "ring"
    line = options.line or (before.link.line if before else LINES[0])
    if is_ring and options.line == "usb":
        raise FlashError("--link ring: chips are wired at their pins: leave --line usb out")
    if options.line_baud and not is_ring and line != "pins":
        raise FlashError(
            "--line-baud is for --link ring and --line pins: a USB port has a speed of its own,"
            " leave it out"
        )


def _check_fit(place: Place, model: QuantizedModel, is_kept: bool) -> None:
    """Raises ModelError if the model does not fit, before any board is looked for.

    is_kept: whether the parallelism is the one in the cluster's file.
    """
    try:
        place.plan(model)
    except DoesNotFit as error:
        if not is_kept or place.boards or place.parallelism.reduce == HOST_REDUCE.reduce:
            raise
        raise ModelError(
            f"{error}. The cluster was flashed with {describe_options(place.parallelism)}: name"
            " the boards of all chips with --boards, or choose with --parallel"
        ) from None


def _place(options: argparse.Namespace, before: ClusterFile | None) -> Place:
    """Returns the place of the board: what options do not say is as the cluster was flashed."""
    named = _named_boards(options, before)
    for name in ("board", "chip_id"):
        if getattr(options, name) is None and not (name == "board" and named):
            option = name.replace("_", "-")
            raise FlashError(f"no {option}: give --{option} or {name.upper()}=")
    # Place.check reports a chip that does not exist.
    own = named[options.chip_id : options.chip_id + 1] or named[:1]
    board = load(options.board) if options.board else own[0]
    old = before.link if before else Link("espnow" if board.espnow else "uart")
    link = Link(
        options.link or old.kind, options.line or old.line, baud=options.line_baud or old.baud
    )
    chips = options.chips or len(named) or (before.chips if before else CHIPS)
    # Until it is known how the model is divided.
    parallelism = pipeline(chips) if link.is_ring else HOST_REDUCE
    return Place(
        board,
        "",
        options.chip_id,
        chips,
        link,
        context=options.context or (before.context if before and not options.model else None),
        boards=named,
        kernels=options.kernels,
        parallelism=replace(parallelism, weights=_weights(options, before)),
    )


def _named_boards(options: argparse.Namespace, before: ClusterFile | None) -> tuple[Board, ...]:
    """Returns the boards of all chips as named now or, with the same number of chips, before;
    empty if they were never named."""
    if options.boards is not None:
        names = tuple(board_names(options.boards))
    else:
        is_kept = before is not None and options.chips in (None, before.chips)
        names = before.boards if before and is_kept else ()
    return tuple(load(name) for name in names)


def _weights(options: argparse.Namespace, before: ClusterFile | None) -> str:
    """Returns where chips keep their weights: by the option, else as the cluster was flashed, else
    anywhere."""
    return options.weights or (before.parallelism.weights if before else ANYWHERE)


def _parallelism(
    options: argparse.Namespace,
    place: Place,
    model: QuantizedModel,
    before: ClusterFile | None,
    signed: bool,
) -> tuple[Parallelism, str]:
    """Returns the parallelism by options, else as the cluster was flashed, else by the planner;
    and a line on it. Raises ModelError, BoardError."""
    layers = model.config.layers
    named = options.parallel, options.stages, options.reduce
    exchange = options.exchange
    if any(each is not None for each in (*named, exchange)):
        parallelism = parse_parallelism(*named, layers, place.chips, exchange=exchange)
        if parallelism is not None:
            return parallelism, ""
    elif before and _is_same_cluster(before, place):
        return before.parallelism, ""
    if (place.link.kind, place.link.line) == ("uart", "usb"):
        # The only one whose messages the REPL's port can take.
        return HOST_REDUCE, f"{describe_options(HOST_REDUCE)}: all that REPL ports allow"
    boards = _expected_boards(place, before, signed, options.line_baud)
    parallelism = choose_parallelism(model, boards)
    return parallelism, (
        f"{describe_options(parallelism)}: chosen for {place.chips} chips over"
        f" {_describe_link(boards)} (modelled; --parallel {AUTO})"
    )


def _describe_link(boards: BoardSet) -> str:
    """Returns the link as text, with the speed of lines to pins if that was counted with."""
    if boards.link.line != "pins" or boards.line_baud is None:
        return boards.kind
    return f"{boards.kind} at {boards.line_baud:,} baud"


def _is_same_cluster(before: ClusterFile, place: Place) -> bool:
    """Returns whether the cluster's parallelism from before can be kept."""
    link = before.link
    return (before.chips, link.kind, link.line) == (
        place.chips, place.link.kind, place.link.line,
    )  # fmt: skip


def _expected_boards(
    place: Place, before: ClusterFile | None, signed: bool, baud: int | None
) -> BoardSet:
    """Returns the boards of all chips: as named, else as flashed, else like this one.

    baud: the speed that lines to pins are assumed to carry, None for what they were found to.
    """
    known = {chip.id: load(chip.board) for chip in before.flashed} if before else {}
    known[place.chip] = place.board
    alike = tuple(known.get(chip, place.board) for chip in range(place.chips))
    boards = BoardSet(
        place.boards or alike, place.link.kind, place.context, signed, place.link.line,
        kernels=place.kernels, weights=place.parallelism.weights, baud=place.link.baud,
    )  # fmt: skip
    if place.link.is_ring or place.link.line != "pins":
        return boards
    return boards.with_line_baud(baud or (before.baud if before else None))
