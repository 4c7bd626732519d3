"""Answers of a federation to prompts, one after another, each a sequence of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from host.cli.report import Totals
from host.errors import ModelError
from host.generation.decoding import Choice, generated
from host.launch.session import Running
from host.model.loading import LoadedModel
from host.model.sampling import Sampler
from host.model.tokenizers.text import TextStream

_DEFAULT_STEPS = 256


@dataclass(frozen=True)
class Answer:
    """What a prompt led to. text, tokens: what is printed, so the prompt's own are among them
    where the model goes on from it; cut: what ended an answer before the model said that it was
    whole, "" for nothing."""

    prompt: str
    text: str
    tokens: list[int]
    totals: Totals
    cut: str = ""


class PromptEncoder:
    """Prompts as tokens, each checked to leave the model room to go on.

    steps: how many tokens may stand after BOS.
    """

    def __init__(self, source: LoadedModel, context: int | None, steps: int | None) -> None:
        """context: positions of the caches, None for all that the model allows.

        Raises ModelError for what the model does not allow, and steps that they cannot hold.
        """
        self._tokenizer = source.tokenizer
        self._format = source.prompt_format
        most = source.config.context
        if context is not None and not 1 <= context <= most:
            raise ModelError(f"context must be 1 to {most}, got {context}")
        self._context = context or most
        if steps is not None and not 1 <= steps <= self._context:
            raise ModelError(
                f"--steps {steps}: 1 to {self._context}, the context, can be generated"
            )
        self.steps = steps or min(_DEFAULT_STEPS, self._context)

    @property
    def end(self) -> str:
        """What ends a text that the model does not."""
        if self.steps < self._context:
            return f"--steps {self.steps} are taken"
        return f"the context of {self._context} positions is full"

    def tokens(self, prompt: str) -> list[int]:
        """BOS and what the model is given for `prompt`. Raises ModelError where it is too long."""
        tokens = self._tokenizer.encode(self._format.text(prompt))
        count = len(tokens)
        if count > self._context:
            raise ModelError(
                f"the prompt has {count} tokens, BOS included, and the context {self._context}"
                " positions: shorten it or raise --context"
            )
        if count > self.steps:
            raise ModelError(
                f"the prompt has {count} tokens, BOS included: --steps {self.steps} leaves none"
                " to generate"
            )
        return tokens


class Answers:
    """What runs a prompt on chips."""

    def __init__(
        self, chips: Running, source: LoadedModel, encoder: PromptEncoder, sampler: Sampler
    ) -> None:
        self._chips, self._encoder, self._sampler = chips, encoder, sampler
        self._tokenizer = source.tokenizer
        self._answer_only = source.prompt_format.answers

    def writing(self, prompt: str, sampler: Sampler | None = None) -> Writing:
        """A prompt whose answer is to be written; sampler: None for that of all answers.

        Raises ModelError where the prompt is too long.
        """
        given = self._encoder.tokens(prompt)
        exponent = self._chips.federation.model.logit_exponent
        sampler = sampler or self._sampler
        choice = Choice(
            len(given), self._encoder.steps, sampler, exponent, self._tokenizer.stops
        )
        end = self._encoder.end if self._answer_only else ""
        return Writing(prompt, given, choice, TextStream(self._tokenizer), end)

    def answer(
        self,
        prompt: str,
        show: Callable[[str], None],
        stopped: Callable[[], bool] = lambda: False,
        sampler: Sampler | None = None,
    ) -> Answer:
        """The answer to `prompt`, shown piece by piece as it comes.

        It ends early where `stopped` says so. Raises ModelError before anything runs where the
        prompt is too long, ClusterError where chips fail.
        """
        writing = self.writing(prompt, sampler)
        federation = self._chips.federation
        meter = Meter(self._chips)
        show(writing.text)
        try:
            for token in generated(federation, writing.given, writing.choice):
                meter.token()
                show(writing.take(token))
                if stopped():
                    break
        finally:
            show("\n")  # what is said next, an error too, begins a line
        return writing.answer(meter.totals())


class Writing:
    """An answer in the making. given: the tokens to begin with; choice: what follows them; text:
    what is written so far."""

    def __init__(
        self, prompt: str, given: list[int], choice: Choice, stream: TextStream, end: str
    ) -> None:
        """end: what may end an answer before the model does, "" for a text that goes on."""
        self.given, self.choice = given, choice
        self._prompt, self._stream, self._end = prompt, stream, end
        self._tokens, self.text = given[1:], "".join(map(stream.push, given[1:]))
        if end:
            self._tokens, self.text = [], ""

    def take(self, token: int) -> str:
        """What one more token adds to the text."""
        self._tokens.append(token)
        piece = self._stream.push(token)
        self.text += piece
        return piece

    def answer(self, totals: Totals) -> Answer:
        """The answer as it stands."""
        cut = self._end if self.choice.is_full and not self.choice.ended else ""
        return Answer(self._prompt, self.text, self._tokens, totals, cut)


class Meter:
    """Counts from the first generated token, which the prompt still paid for, to the last."""

    def __init__(self, chips: Running) -> None:
        self._chips = chips
        self._tokens = 0
        self._start = self._end = (0.0, 0, 0)
        self._before = self._repairs()

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

    def _repairs(self) -> tuple[int, int]:
        return self._chips.coordinator.resends, self._chips.federation.recoveries

    def totals(self) -> Totals:
        """The figures of all tokens after the first, and the prompt's repairs too."""
        seconds, synchronizations, exchanged = (
            end - start for start, end in zip(self._start, self._end, strict=True)
        )
        resends, caught_up = (
            now - before for before, now in zip(self._before, self._repairs(), strict=True)
        )
        return Totals(
            tokens=max(self._tokens - 1, 0),
            seconds=seconds,
            synchronizations=int(synchronizations),
            bytes=int(exchanged),
            resends=resends,
            caught_up=caught_up,
        )
