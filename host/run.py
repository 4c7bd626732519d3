"""Generates text on a federation of chips: `python -m host.run --chips 5 --model MODEL`.

The chips are simulated, or with --ports they are boards.

Without --prompt, standard input gives the prompts: line by line from a pipe or file, typed at a
terminal. Each is a sequence of its own.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import logging
import signal
import sys
from contextlib import ExitStack, nullcontext

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from host.cli.arguments import (
    FAILED,
    HUNG_UP,
    TERMINATED,
    Parser,
    count_up_to,
    exit_code,
    heap_size,
    hold_standard_files,
    probability,
)
from host.cli.prompts import StopAtInterrupt, example, is_terminal, piped_prompts, typed_prompts
from host.cli.report import ChipReport, Totals, print_report, report
from host.cli.terminal import Display
from host.cluster import cluster_file
from host.errors import BoardError, BuildError, ClusterError, ModelError, SetupError, one_line
from host.executors.executor import CANNOT_CHECK, Idle
from host.generation.answers import Answer, Answers, PromptEncoder
from host.generation.batch import Batch, prompts_in
from host.hardware.board import load
from host.launch.boards import attached, listed_ports
from host.launch.choice import boards_of, check_options, choose_settings
from host.launch.session import Running
from host.launch.simulated import Settings, random_key, running
from host.model import loading
from host.model.loading import LoadedModel
from host.model.sampling import Sampler
from host.parallel.options import CHOICES
from host.parallel.parallelism import REDUCERS
from host.parallel.plan import MAX_CHIPS
from host.paths import HOME_MODEL

CHIPS = 5

_FAILURES = (BoardError, ClusterError, BuildError, ModelError, SetupError)


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="python -m host.run",
        description="Generates text on a federation of chips.",
        epilog="Without --prompt, each line of standard input is a prompt: typed at a terminal,"
               " or from a pipe. With nothing to read, a model that goes on from any text begins"
               " one of its own.",
    )  # fmt: skip
    add = parser.add_argument
    add("--ports", metavar="auto|URL,...",
        help="run on boards: auto finds those of federation.toml wherever they are plugged in; or"
             " each chip's port on uart, the gateway's on espnow, as /dev/ttyACM0 or socket://...")
    add("--chips", type=count_up_to(MAX_CHIPS), metavar="N",
        help="how many chips (default: as flashed, else 5)")
    add("--model", metavar="PATH",
        help="a llama2.c checkpoint, Hugging Face folder, GGUF file or quantized model (default:"
             " models/home.bin, which turns home commands into action lines)")
    add("--tokenizer", metavar="FILE",
        help="its tokenizer (default: tok<vocabulary size>.bin or tokenizer.bin beside the model)")
    add("--prompt", metavar="TEXT", help="text to go on from, or to answer")
    add("--prompts", metavar="FILE",
        help="a prompt in each line, which fill a pipeline together; answers are printed under"
             " their prompts")
    add("--examples", action="store_true",
        help="show the model's example prompts and their answers, or a text of its own where it"
             " has none; then take prompts, at a terminal only")
    add("--steps", type=int, metavar="N",
        help="tokens in all, the prompt's included (default 256, at most the context)")
    add("--context", type=int, metavar="N",
        help="positions that the chips' caches hold (default: what the model allows)")
    add("--temperature", type=float, default=0.0, metavar="T",
        help="0 takes the likeliest token (default), 1 samples as the model says")
    add("--top-p", type=float, default=0.9, metavar="P",
        help="sample among the likeliest tokens of this probability together (default 0.9)")
    add("--seed", type=int, default=0, metavar="N", help="of sampling and of losses (default 0)")
    add("--link", choices=("uart", "espnow"),
        help="a serial port per chip, or radio with chip 0 as the gateway (default)")
    add("--parallel", choices=CHOICES,
        help="tensor divides every layer among all chips (default: as flashed, else this),"
             " pipeline gives each chip whole layers, hybrid each group of chips; auto takes what"
             " python -m host.plan recommends")
    add("--stages", type=count_up_to(MAX_CHIPS), metavar="S",
        help="how many groups of --parallel hybrid (default 2)")
    add("--reduce", choices=REDUCERS,
        help="who adds up the chips' partial sums: the host, or the chips themselves (default: as"
             " flashed, else the host)")
    add("--board", metavar="NAME",
        help="simulate chips with this board's heap (python -m host.boards lists them)")
    add("--heap", type=heap_size, metavar="SIZE", help="each chip's heap instead, as 160K or 4M")
    add("--loss", type=probability, metavar="P",
        help="lose frames with this probability")
    add("--secure", action=argparse.BooleanOptionalAction, default=None,
        help="sign all frames with a random cluster key (default for a real --board), or not")
    add("--stats", action=argparse.BooleanOptionalAction, default=None,
        help="end with a table of chips and figures (default, but for prompts from a pipe)")
    add("--json", action="store_true",
        help="print a JSON object for each prompt instead of text and table")
    add("--check", action="store_true",
        help="first compare each chip's answers, number by number, with what its share must give")
    add("--verbose", action="store_true", help="tell of repeated requests and restarts")
    return parser.parse_args(arguments)  # fmt: skip


def settings_for(options: argparse.Namespace) -> Settings:
    """How to simulate. Raises BoardError."""
    board = load(options.board or "simulated")
    link = options.link or "espnow"
    secure = bool(board.chip) if options.secure is None else options.secure
    return Settings(
        chips=options.chips or CHIPS,
        link=link,
        board=board,
        heap=options.heap or board.planned_heap(link),
        context=options.context,
        loss=options.loss or 0.0,
        seed=options.seed,
        key=random_key() if secure else b"",
    )


def run(options: argparse.Namespace, console: Console, display: Display) -> int:
    """Starts the federation, answers and reports; the exit code.

    Raises what main prints as one line.
    """
    try:
        sampler = Sampler(options.temperature, options.top_p, options.seed)
    except ValueError as error:
        raise ModelError(str(error)) from None
    flashed = cluster_file.read() if options.ports is not None else None
    settings = settings_for(options)
    path = options.model
    if path is None:
        path = flashed.model if flashed else str(HOME_MODEL)
    source = loading.load_model(path, options.tokenizer)
    boards = boards_of(options, source) if options.ports is not None else None
    if not boards:  # what options contradict is told before anything takes its time
        check_options(options, source.config.layers, settings.chips)
    encoder = PromptEncoder(source, boards.context if boards else options.context, options.steps)
    prompts = _checked_prompts(options, encoder)
    with console.status("quantizing"):
        model = source.quantize()
    with ExitStack() as stack:
        with _progress(console) as progress:
            count = boards.chips if boards else settings.chips
            task = progress.add_task("", total=count)

            def arrived(chip: int) -> None:
                progress.advance(task)

            if not boards:
                settings = choose_settings(settings, options, model, len(prompts) > 1)
            if options.check and (boards or settings).parallelism.reduce == "chips":
                raise ClusterError(CANNOT_CHECK)
            chips: Running = stack.enter_context(
                attached(model, boards, listed_ports(options.ports), arrived)
                if boards
                else running(model, settings, arrived)
            )
        chips.federation.greedy = options.temperature == 0
        if options.check:
            chips.federation.check_arithmetic()
        answers = Answers(chips, source, encoder, sampler)
        gc.freeze()  # the model and all modules stay, so collections need not go over them
        run = _Run(options, chips, source, answers, console, display)
        return run.all_prompts(prompts)


def _checked_prompts(options: argparse.Namespace, encoder: PromptEncoder) -> list[str]:
    """Those that options give: what is wrong with one is told before anything is started."""
    if options.prompts is None:
        if options.prompt is None:
            return []
        encoder.tokens(options.prompt)
        return [options.prompt]
    if options.prompt is not None:
        raise ModelError("--prompt and --prompts: give one of them")
    if options.examples:
        raise ModelError("--prompts and --examples: give one of them")
    prompts = prompts_in(options.prompts)
    for number, prompt in prompts.items():
        try:
            encoder.tokens(prompt)
        except ModelError as error:
            raise ModelError(f"--prompts {options.prompts}, line {number}: {error}") from None
    return list(prompts.values())


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("starting chips"),
        BarColumn(),
        TextColumn("{task.completed} of {task.total}"),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


class _Run:
    """The prompts of a run, wherever they come from, their answers, and what is printed."""

    def __init__(
        self,
        options: argparse.Namespace,
        chips: Running,
        source: LoadedModel,
        answers: Answers,
        console: Console,
        display: Display,
    ) -> None:
        self._options, self._chips, self._answers = options, chips, answers
        self._format = source.prompt_format
        self._console, self._display = console, display
        self._typing = options.prompt is None and is_terminal(sys.stdin)
        self._totals = Totals()
        self._code = 0

    def all_prompts(self, given: list[str]) -> int:
        """Answers those given, or whatever comes, and ends with the table; the exit code."""
        stats = True
        if self._options.prompts is not None:
            self._batch(given)
        elif given:
            self._print(given[0])
        elif self._typing or self._options.examples:
            if self._options.examples:
                self._examples()
            if self._typing:
                self._typed()
        else:
            stats = self._piped()
        if self._options.stats is not None:
            stats = self._options.stats
        if stats and not self._options.json:
            simulated = self._options.ports is None
            reports = self._chip_reports()
            print_report(self._console, self._totals, reports, self._idle(reports), simulated)
        return self._code

    def _batch(self, prompts: list[str]) -> None:
        options = self._options

        def sampler() -> Sampler:
            return Sampler(options.temperature, options.top_p, options.seed)

        batch = Batch(self._answers, self._chips, sampler)
        for answer in batch.answered(prompts):
            self._totals = batch.totals
            self._display.show(f"{example(answer.prompt)}{answer.text}\n")
            self._end(answer)

    def _piped(self) -> bool:
        """Whether there is a reader who would look at a table."""
        number = 0
        for number, prompt in piped_prompts():
            try:
                self._print(prompt)
            except ModelError as error:
                self._fail(f"line {number}: {error}")
        if number or self._format.answers:
            return False
        self._print("")
        return True

    def _examples(self) -> None:
        for prompt in self._format.examples or ("",):
            if prompt:
                self._display.show(example(prompt))
            if not self._print(prompt):
                break

    def _typed(self) -> None:
        kind = "a command" if self._format.answers else "a text to go on from"
        count = len(self._chips.shard_bytes)
        _say(f"{count} chip{'s' * (count > 1)} ready: type {kind}, or Ctrl-D to end")
        code = self._code
        for prompt in typed_prompts():
            try:
                self._print(prompt)
            except ModelError as error:
                self._fail(str(error))
        self._code = code  # whoever types has seen what went wrong, and typed on

    def _print(self, prompt: str) -> bool:
        """Answers a prompt; whether the answer came to its end."""
        with StopAtInterrupt() if self._typing else nullcontext() as stop:
            answer = self._answers.answer(
                prompt, self._display.show, lambda: stop is not None and stop.asked
            )
        self._totals += answer.totals
        self._end(answer)
        return stop is None or not stop.asked

    def _end(self, answer: Answer) -> None:
        """Prints what comes after an answer's text."""
        if self._options.json:
            print(json.dumps(self._object(answer)), flush=True)
        if answer.cut:
            self._fail(f"{answer.prompt!r}: the answer may be cut off, for {answer.cut}")

    def _fail(self, reason: str) -> None:
        """Tells what is wrong with a prompt; the others are answered."""
        _say(f"error: {one_line(reason)}")
        self._code = FAILED

    def _object(self, answer: Answer) -> dict[str, object]:
        reports = self._chip_reports()
        return report(
            answer.prompt, answer.text, answer.tokens, answer.totals, reports,
            self._idle(reports), answer.cut,
        )  # fmt: skip

    def _idle(self, reports: list[ChipReport]) -> Idle | None:
        """How much of their time stages idled, where there are any."""
        busy = {chip.shard.chip: chip.statistics.busy_ms for chip in reports}
        return self._chips.federation.idle(busy)

    def _chip_reports(self) -> list[ChipReport]:
        statistics = self._chips.coordinator.statistics(collect=True)
        return [
            ChipReport(shard, statistics[shard.chip], self._chips.shard_bytes[shard.chip])
            for shard in self._chips.federation.plan.shards
        ]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    options = parsed(arguments)
    hold_standard_files()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may not know every character
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # not without cleaning up
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, lambda *_: sys.exit(HUNG_UP))
    console = Console(stderr=True)
    display = Display(silent=options.json)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.WARNING,
        format="%(message)s",
        handlers=[display],
    )
    return exit_code(lambda: run(options, console, display), _FAILURES)


if __name__ == "__main__":
    sys.exit(main())
