"""Several prompts from a file: at once where chips are stages of a pipeline, else in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from host.cli.report import Totals
from host.errors import ModelError
from host.executors.executor import Executor
from host.executors.executor import Sequence as RunningSequence
from host.generation.answers import Answer, Answers, Meter, Writing
from host.launch.session import Running
from host.model.sampling import Sampler


def prompts_in(path: str) -> dict[int, str]:
    """The lines of a file that are not empty, by their numbers. Raises ModelError where there are
    none."""
    try:
        text = Path(path).read_text(errors="surrogateescape")
    except OSError as error:
        raise ModelError(f"--prompts {path}: {error.strerror}") from None
    # As standard input has it: other marks that end a line are part of a prompt.
    lines = enumerate(text.split("\n"), start=1)
    prompts = {number: line for number, line in lines if line.strip()}
    if not prompts:
        raise ModelError(f"--prompts {path}: no line has a prompt")
    return prompts


class Batch:
    """Prompts that are answered together, each sampled with the same seed.

    `totals` are those of all answers given so far: what they took together.
    """

    def __init__(self, answers: Answers, chips: Running, sampler: Callable[[], Sampler]) -> None:
        """sampler: makes one for each prompt."""
        self.totals = Totals()
        self._answers, self._chips, self._sampler = answers, chips, sampler

    def answered(self, prompts: Sequence[str]) -> Iterator[Answer]:
        """The answers in the prompts' order, each as soon as it and those before are there.

        Raises ClusterError where chips fail.
        """
        federation = self._chips.federation
        if federation.slots > 1:
            yield from self._at_once(federation, prompts)
            return
        for prompt in prompts:
            answer = self._answers.answer(prompt, lambda piece: None, sampler=self._sampler())
            self.totals += answer.totals
            yield answer

    def _at_once(self, federation: Executor, prompts: Sequence[str]) -> Iterator[Answer]:
        """With as many in the pipeline as have room."""
        meter = Meter(self._chips)
        streams: dict[RunningSequence, tuple[int, Writing, Meter]] = {}
        done: dict[int, Answer] = {}
        begun = given = 0
        while given < len(prompts):
            while begun < len(prompts) and len(streams) < federation.slots:
                writing = self._answers.writing(prompts[begun], self._sampler())
                stream = federation.open()
                streams[stream] = begun, writing, Meter(self._chips)
                federation.extend(stream, writing.given)
                begun += 1
            stream, logits = federation.completed()
            number, writing, own = streams[stream]
            token = writing.choice.next_token(logits)
            if token is not None:
                meter.token()
                own.token()
                writing.take(token)
            if token is not None and not writing.choice.is_full:
                federation.extend(stream, [token])
                continue
            federation.close(stream)
            del streams[stream]
            self.totals = meter.totals()
            done[number] = writing.answer(_part(own.totals(), self.totals))
            while given in done:
                yield done.pop(given)
                given += 1


def _part(own: Totals, all_of_them: Totals) -> Totals:
    """An answer's totals, with its part, by tokens, of what was exchanged for all."""
    part = own.tokens / max(all_of_them.tokens, 1)
    return replace(
        own,
        synchronizations=round(all_of_them.synchronizations * part),
        bytes=round(all_of_them.bytes * part),
    )
