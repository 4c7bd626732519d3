"""Generates a model's greedy answers to many commands at once, for scoring.

Two arithmetics answer, greedily: floats, and the integers of the reference, which every cluster
equals to the bit, so that no chips are needed to count what clusters answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from host.errors import ModelError
from host.generation.choosing import TokenChooser, make_chooser
from host.generation.constraint import TokenTexts
from host.model.cache import quantize_once
from host.model.float_model import FloatModel
from host.model.float_weights import FloatWeights
from host.model.loading import LoadedModel
from host.model.prompt_format import PromptFormat
from host.model.quantized import QuantizedModel
from host.model.reference import Reference
from host.model.tokenizers.text import TextStream, Tokenizer

BATCH = 250  # commands answered together: the caches of this many take 150 MB

# Takes tokens [batch] and returns the logits [batch, vocab] after them; keeps earlier tokens.
Step = Callable[[npt.NDArray[np.int64]], npt.NDArray[Any]]
# Passes on the starts of batches, as rich.progress.track does.
Track = Callable[[Sequence[int]], Iterable[int]]


class Judged(NamedTuple):
    """An answer. confidence: of its least certain token, from 0 to 1; refused: why it is the
    grammar's refusal in place of the model's text, "" if it is not."""

    text: str
    confidence: float = 1.0
    refused: str = ""


def generate_judged(
    step: Step,
    tokenizer: Tokenizer,
    form: PromptFormat,
    texts: Sequence[str],
    positions: int,
    logit_exponent: int = 0,
) -> list[Judged]:
    """Generates the greedy answer to each of `texts`, all in one batch.

    Commands are given to the model in its format, and answers are held to its grammar, as
    everywhere. An answer ends at a stop token, or with `positions` tokens in all. logit_exponent:
    0 if the logits of `step` are floats. Raises ModelError for a command that leaves no
    position to answer.
    """
    prompts = [tokenizer.encode(form.text(text)) for text in texts]
    longest = max(map(len, prompts))
    if longest >= positions:
        raise ModelError(f"a command of {longest} tokens leaves none of {positions} to answer")
    tokens = np.array([prompt[0] for prompt in prompts])
    answers: list[list[int]] = [[] for _ in prompts]
    choosers: list[TokenChooser] = []
    for position in range(1, positions):
        logits = step(tokens)
        if not choosers:  # only the logits show the vocabulary's size
            vocabulary = TokenTexts(tokenizer, logits.shape[1])
            choosers = [
                make_chooser(form, text, len(prompt), positions - 1, vocabulary, logit_exponent)
                for text, prompt in zip(texts, prompts, strict=True)
            ]
        for row, prompt in enumerate(prompts):
            if position < len(prompt):
                tokens[row] = prompt[position]
            elif not choosers[row].is_done:
                token = choosers[row].next_token(logits[row])
                if token is not None:
                    answers[row].append(token)
                tokens[row] = tokenizer.bos if token is None else token
        if all(each.is_done for each in choosers):
            break
    decoded = [_decode(tokenizer, answer) for answer in answers]
    return list(map(partial(_judge, form), texts, decoded, choosers))


def _judge(form: PromptFormat, text: str, answer: str, chooser: TokenChooser) -> Judged:
    if form.grammar is None:
        return Judged(answer)
    refused = chooser.refused if chooser.has_ended else "it is cut off"
    if refused:
        return Judged(form.grammar.refusal, chooser.confidence, refused)
    found = form.verify(answer.strip(), text, chooser.confidence)
    return Judged(found.text, chooser.confidence, found.refused)


def generate_answers(
    step: Step, tokenizer: Tokenizer, form: PromptFormat, texts: Sequence[str], positions: int
) -> list[str]:
    """Returns the texts of what `generate_judged` gives."""
    return [each.text for each in generate_judged(step, tokenizer, form, texts, positions)]


def _decode(tokenizer: Tokenizer, tokens: Iterable[int]) -> str:
    stream = TextStream(tokenizer, previous=-1)  # not BOS: a space that comes first stays
    return "".join(map(stream.push, tokens))


def answer_in_floats(source: LoadedModel, texts: Sequence[str], track: Track = iter) -> list[str]:
    """Answers `texts` with the model in float64. Raises ModelError for a quantized one."""
    return [each.text for each in judge_in_floats(source, texts, track)]


def judge_in_floats(
    source: LoadedModel, texts: Sequence[str], track: Track = iter
) -> list[Judged]:
    """Answers `texts` as `answer_in_floats` does, with how sure the model is of each."""
    checkpoint = _floats(source)
    model, positions = FloatModel(checkpoint), checkpoint.config.context

    def answer(batch: Sequence[str]) -> list[Judged]:
        cache = model.new_cache(len(batch), positions)
        return generate_judged(
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
    return [each.text for each in judge_in_integers(source, texts, track)]


def judge_in_integers(
    source: LoadedModel, texts: Sequence[str], track: Track = iter
) -> list[Judged]:
    """Answers `texts` as `answer_in_integers` does, with how sure the model is of each."""
    model, positions = quantize_once(source), source.config.context

    def answer(batch: Sequence[str]) -> list[Judged]:
        return generate_judged(
            Reference(model, len(batch)).step,
            source.tokenizer,
            source.prompt_format,
            batch,
            positions,
            model.logit_exponent,
        )

    return _answer_in_batches(answer, texts, track)


def _floats(source: LoadedModel) -> FloatWeights:
    if isinstance(source.weights, QuantizedModel):
        raise ModelError("the model is quantized already: give the one from which it was made")
    return source.weights


def _answer_in_batches(
    answer: Callable[[Sequence[str]], list[Judged]], texts: Sequence[str], track: Track
) -> list[Judged]:
    # Commands of similar length together: a batch takes as many steps as its longest command.
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    found: dict[int, Judged] = {}
    for start in track(range(0, len(texts), BATCH)):
        batch = order[start : start + BATCH]
        found.update(zip(batch, answer([texts[index] for index in batch]), strict=True))
    return [found[index] for index in range(len(texts))]
