"""Generates text on a cluster of chips: `python -m host.run --chips 5 --model MODEL`.

The chips are simulated, or with --ports they are boards.

Without --prompt, standard input gives the prompts: line by line from a pipe or file, typed at a
terminal. Each is a sequence of its own.
"""

from __future__ import annotations

import argparse
import gc
import io
import logging
import sys
from contextlib import ExitStack, nullcontext

from host.cli.arguments import end_at_signals, exit_code, hold_standard_files
from host.cli.chat import check_chat, find_steps
from host.cli.console import Console
from host.cli.keyboard import hold_keys
from host.cli.progress import show_progress
from host.cli.prompt_loop import PromptLoop, reads_terminal
from host.cli.run_options import parse_options
from host.cli.run_values import (
    checks_all,
    find_chips,
    find_model,
    find_sampler,
    is_chosen_by_planner,
    list_prompts,
    verify_checkable,
)
from host.cli.terminal import Display
from host.errors import FederationError
from host.executors.spot_check import SpotCheck
from host.generation.prompt_encoder import PromptEncoder, check_steps
from host.launch import Choice, open_cluster
from host.model import loading
from host.model.cache import quantize_once
from host.model.outline import Outline


def run(options: argparse.Namespace, console: Console, display: Display) -> int:
    """Opens the cluster, generates and reports; the exit code.

    Raises what main prints as one line.
    """
    find_sampler(options)  # what is wrong with options is reported before anything takes its time

    def check(outline: Outline) -> None:
        chips = find_chips(options, outline.config)
        check_steps(outline.config, chips.context, options.steps)
        chips.check(outline)

    header = loading.read_header(find_model(options), options.tokenizer, check)
    header = loading.use_home(header, options.home)
    check_chat(options, header.prompt_format)
    chips = find_chips(options, header.config)
    steps = find_steps(options, header.config, chips.context)
    encoder = PromptEncoder(header, chips.context, steps, is_flashed=options.ports is not None)
    prompts = list_prompts(options, encoder)
    with console.status("quantizing"):
        source = header.load()
        model = quantize_once(source)

    with ExitStack() as stack:
        with show_progress(console, "planning", chips.count) as progress:

            def on_choice(choice: Choice) -> None:
                verify_checkable(options, choice)
                if _shows_choice(options):
                    console.print(str(choice), highlight=False, markup=False, soft_wrap=True)
                progress.begin("starting chips")

            batch = len(prompts) > 1
            cluster = stack.enter_context(
                open_cluster(model, chips, progress.advance, batch=batch, on_choice=on_choice)
            )
        if checks_all(options):
            cluster.executor.check_arithmetic()
        elif options.check:
            cluster.executor.spot_check = SpotCheck(model, cluster.executor.plan, options.check)
        gc.freeze()  # the model and all modules stay, so collections need not go over them
        return PromptLoop(options, cluster, source, encoder, console, display).run(prompts)


def _shows_choice(options: argparse.Namespace) -> bool:
    """Returns whether there is a reader for what was chosen: whoever gets the table, or types."""
    if options.verbose:
        return True
    if options.json or not is_chosen_by_planner(options):
        return False
    given = options.prompt or options.prompts or options.examples or reads_terminal(options)
    return bool(given if options.stats is None else options.stats)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    options = parse_options(arguments)
    hold_standard_files()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may not know every character
    end_at_signals()
    console = Console(stderr=True)
    display = Display(silent=options.json)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.WARNING,
        format="%(message)s",
        handlers=[display],
    )

    def typed() -> int:
        with hold_keys() if reads_terminal(options) else nullcontext():
            return run(options, console, display)

    return exit_code(typed, (FederationError,))


if __name__ == "__main__":
    sys.exit(main())
