"""Prints what well-known models would take: `python -m host.model sizes`."""

from __future__ import annotations

import json

from host.cli.console import Console
from host.cli.quantizing import GROUPS, INT8
from host.cli.tables import print_table
from host.hardware.board import Board
from host.parallel.boards import BoardSet
from host.parallel.cost.estimate import PROMPT
from host.parallel.well_known import MODELS, MOST_ESTIMATED, BoardsNeeded, find_boards_needed

CONTEXT = 256  # positions that a short conversation takes


def print_sizes(
    console: Console,
    board: Board,
    link: str,
    context: int,
    is_json: bool = False,
    baud: int | None = None,
    kept: str = INT8,
) -> None:
    """Prints how many boards of a kind hold each well-known model, and how fast they would be.

    baud: bits a second on serial lines, None for the board's; kept: what matrices are in, one of
    WEIGHTS. Raises BoardError for a link that the board does not have.
    """
    models = [model.in_groups() if kept == GROUPS else model for model in MODELS]
    with Console(stderr=True).status("planning"):
        found = [find_boards_needed(model, board, link, context, baud) for model in models]
    if is_json:
        print(json.dumps([each.as_dict() for each in found]))
        return
    headings = ["model", "parameters", f"{kept} MB"]
    for place in ("flash", "heaps"):
        headings += [f"boards, {place}", f"tokens/s, {place}", f"first s, {place}"]
    print_table(console, headings, [_row(each) for each in found], left={0})
    over = {"uart": "serial lines", "ring": "a ring of serial lines"}.get(link)
    if over and (of_lines := BoardSet((board,), link).with_line_baud(baud).line_baud):
        over += f" at {of_lines:,} baud"
    over = over or f"ESP-NOW, frames of {board.mtu(link):,} bytes"
    limits = dict.fromkeys(
        need.estimate.limit
        for each in found
        for need in (each.fewest, each.in_heaps)
        if need.estimate
    )
    tried = "no ring of a board a layer or fewer" if link == "ring" else "none in one stage or two"
    most = f", which wait most for {' or '.join(limits)}" if limits else ""
    console.print(
        f"{board.name} over {over}, caches for {context} positions. flash: the fewest boards, with"
        f" weights in flash where heaps are too small; heaps: in heaps alone; none: {tried}."
        f" tokens/s, and the first token after a prompt of {PROMPT}, of up to {MOST_ESTIMATED}"
        f" boards{most} (modelled, from published shapes)",
        highlight=False,
    )


def _row(each: BoardsNeeded) -> list[str]:
    model = each.model
    row = [model.name, f"{model.parameters / 1e6:,.0f} M", f"{each.weight_bytes / 1e6:,.0f}"]
    for need in (each.fewest, each.in_heaps):
        row.append("none" if need.chips is None else str(need.chips))
        if found := need.estimate:
            speed = f"{found.latency.tokens_per_second:.2f}"
            row += [speed, f"{found.first_token:.1f}"]
        else:
            row += ["", ""]
    return row
