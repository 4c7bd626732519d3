"""Generates text on a cluster: takes a prompt, and returns a Generation, whole or in pieces."""

from __future__ import annotations

import functools
from collections import abc
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

from host.errors import ArgumentError, ClusterError
from host.generation.choosing import TokenChooser, make_chooser
from host.generation.constraint import TokenTexts
from host.generation.decoding import decode
from host.generation.drafts import make_drafter
from host.generation.prompt_encoder import Prompt, PromptEncoder
from host.generation.statistics import GenerationStatistics, Measurement, Meter
from host.generation.text_builder import TextBuilder
from host.launch.cluster import OpenCluster
from host.model.loading import LoadedModel
from host.model.prompt_format import CONTINUATION, Answer, PromptFormat
from host.model.sampling import Sampler

STOP, LENGTH, CANCELLED = "stop", "length", "cancelled"


def make_sampler(temperature: float, top_p: float, seed: int, top_k: int = 0) -> Sampler:
    """Returns a new sampler. Raises ArgumentError for values that are not allowed."""
    try:
        return Sampler(temperature, top_p, seed, top_k)
    except ValueError as error:
        raise ArgumentError(str(error)) from None


@dataclass(frozen=True)
class Generation:
    """The generated text of a prompt.

    text, tokens: without the prompt; finish_reason: "stop" if the model ended the text or a stop
    string came, "length" if the context is full or the allowed number of tokens is reached,
    "cancelled" if the caller ended it; prompt_text: the prompt as the model saw it; refused: why
    the text is the refusal of the model's grammar in place of the tokens' text, "" if it is not;
    confidence: that of the least certain token of a grammar's answer, from 0 to 1;
    needs_confirmation: whether the answer would unlock, open or disarm something, which should not
    be done without asking the user.
    """

    prompt: str
    text: str
    tokens: list[int]
    statistics: GenerationStatistics
    finish_reason: str
    prompt_text: str = ""
    prompt_tokens: tuple[int, ...] = ()
    refused: str = ""
    confidence: float = 1.0
    needs_confirmation: bool = False


class Task:
    """A generation that waits or runs: its prompt, and its tokens so far."""

    def __init__(
        self,
        prompt: str,
        tokens: Sequence[int],
        chooser: TokenChooser,
        text: TextBuilder,
        form: PromptFormat = CONTINUATION,
    ) -> None:
        """tokens: of the prompt, BOS first; form: of the prompt; if it names a grammar, the text
        is held back until it is complete and verified."""
        self.prompt, self.prompt_tokens = prompt, tuple(tokens)
        self.chooser, self.text = chooser, text
        self.measurement = Measurement()
        self._form, self._grammar = form, form.grammar
        self._generated: list[int] = []
        self._answer = Answer("")  # if there is a grammar

    @property
    def tokens(self) -> list[int]:
        """The tokens with which a cluster begins: those of the prompt and all that were chosen,
        because a task that failed on one run goes on from there on the next."""
        return [*self.prompt_tokens, *self._generated]

    def push(self, token: int) -> str:
        """Adds a token; returns the text that it adds, and ends at a stop string."""
        self._generated.append(token)
        piece = self.text.push(token)
        if self.text.has_stopped:
            self.chooser.end()
        return "" if self._grammar else piece

    def finish(self) -> str:
        """Returns the text that was held back, which is complete now."""
        rest = self.text.finish()
        if not self._grammar:
            return rest
        refused, confidence = self.chooser.refused, self.chooser.confidence
        if not self.chooser.has_ended:  # a part of an answer may mean something else
            refused = "it is cut off"
        if refused:
            self._answer = Answer(self._grammar.refusal, refused)
        else:
            text = self.text.whole.strip()
            self._answer = self._form.verify(text, self.prompt, confidence)
        return self._answer.text

    def result(self) -> Generation:
        """Returns the generation as it stands."""
        chooser, text = self.chooser, self.text
        reason = STOP if chooser.has_ended else LENGTH if chooser.is_full else CANCELLED
        return Generation(
            self.prompt, self._answer.text if self._grammar else text.whole, self._generated,
            self.measurement.statistics, reason, text.prompt_text, self.prompt_tokens,
            self._answer.refused, chooser.confidence, self._answer.needs_confirmation,
        )  # fmt: skip


Run = abc.Generator[tuple[Task, "str | None"], None, None]


