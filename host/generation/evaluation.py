"""Greedy answers of a model to many commands at once, to be scored.

Two arithmetics answer, greedily: floats, and the integers of the reference, which every cluster
equals to the bit, so that no chips are needed to count what clusters answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from host.errors import ModelError
from host.model.cache import quantize_once
from host.model.checkpoint import Checkpoint
from host.model.float_model import FloatModel
from host.model.loading import LoadedModel
from host.model.prompt_format import PromptFormat
from host.model.quantized import QuantizedModel
from host.model.reference import Reference
from host.model.tokenizers.text import TextStream, Tokenizer

BATCH = 250  # commands answered together: the caches of this many take 150 MB

# Tokens [batch] in, logits [batch, vocab] after them out; it remembers the tokens before.
Step = Callable[[npt.NDArray[np.int64]], npt.NDArray[Any]]
# Passes on the starts of batches, as rich.progress.track does.
Track = Callable[[Sequence[int]], Iterable[int]]


def generate_answers(
    step: Step, tokenizer: Tokenizer, form: PromptFormat, texts: Sequence[str], positions: int
) -> list[str]:
    """Generates the greedy answer to each of `texts`, all in one batch.

    Commands are given to the model in its format, and what is no answer of its grammar is
    refused, as everywhere. An answer ends at a stop token, or with `positions` tokens in all.
    Raises ModelError for a command that leaves no position to answer.
    """
    prompts = [tokenizer.encode(form.text(text)) for text in texts]
    longest = max(map(len, prompts))
    if longest >= positions:
        raise ModelError(f"a command of {longest} tokens leaves none of {positions} to answer")
    answers: list[list[int]] = [[] for _ in prompts]
    ended = np.zeros(len(prompts), bool)
    tokens = np.array([prompt[0] for prompt in prompts])
    for position in range(1, positions):
        likeliest = step(tokens).argmax(axis=1)
        for row, prompt in enumerate(prompts):
            given = position < len(prompt)
            tokens[row] = prompt[position] if given else likeliest[row]
            ended[row] |= not given and int(tokens[row]) in tokenizer.stops
            if not given and not ended[row]:
                answers[row].append(int(tokens[row]))
        if ended.all():
            break
    decoded = [_decode(tokenizer, answer) for answer in answers]
    if form.grammar is None:
        return decoded
    return [
        form.verify(answer.strip(), text)[0] if is_whole else form.grammar.refusal
        for text, answer, is_whole in zip(texts, decoded, ended, strict=True)
    ]


def _decode(tokenizer: Tokenizer, tokens: Iterable[int]) -> str:
    stream = TextStream(tokenizer, previous=-1)  # not BOS: a space that comes first stays
    return "".join(map(stream.push, tokens))


def answer_in_floats(source: LoadedModel, texts: Sequence[str], track: Track = iter) -> list[str]:
    """Answers `texts` with the model in float64. Raises ModelError for a quantized one."""
    checkpoint = _floats(source)
    model, positions = FloatModel(checkpoint), checkpoint.config.context

    def answer(batch: Sequence[str]) -> list[str]:
        cache = model.new_cache(len(batch), positions)
        return generate_answers(
            lambda tokens: model.step(tokens, cache),
            source.tokenizer,
            source.prompt_format,
            batch,
            positions,
        )

    return _answer_in_batches(answer, texts, track)


def answer_in_integers(
    source: LoadedModel, texts: Sequence[str], track: Track = iter
) -> list[str]:
    """Answers `texts` with the quantized model, as every cluster does."""
    model, positions = quantize_once(source), source.config.context

    def answer(batch: Sequence[str]) -> list[str]:
        return generate_answers(
            Reference(model, len(batch)).step,
            source.tokenizer,
            source.prompt_format,
            batch,
            positions,
        )

    return _answer_in_batches(answer, texts, track)


def _floats(source: LoadedModel) -> Checkpoint:
    if isinstance(source.weights, QuantizedModel):
        raise ModelError("the model is quantized already: give the one that it was made of")
    return source.weights


def _answer_in_batches(
    answer: Callable[[Sequence[str]], list[str]], texts: Sequence[str], track: Track
) -> list[str]:
    # Commands of like length together: a batch takes as many steps as its longest one.
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    found: dict[int, str] = {}
    for start in track(range(0, len(texts), BATCH)):
        batch = order[start : start + BATCH]
        found.update(zip(batch, answer([texts[index] for index in batch]), strict=True))
    return [found[index] for index in range(len(texts))]
