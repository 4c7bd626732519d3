"""Greedy generation by the numpy reference, all prompts at once, and clusters held to it."""

from typing import NamedTuple

import numpy as np

from host.model.reference import Reference
from host.model.tokenizers.text import TextStream

SILENT = r"did not answer for \d+\.\d s"  # how long, tests in virtual time check


class Run(NamedTuple):
    """tokens: BOS, the prompt and what follows, [steps + 1]; logits [steps, vocab] after each
    position; prompt: the length of the prompt with BOS."""

    tokens: np.ndarray
    logits: np.ndarray
    prompt: int


def reference_runs(model, tokenizer, texts, steps):
    """The Run of each prompt; a text that ends goes on regardless."""
    prompts = [tokenizer.encode(text) for text in texts]
    reference = Reference(model, batch=len(prompts), context=steps)
    tokens = np.zeros((len(prompts), steps + 1), int)
    logits = np.zeros((len(prompts), steps, model.config.vocab_size), int)
    for row, prompt in zip(tokens, prompts, strict=True):
        row[: len(prompt)] = prompt
    for position in range(steps):
        logits[:, position] = reference.step(tokens[:, position])
        for row, prompt, scores in zip(tokens, prompts, logits[:, position], strict=True):
            if position + 1 >= len(prompt):
                row[position + 1] = scores.argmax()
    return [
        Run(*of_one, len(prompt)) for *of_one, prompt in zip(tokens, logits, prompts, strict=True)
    ]


def assert_equals_reference(executor, run, steps, between=lambda position: None):
    """Runs the prompt and `steps` positions in all, and holds every logit to the reference's.

    steps: the prompt's tokens at least. between: called with each position before its token.
    """
    assert run.prompt <= steps
    executor.begin()
    tokens = [int(token) for token in run.tokens[: run.prompt]]
    logits = executor.forward(tokens)
    for position in range(run.prompt, steps):
        np.testing.assert_array_equal(logits, run.logits[position - 1], f"position {position - 1}")
        tokens.append(int(logits.argmax()))
        between(position)
        logits = executor.forward(tokens[-1:])
    np.testing.assert_array_equal(logits, run.logits[steps - 1], f"position {steps - 1}")
    assert tokens == run.tokens[:steps].tolist()


def text_of(run, tokenizer, steps=24):
    """What `host.run` prints of so many tokens of a run."""
    return "".join(map(TextStream(tokenizer).push, run.tokens[1 : steps + 1].tolist())) + "\n"
