"""Makes a board a chip of the cluster: `python -m host.flash --board esp32s3 --chip-id 2`.

Writes MicroPython and the chip's files to its flash, starts it, waits until it is ready, and keeps
federation.toml. Repeating a command that was interrupted finishes the job.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from host.build.configuration import KERNELS
from host.cli.argument_types import count_up_to, line_baud, model_path
from host.cli.arguments import INTERRUPTED, TERMINATED, Parser, exit_code
from host.cli.console import Console
from host.cli.flash_job import CHIPS, prepare_job
from host.cli.flashing import run_job
from host.errors import BoardError, BuildError, ClusterError, FlashError, ModelError
from host.parallel.options import CHOICES
from host.parallel.parallelism import (
    EXCHANGES,
    LINES,
    LINKS,
    MAX_SLOTS,
    REDUCERS,
    RING_BAUD,
    WEIGHTS,
)
from host.parallel.plan import MAX_CHIPS

MAX_CONTEXT = 65535  # positions that a message can name
EXAMPLES = (
    "--board esp32s3 --chip-id 0 --chips 3",
    "--board esp32s3 --chip-id 1 --port /dev/ttyACM1",
    "--board esp32s3 --chip-id 1 --update",
)
_MAX_BAUD = 5_000_000
_FAILURES = (BoardError, ClusterError, BuildError, FlashError, ModelError)


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """Returns the options of the command line."""
    parser = Parser(
        prog="python -m host.flash",
        description="Makes a board a chip of the cluster: MicroPython, firmware, its shard.",
        examples=EXAMPLES,
    )
    add = parser.add_argument_group("the board").add_argument
    add("--board", metavar="NAME", help="the kind of board (python -m host.boards lists them)")
    add("--chip-id", type=int, metavar="I", help="which chip of the cluster it becomes, from 0")
    add("--port", metavar="PORT",
        help="its serial port, such as /dev/ttyACM0 (default: the only one with a board)")
    add("--yes", action="store_true", help="replace a chip of the cluster without asking")
    _add_cluster_options(parser)
    add = parser.add_argument_group("what is written").add_argument
    add("--firmware", type=Path, metavar="PATH",
        help="MicroPython's image, or a folder of official ones (default: download it)")
    add("--sha256", metavar="HEX", help="the SHA-256 that the image must have")
    add("--baud", type=count_up_to(_MAX_BAUD), metavar="N",
        help="bits per second for writing the flash (default: 460800, and slower if the line is"
        " noisy)")
    add("--update", action="store_true",
        help="copy only changed files, to a board that runs MicroPython already")
    return parser.parse_args(arguments)  # fmt: skip


def _add_cluster_options(parser: Parser) -> None:
    add = parser.add_argument_group("the cluster (default: as before)").add_argument
    add("--chips", type=count_up_to(MAX_CHIPS), metavar="N",
        help=f"how many chips there are (default {CHIPS})")
    add("--boards", metavar="NAME,...",
        help="the board of each chip, if they differ: work is divided by heap and speed (default:"
        " all chips get equal shards, which must fit the smallest board)")
    add("--model", type=model_path, metavar="PATH",
        help="as host.run takes it (default models/home.bin)")
    add("--tokenizer", metavar="FILE", help="its tokenizer, as host.run takes it")
    add("--link", choices=LINKS,
        help="a serial port per chip, radio with chip 0 as the gateway (default, where boards have"
        " it), or a ring: each board's TX to the next one's RX, for a pipeline")
    add("--context", type=count_up_to(MAX_CONTEXT), metavar="N",
        help="positions that the chips' caches hold (default: what the model allows)")
    add("--line", choices=LINES,
        help="where the host's serial line ends: at the USB port (default), or at the pins of"
        " the board's second UART")
    add("--line-baud", type=line_baud, metavar="N",
        help=f"bits per second on all lines of a ring, the host's adapter included (default"
        f" {RING_BAUD}); with --line pins the speed that --parallel auto counts with, since these"
        " lines are as fast as they can be (default: that in the board's file)")
    add("--parallel", choices=CHOICES,
        help="how the model is divided, as host.run has it (default: as before, and for the first"
        " board auto, which chooses for all chips)")
    add("--stages", type=count_up_to(MAX_CHIPS), metavar="S",
        help="how many groups of --parallel hybrid (default 2)")
    add("--reduce", choices=REDUCERS,
        help="who adds up the chips' partial sums: the host, or the chips themselves")
    add("--exchange", choices=EXCHANGES,
        help="what chips with --reduce chips exchange: partial sums (all-reduce), or finished"
        " activations (all-gather)")
    add("--weights", choices=WEIGHTS,
        help="where chips keep their weights: in their heaps, or in the flash, from which they are"
        " read for each token, with flash-mapped in place (docs/flash-mapped.md) (default: as"
        " before, and for the first board auto, which takes flash where heaps are too small)")
    add("--slots", type=count_up_to(MAX_SLOTS), metavar="N",
        help="KV caches for so many sequences, which run together, as far as heaps allow (default:"
        " as before, and for the first board one; in a pipeline one more than stages)")
    add("--key", action=argparse.BooleanOptionalAction, default=None,
        help="sign all frames with the cluster's random key (default), or none")
    add("--kernels", choices=KERNELS, default="auto",
        help="which kernels the chip runs: viper's, or native ones, machine code of our own; auto"
             " takes native ones where they prove right at the first start (default)")  # fmt: skip


def run(options: argparse.Namespace, console: Console) -> int:
    """Flashes, and prints what was done; returns the exit code. Raises errors that main prints as
    one line."""
    try:
        job = prepare_job(options, console, input if sys.stdin.isatty() else None)
        run_job(job, console)
    except EOFError:
        raise FlashError("no answer, and nothing was changed") from None
    except KeyboardInterrupt as error:
        where = f" while {error}" if error.args else ""
        print(f"interrupted{where}: the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    options = parsed(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # not without cleaning up
    return exit_code(lambda: run(options, Console(stderr=True)), _FAILURES)


if __name__ == "__main__":
    sys.exit(main())
