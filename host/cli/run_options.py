"""The options of `run`; run_values.py says what they ask for."""

from __future__ import annotations

import argparse
import os

from host.build.configuration import KERNELS
from host.cli.argument_types import (
    count_from,
    count_up_to,
    draft_count,
    heap_size,
    line_baud,
    model_path,
    nucleus,
    probability,
    temperature,
)
from host.cli.arguments import Parser
from host.hardware.board import RADIO_MTUS
from host.parallel.options import CHOICES
from host.parallel.parallelism import (
    EXCHANGES,
    LINKS,
    MAX_SLOTS,
    REDUCERS,
    RING_BAUD,
    WEIGHTS,
)
from host.parallel.plan import MAX_CHIPS

DEFAULT_CHIPS = 5
EXAMPLES = (
    '"turn off the kitchen lights"',
    "--chips 3 --board esp32c3 --link uart",
    '--model stories260K.bin --prompt "Once upon a time" --temperature 0.8 --seed 1',
    "--ports auto --prompts commands.txt --json",
)


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(
        prog="python -m host.run",
        description="Generates text on a cluster of chips.",
        examples=EXAMPLES,
        epilog="Without --prompt, each line of standard input is a prompt: typed at a terminal,"
               " or from a pipe. With nothing to read, a model that continues any text begins"
               " one of its own.",
    )  # fmt: skip
    _add_prompt_options(parser)
    _add_model_options(parser)
    add_chip_options(parser).add_argument(
        "--check", nargs="?", type=_check_every, const=0, metavar="N",
        help="alone: before generating, compare each chip's answers, number by number, with those"
             " that its shard must give; this takes --reduce host. With N: compute one token in N"
             " on the host too, while the chips generate; this takes any --reduce",
        )  # fmt: skip
    add_simulation_options(parser)
    _add_output_options(parser)
    options = parser.parse_args(arguments)
    if options.words:
        _take_words(parser, options)
    return options


def _take_words(parser: Parser, options: argparse.Namespace) -> None:
    """Uses words that belong to no option as the prompt."""
    text = " ".join(options.words)
    if options.prompt is not None:
        parser.error(f"{text!r} and --prompt: give one of them")
    if os.path.exists(text):
        parser.error(f"{text!r} is a file: give --model {text}, or --prompts {text}")
    options.prompt = text


def _add_prompt_options(parser: Parser) -> None:
    add = parser.add_argument_group("prompts").add_argument
    add("words", nargs="*", metavar="PROMPT", help="text to continue, or to answer")
    add("--prompt", metavar="TEXT", help="the same, which may begin with a dash")
    add("--prompts", metavar="FILE",
        help="a file with a prompt in each line; a pipeline works on several at a time; answers"
             " are printed under their prompts")
    add("--chat", action="store_true",
        help="prompts are messages of one conversation, formatted by the model's chat template"
             " (with --prompts, each line is its own conversation)")
    add("--system", metavar="TEXT",
        help="with --chat: the system message, in place of the template's")
    add("--examples", action="store_true",
        help="show answers to the model's example prompts or, if it has none, a text of its own;"
             " then, at a terminal, take prompts")  # fmt: skip


def _add_model_options(parser: Parser) -> None:
    add = parser.add_argument_group("model and sampling").add_argument
    add("--model", type=model_path, metavar="PATH",
        help="a llama2.c checkpoint, Hugging Face folder, GGUF file or quantized model, or a name"
             " that python -m host.model get lists (default: home, models/home.bin, which turns"
             " home commands into action lines)")
    add("--tokenizer", metavar="FILE",
        help="its tokenizer (default: tok<vocabulary size>.bin or tokenizer.bin beside the model)")
    add("--home", metavar="FILE",
        help="the home that commands are about, as docs/home.md describes it (default: the one"
             " that comes with the program)")
    add("--steps", type=count_from(1), metavar="N",
        help="tokens in all, the prompt's included (default 256, at most the context)")
    add("--context", type=count_from(1), metavar="N",
        help="positions that the chips' KV caches hold (default: what the model allows)")
    add("--temperature", type=temperature, default=0.0, metavar="T",
        help="0 takes the most probable token (default), 1 samples by the model's probabilities")
    add("--top-p", type=nucleus, default=0.9, metavar="P",
        help="sample among the most probable tokens with this total probability (default 0.9)")
    add("--seed", type=count_from(0), default=0, metavar="N",
        help="of sampling and of losses (default 0)")
    add("--drafts", type=draft_count, default=None, metavar="auto|N",
        help="draft so many tokens at a time and run them together, which does not change the"
             " text; 0 for none (default auto: as many as are modelled to be fastest, for a model"
             " with a file of its own text; none on simulated chips)")  # fmt: skip


