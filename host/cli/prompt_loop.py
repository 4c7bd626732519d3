"""Runs the prompts of `run`, from options, a pipe or a terminal, and prints the answers."""

from __future__ import annotations

import argparse
import json
import re
import sys
from contextlib import nullcontext

from host.cli.arguments import FAILED
from host.cli.chat import Chat, make_prompt
from host.cli.console import Console
from host.cli.keyboard import typed_prompts
from host.cli.prompts import StopAtInterrupt, example, is_terminal, piped_prompts
from host.cli.report import make_report, print_report
from host.cli.run_values import find_sampler
from host.cli.terminal import Display
from host.errors import ModelError, TextError, one_line
from host.generation.batch import Batch
from host.generation.generator import LENGTH, Generation, Generator
from host.generation.prompt_encoder import PromptEncoder
from host.generation.statistics import GenerationStatistics
from host.generation.text_builder import without_bos
from host.launch import OpenCluster
from host.model.loading import LoadedModel

_NEW = "/new"
_EXIT = ("exit", "quit", "/exit", "/quit")


class PromptLoop:
    """Takes prompts from options, a pipe or a terminal, and prints what a cluster generates."""

    def __init__(
        self,
        options: argparse.Namespace,
        cluster: OpenCluster,
        source: LoadedModel,
        encoder: PromptEncoder,
        console: Console,
        display: Display,
    ) -> None:
        self._options, self._cluster, self._encoder = options, cluster, encoder
        self._format, self._tokenizer = source.prompt_format, source.tokenizer
        self._generator = Generator(cluster, source, encoder, options.drafts)
        self._sampler = find_sampler(options)
        self._console, self._display = console, display
        self._chat = Chat(encoder, options.system) if options.chat else None
        self._answers = self._format.answers or options.chat
        self._is_typing = reads_terminal(options)
        self._statistics = GenerationStatistics()
        self._code = 0

    def run(self, given: list[str]) -> int:
        """Runs the given prompts, or those that come, and prints the table; returns the exit
        code."""
        stats = True
        if self._options.prompts is not None:
            self._run_batch(given)
        elif given:
            self._run_prompt(given[0])
        elif self._is_typing or self._options.examples:
            if self._options.examples:
                self._run_examples()
            if self._is_typing:
                self._run_typed()
        else:
            stats = self._run_piped()
        if self._options.stats is not None:
            stats = self._options.stats
        if stats and not self._options.json:
            chips = self._cluster.statistics()
            idle, is_simulated = self._cluster.idle(chips), self._cluster.is_simulated
            print_report(self._console, self._statistics, chips, idle, is_simulated)
        return self._code

    def _run_batch(self, prompts: list[str]) -> None:
        batch = Batch(self._generator)
        tasks = [
            self._generator.task(make_prompt(self._options, prompt), find_sampler(self._options))
            for prompt in prompts
        ]
        for generation in batch.run(tasks):
            self._statistics = batch.statistics
            self._display.show(f"{example(generation.prompt)}{self._text(generation)}\n")
            self._finish(generation)

    def _run_piped(self) -> bool:
        """Runs the lines of standard input; returns whether to print the table."""
        is_any = False
        for number, prompt in piped_prompts():
            if isinstance(prompt, str) and not prompt.strip():
                self._answer_nothing(prompt)
                continue
            is_any = True
            try:
                if isinstance(prompt, TextError):
                    raise prompt
                self._run_prompt(prompt)
            except ModelError as error:
                self._refuse(prompt, str(error))
                self._fail(f"line {number}: {error}")
        if is_any or self._answers:
            return False
        self._run_prompt("")
        return True

    def _run_examples(self) -> None:
        for prompt in self._format.examples or ("",):
            if prompt:
                self._display.show(example(prompt))
            if not self._run_prompt(prompt):
                break

    def _run_typed(self) -> None:
        kind = "a command" if self._answers else "a text to continue"
        kind = "a message" if self._chat else kind
        count = self._cluster.executor.plan.chips
        print_message(f"{count} chip{'s' * (count > 1)} ready: type {kind}, /help, or exit")
        code = self._code
        for prompt in typed_prompts():
            word = prompt.strip().lower()
            if word in _EXIT:
                break
            if self._chat and word == _NEW:
                self._chat.begin()
                continue
            if re.fullmatch("/[a-z]+", word):
                print_message(self._help() if word == "/help" else f"no {word}: see /help")
                continue
            try:
                self._run_prompt(prompt)
            except ModelError as error:
                self._fail(str(error))
        self._code = code  # the user has seen the errors, and typed on

    def _help(self) -> str:
        """Returns the help on what can be typed at the prompt."""
        what = "a command, which is answered" if self._answers else "a text to continue"
        if self._chat:
            what = "a message, which is answered; /new begins another conversation"
        examples = "".join(f"\n  {one}" for one in self._format.examples[:3])
        return (
            f"Type {what}{', as:' if examples else '.'}{examples}\n"
            "Arrow keys recall and edit what was typed, in earlier runs too. Ctrl-C stops an"
            " answer.\nexit, /exit or Ctrl-D end the program, which then prints a table of figures"
            " (--no-stats: none)."
        )

    def _answer_nothing(self, prompt: str) -> None:
        """Prints an empty answer to an empty line, where each line has an answer."""
        if self._answers and self._options.json:
            print(json.dumps({"prompt": prompt, "text": ""}), flush=True)
        elif self._answers:
            self._display.show("\n")

    def _run_prompt(self, prompt: str) -> bool:
        """Generates the answer to a prompt and shows it piece by piece; returns whether it was
        completed."""
        asked = self._chat.ask(prompt, _report_shortening) if self._chat else prompt
        task = self._generator.task(asked, self._sampler)
        with StopAtInterrupt() if self._is_typing else nullcontext() as stop:
            stream = self._generator.stream(task, lambda: stop is not None and stop.is_requested)
            if not self._answers:
                self._display.show(task.text.prompt_text)
            try:
                for piece in stream:
                    self._display.show(piece)
            except BaseException:
                self._display.end_line()  # prints no line if nothing of the answer has come
                raise
            finally:
                stream.close()
            self._display.show("\n")
        generation = stream.generation
        if self._chat:
            self._chat.note(prompt, generation.text)
        self._statistics += generation.statistics
        self._finish(generation)
        return stop is None or not stop.is_requested

    def _text(self, generation: Generation) -> str:
        """Returns the text to print: with the prompt, if the model continues it."""
        return ("" if self._answers else generation.prompt_text) + generation.text

    def _finish(self, generation: Generation) -> None:
        """Prints the notes after the text of a generation."""
        is_cut = self._answers and generation.finish_reason == LENGTH
        cut = self._encoder.limit if is_cut else ""
        if self._options.json:
            print(json.dumps(self._object(generation, cut)), flush=True)
        if cut:
            self._fail(f"{generation.prompt!r}: the answer may be cut off, for {cut}")
        elif generation.refused:
            print_message(
                f"note: {_shorten(generation.prompt)!r}: the model's answer is refused:"
                f" {one_line(generation.refused)}"
            )
        elif generation.needs_confirmation:
            print_message(f"note: {_shorten(generation.prompt)!r}: ask before that is done")

    def _refuse(self, prompt: str | TextError, reason: str) -> None:
        """Answers a prompt that a model with a grammar cannot be given: with such a model each
        prompt gets a line."""
        grammar = self._format.grammar
        if grammar and self._options.json:
            asked = None if isinstance(prompt, TextError) else prompt
            answer = {"prompt": asked, "text": grammar.refusal, "error": one_line(reason)}
            print(json.dumps(answer), flush=True)
        elif grammar:
            self._display.show(f"{grammar.refusal}\n")

    def _fail(self, reason: str) -> None:
        """Reports what is wrong with a prompt; the others still run."""
        print_message(f"error: {one_line(reason)}")
        self._code = FAILED

    def _object(self, generation: Generation, cut: str) -> dict[str, object]:
        chips = self._cluster.statistics()
        tokens = without_bos(self._tokenizer, generation.prompt_tokens)
        prompt = [] if self._answers else list(tokens)
        return make_report(
            generation.prompt,
            self._text(generation),
            prompt + generation.tokens,
            generation.statistics,
            chips,
            self._cluster.idle(chips),
            cut,
            generation if self._format.grammar else None,
        )


def _report_shortening() -> None:
    print_message("the oldest messages are left out: the conversation is as long as the context")


def _shorten(prompt: str) -> str:
    return prompt if len(prompt) <= 60 else f"{prompt[:57]}..."


def reads_terminal(options: argparse.Namespace) -> bool:
    """Returns whether prompts are typed at a terminal."""
    return options.prompt is None and is_terminal(sys.stdin)


def print_message(line: str) -> None:
    """Prints a line on standard error at once."""
    print(line, file=sys.stderr, flush=True)