class TaskMaker:
    """Makes tasks from prompts for a model."""

    def __init__(self, source: LoadedModel, encoder: PromptEncoder, logit_exponent: int) -> None:
        """logit_exponent: of the quantized model."""
        self._encoder, self._exponent = encoder, logit_exponent
        self._tokenizer = source.tokenizer
        self._form = source.prompt_format
        self._size = source.config.vocab_size

    @functools.cached_property
    def _vocabulary(self) -> TokenTexts:
        return TokenTexts(self._tokenizer, self._size)

    def make(
        self,
        prompt: Prompt,
        sampler: Sampler,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
    ) -> Task:
        """Returns a task for a prompt.

        max_tokens: the most to generate, None for as many as the encoder's steps allow; stop:
        texts before which the generation ends. Raises ModelError if the prompt is too long,
        ArgumentError for a max_tokens below 1 or an empty stop string.
        """
        if max_tokens is not None and max_tokens < 1:
            raise ArgumentError(f"max_tokens must be at least 1, got {max_tokens}")
        if not all(stop):
            raise ArgumentError("a stop string must not be empty")
        tokens = self._encoder.encode(prompt)
        steps = self._encoder.steps
        if max_tokens is not None:
            steps = min(steps, len(tokens) - 1 + max_tokens)
        asked = prompt if isinstance(prompt, str) else prompt[-1].content
        chooser = make_chooser(
            self._form, asked, len(tokens), steps, self._vocabulary, self._exponent, sampler
        )
        text = TextBuilder(self._tokenizer, tokens, stop)
        return Task(asked, tokens, chooser, text, self._form)


class Generator:
    """Runs prompts on a cluster. task: makes a task from a prompt, as TaskMaker.make."""

    def __init__(
        self,
        cluster: OpenCluster,
        source: LoadedModel,
        encoder: PromptEncoder,
        drafts: int | None = None,
    ) -> None:
        """drafts: tokens that are guessed at a time, None for as many as pay."""
        self.cluster, self.drafter = cluster, make_drafter(source, cluster, drafts)
        self.task = TaskMaker(source, encoder, cluster.executor.model.logit_exponent).make
        self._is_running = False

    def run(self, tasks: Iterable[Task | None], meter: Meter | None = None) -> Run:
        """Yields the text that each token adds to its task, and None at the end of a task.

        Tasks run at the same time as far as the cluster has slots; an iterator may yield more of
        them while others run, as decode() says. Raises ClusterError if chips fail, or if another
        run has not ended.
        """
        if self._is_running:
            raise ClusterError("another generation is running: read it to its end, or close it")
        meter = meter or Meter(self.cluster, self.drafter)
        executor = self.cluster.executor
        self._is_running = True
        try:
            with closing(decode(executor, tasks, self.drafter)) as tokens:
                for task, token in tokens:
                    if token is None:
                        meter.note_end(task.measurement)
                        yield task, task.finish()
                        yield task, None
                    else:
                        meter.note_token(task.measurement)
                        yield task, task.push(token)
        finally:
            self._is_running = False

    def stream(
        self, task: Task, is_cancelled: Callable[[], bool] = lambda: False
    ) -> GenerationStream:
        """Returns an iterator over the text of one task; it ends if `is_cancelled` returns
        true."""
        return GenerationStream(self.run([task]), task, is_cancelled)

    def generate(self, task: Task) -> Generation:
        """Runs one task to its end. Raises ClusterError if chips fail."""
        stream = self.stream(task)
        for _ in stream:
            pass
        return stream.generation


class GenerationStream:
    """An iterator over pieces of text as they are generated, none of them empty.

    Closing it ends the generation at that point.
    """

    def __init__(self, run: Run, task: Task, is_cancelled: Callable[[], bool]) -> None:
        self._task = task
        self._pieces = _pieces(run, is_cancelled)

    @property
    def generation(self) -> Generation:
        """The generation so far; complete after the stream has ended."""
        return self._task.result()

    def __iter__(self) -> GenerationStream:
        return self

    def __next__(self) -> str:
        return next(self._pieces)

    def close(self) -> None:
        """Ends the generation: "cancelled", if it has not ended by itself."""
        self._pieces.close()


def _pieces(run: Run, is_cancelled: Callable[[], bool]) -> abc.Generator[str, None, None]:
    with closing(run):
        for _, piece in run:
            if piece:
                yield piece
            if is_cancelled():
                return
