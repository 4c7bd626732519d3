"""Generates text on a federation of chips: `python -m host.run --chips 5 --model MODEL`."""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import re
import signal
import sys
import time
from contextlib import ExitStack
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from host.boards import BoardError, load
from host.cluster.errors import ClusterError
from host.deploy.bundle import DeployError
from host.generate import generated
from host.model import loading
from host.model.checkpoint import ModelError
from host.model.sampling import Sampler
from host.model.tokenizer import TextStream, TextTokenizer
from host.report import ChipReport, Totals, print_report, report
from host.setup import SetupError
from host.simulation.federation import Running, Settings, random_key, running

_FAILURES = (BoardError, ClusterError, DeployError, ModelError, SetupError)
_USAGE = 2
# 128 + SIGINT, SIGPIPE or SIGTERM, as shells have it.
_INTERRUPTED, _NOBODY_READS, _TERMINATED = 130, 141, 143
_LARGEST_HEAP = 1 << 30  # bytes that a 32-bit process is sure to have room for
_SIZE = re.compile(r"(\d+)([KM]?)", re.IGNORECASE)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as for all other errors."""

    def error(self, message: str) -> NoReturn:
        self.exit(_USAGE, f"error: {message}\n")


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = _Parser(prog="python -m host.run", description=__doc__.split(":")[0])
    add = parser.add_argument
    add("--chips", type=int, default=5, metavar="N", help="how many chips (default 5)")
    add("--model", metavar="PATH",
        help="a llama2.c checkpoint, Hugging Face folder, GGUF file or quantized model")
    add("--tokenizer", metavar="FILE",
        help="its tokenizer (default: tok<vocabulary size>.bin or tokenizer.bin beside the model)")
    add("--prompt", default="", metavar="TEXT", help="text to go on from")
    add("--steps", type=int, metavar="N",
        help="tokens in all, the prompt's included (default 256, at most the context)")
    add("--context", type=int, metavar="N",
        help="positions that the chips' caches hold (default: what the model allows)")
    add("--temperature", type=float, default=0.0, metavar="T",
        help="0 takes the likeliest token (default), 1 samples as the model says")
    add("--top-p", type=float, default=0.9, metavar="P",
        help="sample among the likeliest tokens of this probability together (default 0.9)")
    add("--seed", type=int, default=0, metavar="N", help="of sampling and of losses (default 0)")
    add("--link", choices=("uart", "espnow"), default="espnow",
        help="a serial port per chip, or radio with chip 0 as the gateway (default)")
    add("--board", default="simulated", metavar="NAME",
        help="simulate chips with this board's heap (python -m host.boards lists them)")
    add("--heap", type=_bytes, metavar="SIZE", help="each chip's heap instead, as 160K or 4M")
    add("--loss", type=_probability, default=0.0, metavar="P",
        help="lose frames with this probability")
    add("--secure", action="store_true", help="sign all frames with a random cluster key")
    add("--stats", action=argparse.BooleanOptionalAction, default=True,
        help="end with a table of chips and figures (default)")
    add("--json", action="store_true", help="print one JSON object instead of text and table")
    add("--verbose", action="store_true", help="tell of repeated requests and restarts")
    return parser.parse_args(arguments)  # fmt: skip


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    size = int(match[1]) << {"": 0, "k": 10, "m": 20}[match[2].lower()] if match else 0
    if not 0 < size <= _LARGEST_HEAP:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no size up to 1024M: give bytes, or as 160K or 4M"
        )
    return size


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no probability below 1")
    return value


def settings_for(options: argparse.Namespace) -> Settings:
    """How to simulate. Raises BoardError."""
    board = load(options.board)
    return Settings(
        chips=options.chips,
        link=options.link,
        board=board,
        heap=options.heap or board.heap_kb * 1024,
        context=options.context,
        loss=options.loss,
        seed=options.seed,
        key=random_key() if options.secure else b"",
    )


def run(options: argparse.Namespace, console: Console) -> None:
    """Starts the federation, generates and reports. Raises what main prints as one line."""
    if not options.model:
        raise ModelError("no model: give --model PATH or MODEL=PATH, as models/home.bin")
    try:
        sampler = Sampler(options.temperature, options.top_p, options.seed)
    except ValueError as error:
        raise ModelError(str(error)) from None
    settings = settings_for(options)
    source = loading.loaded(options.model, options.tokenizer)
    tokenizer = source.tokenizer
    prompt = tokenizer.encode(options.prompt)
    context = options.context or source.config.context
    steps = _steps(options.steps, context, len(prompt))
    with console.status("quantizing"):
        model = source.quantized()
    with ExitStack() as stack:
        with _progress(console) as progress:
            task = progress.add_task("", total=settings.chips)
            chips = stack.enter_context(
                running(model, settings, lambda chip: progress.advance(task))
            )
        _generate(options, chips, tokenizer, prompt, steps, sampler, console)


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("starting chips"),
        BarColumn(),
        TextColumn("{task.completed} of {task.total}"),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _steps(asked: int | None, context: int, prompt: int) -> int:
    """How many tokens may stand after BOS. Raises ModelError where the prompt leaves none."""
    if prompt > context:
        raise ModelError(
            f"the prompt has {prompt} tokens, BOS included, and the context {context} positions:"
            " shorten it or raise --context"
        )
    if asked is not None and not 1 <= asked <= context:
        raise ModelError(f"--steps {asked}: 1 to {context}, the context, can be generated")
    steps = asked or min(256, context)
    if prompt > steps:
        raise ModelError(
            f"the prompt has {prompt} tokens, BOS included: --steps {steps} leaves none to"
            " generate"
        )
    return steps


def _generate(
    options: argparse.Namespace,
    chips: Running,
    tokenizer: TextTokenizer,
    prompt: list[int],
    steps: int,
    sampler: Sampler,
    console: Console,
) -> None:
    federation = chips.federation
    stream = TextStream(tokenizer)
    meter = _Meter(chips)
    tokens, text = prompt[1:], "".join(map(stream.push, prompt[1:]))
    _show(options, text)
    exponent = federation.model.logit_exponent
    try:
        for token in generated(federation, prompt, steps, sampler, exponent, tokenizer.stops):
            meter.token()
            tokens.append(token)
            piece = stream.push(token)
            text += piece
            _show(options, piece)
    finally:
        _show(options, "\n")  # what is said next, an error too, begins a line
    totals = meter.totals()
    if not options.json and not options.stats:
        return
    statistics = chips.coordinator.statistics(collect=True)
    reports = [
        ChipReport(share, statistics[share.chip], chips.shard_bytes[share.chip])
        for share in federation.plan.shares
    ]
    if options.json:
        print(json.dumps(report(text, tokens, totals, reports)))
    else:
        print_report(console, totals, reports)


def _show(options: argparse.Namespace, text: str) -> None:
    if not options.json:
        print(text, end="", flush=True)


class _Meter:
    """Counts from the first generated token, which the prompt still paid for, to the last."""

    def __init__(self, chips: Running) -> None:
        self._chips = chips
        self._tokens = 0
        self._start = self._end = (0.0, 0, 0)

    def token(self) -> None:
        """Takes in that a token was generated."""
        self._tokens += 1
        self._end = self._counters()
        if self._tokens == 1:
            self._start = self._end

    def _counters(self) -> tuple[float, int, int]:
        transport = self._chips.transport
        exchanged = transport.bytes_sent + transport.bytes_received
        return time.monotonic(), self._chips.federation.synchronizations, exchanged

    def totals(self) -> Totals:
        """The figures of all tokens after the first."""
        seconds, synchronizations, exchanged = (
            end - start for start, end in zip(self._start, self._end, strict=True)
        )
        return Totals(
            tokens=max(self._tokens - 1, 0),
            seconds=seconds,
            synchronizations=int(synchronizations),
            bytes=int(exchanged),
            resends=self._chips.coordinator.resends,
            caught_up=self._chips.federation.caught_up,
        )


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    options = parsed(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may not know every character
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))  # not without cleaning up
    console = Console(stderr=True)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.WARNING, format="%(message)s"
    )
    try:
        run(options, console)
    except _FAILURES as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Python would meet the same error again when it flushes what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NOBODY_READS
    return 0


if __name__ == "__main__":
    sys.exit(main())
