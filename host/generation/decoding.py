"""Decodes tokens from logits, for as many sequences at a time as an executor has slots."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol, TypeVar

from host.executors import executor as executors
from host.generation.choosing import TokenChooser
from host.model.arithmetic import Ints


class Slots(Protocol):
    """The part of an executor that runs sequences; host/executors/executor.py documents it."""

    greedy: bool

    @property
    def slots(self) -> int: ...
    @property
    def most_scored(self) -> int: ...
    def open(self) -> executors.Sequence: ...
    def extend(
        self, sequence: executors.Sequence, tokens: Collection[int], scored: int = 1
    ) -> None: ...
    def completed(self) -> tuple[executors.Sequence, Ints]: ...
    def close(self, sequence: executors.Sequence) -> None: ...


class Drafting(Protocol):
    """Drafts the next tokens of a text."""

    def draft(self, tokens: Sequence[int], most: int) -> list[int]:
        """Returns tokens that may follow these, at most `most`."""

    def note(self, drafted: int, accepted: int) -> None:
        """Takes in how many tokens of a draft the model has accepted."""


class Prompt(Protocol):
    """The tokens of a prompt, BOS first, and the chooser of those that follow."""

    @property
    def tokens(self) -> Sequence[int]: ...
    @property
    def chooser(self) -> TokenChooser: ...


@dataclass(frozen=True)
class TokenPrompt:
    """A Prompt without further data."""

    tokens: Sequence[int]
    chooser: TokenChooser


P = TypeVar("P", bound=Prompt)


class NoDrafts:
    """Drafts nothing."""

    def draft(self, tokens: Sequence[int], most: int) -> list[int]:
        """Returns no token."""
        return []

    def note(self, drafted: int, accepted: int) -> None:
        """Does nothing."""


def decode(
    executor: Slots, prompts: Iterable[P | None], drafter: Drafting | None = None
) -> Generator[tuple[P, int | None], None, None]:
    """Yields each token as it is chosen, with the prompt that it follows; None at its end.

    Prompts are started in order, each as soon as a slot is free. If the iterator yields None, it
    is asked again after the next token; decoding ends when no prompt runs and none is yielded.
    After a token, the caller may end its chooser. All sequences are closed at the end. Raises what
    the executor raises.

    drafter: drafts tokens, which are run together with the one before them. Each token is chosen
    as without drafts, from the logits after those before it; a draft that differs is dropped with
    all that follow it. So the tokens do not depend on drafts. Tokens that must follow, by the
    chooser, are also run together with the one before them, and are not scored.
    """
    drafter = drafter or NoDrafts()
    waiting = iter(prompts)
    running: dict[executors.Sequence, P] = {}
    try:
        while True:
            while len(running) < executor.slots and (prompt := next(waiting, None)) is not None:
                sequence = executor.open()
                running[sequence] = prompt
                executor.greedy = all(each.chooser.is_greedy for each in running.values())
                _extend(executor, sequence, prompt, list(prompt.tokens), drafter)
            if not running:
                return
            sequence, logits = executor.completed()
            prompt, drafts = running[sequence], len(logits) - 1
            accepted, token = yield from _choose(sequence, prompt, logits)
            drafter.note(drafts, accepted)
            following = [] if token is None else [token]
            for forced in prompt.chooser.take_forced():
                following.append(forced)
                yield prompt, forced
            if following and not prompt.chooser.is_done:
                sequence.rewind(len(sequence.tokens) - drafts + accepted)
                _extend(executor, sequence, prompt, following, drafter)
                continue
            executor.close(sequence)
            del running[sequence]
            yield prompt, None
    finally:
        for sequence in running:
            executor.close(sequence)


def _choose(
    sequence: executors.Sequence, prompt: P, logits: Ints
) -> Generator[tuple[P, int], None, tuple[int, int | None]]:
    """Yields the prompt and each token chosen from logits [1 + drafts, vocab], up to the first
    that is not the sequence's draft.

    Returns how many drafts were accepted, and the last token, None if the text has ended before
    it.
    """
    drafts, accepted = len(logits) - 1, 0
    token = None
    for position, its_logits in enumerate(logits, len(sequence.tokens) - drafts):
        token = prompt.chooser.next_token(its_logits)
        if token is not None:
            yield prompt, token
        if token is None or prompt.chooser.is_done or accepted == drafts:
            break
        if sequence.tokens[position] != token:
            break
        accepted += 1
    return accepted, token


def _extend(
    executor: Slots,
    sequence: executors.Sequence,
    prompt: Prompt,
    tokens: list[int],
    drafter: Drafting,
) -> None:
    """Extends a sequence by tokens, and by drafts after them."""
    most = min(executor.most_scored, prompt.chooser.left) - 1
    drafts = drafter.draft([*sequence.tokens, *tokens], most) if most > 0 else []
    drafts = prompt.chooser.amend(drafts)
    executor.extend(sequence, [*tokens, *drafts], 1 + len(drafts))


def generate_tokens(
    executor: Slots,
    tokens: Sequence[int],
    chooser: TokenChooser,
    drafter: Drafting | None = None,
) -> Generator[int, None, None]:
    """Yields the tokens that follow those of one prompt, which begins with BOS."""
    with closing(decode(executor, [TokenPrompt(tokens, chooser)], drafter)) as decoded:
        for _, token in decoded:
            if token is not None:
                yield token