def add_chip_options(parser: Parser) -> argparse._ArgumentGroup:
    """Adds the options that choose the chips; returns their group."""
    group = parser.add_argument_group("chips")
    add = group.add_argument
    add("--ports", metavar="auto|URL,...",
        help="run on boards: auto finds those of federation.toml wherever they are plugged in; or"
             " each chip's port on uart, the gateway's on espnow, the adapter's of a ring, as"
             " /dev/ttyACM0 or socket://...")
    add("--chips", type=count_up_to(MAX_CHIPS), metavar="N",
        help=f"how many chips (default: as flashed, else {DEFAULT_CHIPS})")
    add("--link", choices=LINKS,
        help="a serial port per chip, radio with chip 0 as the gateway (default), or a ring, each"
             " chip's line leading to the next, for a pipeline")
    add("--line-baud", type=line_baud, metavar="N",
        help="bits a second on serial lines: that simulated chips of a --board are planned with;"
             f" of a ring of boards that of all its lines (default: as flashed, else {RING_BAUD})")
    add("--parallel", choices=CHOICES,
        help="tensor divides every layer among all chips, pipeline gives each chip whole layers,"
             " hybrid each group of chips; auto takes what python -m host.plan recommends"
             " (default; boards: as flashed)")
    add("--stages", type=count_up_to(MAX_CHIPS), metavar="S",
        help="how many groups of --parallel hybrid (default 2)")
    add("--reduce", choices=REDUCERS,
        help="who adds up the chips' partial sums in --parallel tensor: the host (default), or the"
             " chips themselves")
    add("--exchange", choices=EXCHANGES,
        help="what chips with --reduce chips exchange: partial sums (all-reduce, default), or"
             " finished activations (all-gather), which are fewer bytes of wide models on many"
             " chips")
    add("--slots", type=count_up_to(MAX_SLOTS), metavar="N",
        help="simulated chips' KV caches for so many sequences, which run together, as far as"
             " heaps allow (default: one; 8 with --prompts and in serve; in a pipeline one more"
             " than stages)",
        )  # fmt: skip
    return group


def add_simulation_options(parser: Parser) -> None:
    """Adds the options for simulated chips."""
    add = parser.add_argument_group("simulated chips").add_argument
    add("--board", metavar="NAME",
        help="simulate chips with this board's heap (python -m host.boards lists them)")
    add("--heap", type=heap_size, metavar="SIZE", help="each chip's heap, as 160K or 4M")
    add("--weights", choices=WEIGHTS,
        help="where chips keep their weights: in their heaps, or in the flash, from which they are"
             " read for each token, with flash-mapped in place (docs/flash-mapped.md); auto takes"
             " flash where heaps are too small (default)")
    add("--kernels", choices=KERNELS,
        help="auto and viper are the same on simulated chips; native, our own machine code, is for"
             " boards (python -m host.flash)")
    add("--radio-mtu", type=int, choices=RADIO_MTUS, metavar="BYTES",
        help="longest packets of the simulated radio: 250, which all versions of ESP-NOW take, or"
             " 1470, of version 2 (default: the board's)")
    add("--loss", type=probability, metavar="P", help="lose frames with this probability")
    add("--secure", action=argparse.BooleanOptionalAction, default=None,
        help="sign all frames with a random cluster key, or do not (default: sign them for a real"
             " --board)")  # fmt: skip


def _add_output_options(parser: Parser) -> None:
    add = parser.add_argument_group("output").add_argument
    add("--stats", action=argparse.BooleanOptionalAction, default=None,
        help="end with a table of chips and figures (default, but for prompts from a pipe)")
    add("--json", action="store_true",
        help="print a JSON object for each prompt instead of text and table")
    add("--verbose", action="store_true",
        help="report retransmitted requests and restarts")  # fmt: skip


def _check_every(text: str) -> int:
    """Returns N, where one token in N is to be computed on the host too."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"must be a whole number of at least 1, got {text!r}: give --check N, or --check alone"
            " as the last option"
        )
    return int(text)
