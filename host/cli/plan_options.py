"""The options of `plan`, and the boards that they name."""

from __future__ import annotations

import argparse

from host.cli.argument_types import count_from, count_up_to, line_baud, model_path
from host.cli.arguments import Parser
from host.errors import BoardError
from host.hardware.board import RADIO_MTUS
from host.hardware.boards import board_names, load
from host.parallel.boards import BoardSet
from host.parallel.options import CHOICES
from host.parallel.parallelism import (
    ANYWHERE,
    EXCHANGES,
    LINKS,
    REDUCERS,
    RING_BAUD,
    WEIGHTS,
    check_radio_option,
)
from host.parallel.plan import MAX_CHIPS
from host.paths import HOME_MODEL

CHIPS, BOARD = 5, "esp32s3"


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(
        prog="python -m host.plan",
        description="Shows how a model would run on boards, for each strategy.",
        examples=(
            "--chips 5 --board esp32c3",
            "--boards esp32s3,esp32c3,esp32c3 --link uart",
            "--link ring --line-baud 921600",
            "--model stories260K.bin --parallel tensor --json",
        ),
    )
    add = parser.add_argument
    add(
        "--model",
        type=model_path,
        metavar="PATH",
        default=str(HOME_MODEL),
        help="a llama2.c checkpoint, Hugging Face folder, GGUF file or quantized model, or a name"
        " that python -m host.model get lists (default: home, models/home.bin)",
    )
    add("--tokenizer", metavar="FILE", help="its tokenizer (default: the one in or beside it)")
    add("--chips", type=count_up_to(MAX_CHIPS), metavar="N", help=f"how many (default {CHIPS})")
    help = f"which (default {BOARD}; python -m host.boards lists them)"
    add("--board", metavar="NAME", help=help)
    add("--boards", metavar="NAME,...", help="a board for each chip, where they differ")
    add(
        "--link",
        choices=LINKS,
        default="espnow",
        help="a serial line per chip, radio with chip 0 as the gateway (default), or a ring",
    )
    add(
        "--context",
        type=count_from(1),
        metavar="N",
        help="positions that the chips' KV caches hold (default: what the model allows)",
    )
    _add_division(parser)
    help = "longest packet on the radio, 250 or 1470 (default: what all boards take)"
    add("--radio-mtu", type=int, choices=RADIO_MTUS, metavar="BYTES", help=help)
    help = (
        "bits a second on serial lines, all of a ring, or the gateway's (default: of a ring"
        f" {RING_BAUD}, else what the boards' files have)"
    )
    add("--line-baud", type=line_baud, metavar="N", help=help)
    help = "frames are signed with a cluster key, as make flash has it (default), or not"
    add("--key", action=argparse.BooleanOptionalAction, default=None, help=help)
    add("--json", action="store_true", help="print one JSON object")
    return parser.parse_args(arguments)


def _add_division(parser: Parser) -> None:
    """Adds the options that say how the model is divided."""
    add = parser.add_argument
    add(
        "--parallel",
        choices=CHOICES,
        help="one strategy alone (default auto: all of them, and which is the fastest)",
    )
    add(
        "--stages",
        type=count_up_to(MAX_CHIPS),
        metavar="S",
        help="how many groups of --parallel hybrid (default 2)",
    )
    add("--reduce", choices=REDUCERS, help="who adds up partial sums in --parallel tensor")
    add("--exchange", choices=EXCHANGES, help="what chips with --reduce chips exchange")
    help = (
        "where weights lie: flash is read for each token, flash-mapped in place"
        " (docs/flash-mapped.md); auto takes flash where heaps are small (default)"
    )
    add("--weights", choices=WEIGHTS, default=ANYWHERE, help=help)


def parse_boards(options: argparse.Namespace) -> BoardSet:
    """Returns the boards that the options name. Raises BoardError, ParallelError."""
    if options.boards is None:
        names = [options.board or BOARD] * (options.chips or CHIPS)
    elif options.board or options.chips:
        raise BoardError("--boards names a board for each chip: leave --board and --chips out")
    else:
        names = board_names(options.boards)
    if len(names) > MAX_CHIPS:
        raise BoardError(f"{len(names)} boards: a federation has 1 to {MAX_CHIPS}")
    kinds = {name: load(name) for name in dict.fromkeys(names)}
    check_radio_option("--radio-mtu", options.radio_mtu, options.link)
    if options.radio_mtu:
        kinds = {name: board.with_mtu(options.radio_mtu) for name, board in kinds.items()}
    boards = tuple(kinds[name] for name in names)
    # As flashing has it, and simulating these boards.
    signed = any(board.chip for board in boards) if options.key is None else options.key
    where = options.weights
    of = BoardSet(boards, options.link, options.context, signed, "pins", weights=where)
    return of.with_line_baud(options.line_baud)
