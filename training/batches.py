"""Makes batches of training commands as tokens, drawn anew from the grammar, none of them
twice."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from host.model.tokenizers.bpe import BOS, FIRST_BYTE_TOKEN
from training.bpe import Encoder
from training.grammar import SEED, Command, Grammar, held_out_commands

TOKENIZER_COMMANDS = 50_000
CONTEXT = 128  # positions: the longest command and its action, and some to spare
BATCH = 128  # commands
CHUNK = 64  # batches that are drawn together and sorted by length, so that little is padding
NEWLINE = FIRST_BYTE_TOKEN + ord("\n")
PADDING = 0
# The weight of a token of the command, relative to one of the action. The action is what matters,
# but the host calibrates quantization on text that the model generates, so it learns commands as
# well.
COMMAND_WEIGHT = 0.04


@cache
def held_out_texts() -> frozenset[str]:
    """Returns the commands for the evaluation of the model, with symbols."""
    return frozenset(command.text for command in held_out_commands())


def training_commands(seed: int, unseen: frozenset[str] = frozenset()) -> Iterator[Command]:
    """Yields commands without end; none is one of the evaluation nor, with symbols in place of
    names, one of `unseen`."""
    excluded = held_out_texts() | unseen
    return (one for one in Grammar(seed).commands() if one.text not in excluded)


def tokenizer_texts(unseen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Returns the texts from which the tokenizer's merges are learnt; letters outside ASCII stay
    bytes."""
    ascii_ones = (one for one in training_commands(SEED, unseen) if one.text.isascii())
    commands = islice(ascii_ones, TOKENIZER_COMMANDS)
    return (f"{command.text}\n{command.action}" for command in commands)


class Batch(NamedTuple):
    """Tokens [commands, positions], the tokens that follow each, and the weight of each of these
    in the loss."""

    tokens: NDArray[np.int64]
    targets: NDArray[np.int64]
    weights: NDArray[np.float32]


def sequence_of(encoder: Encoder, command: Command) -> list[int]:
    """Returns the tokens of a command and its action, between two BOS."""
    return [*encoder.encode(f"{command.text}\n{command.action}"), BOS]


def batch(sequences: list[list[int]]) -> Batch:
    """Returns sequences of tokens as one batch."""
    padded = np.full((len(sequences), max(map(len, sequences))), PADDING, np.int64)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    tokens, targets = padded[:, :-1], padded[:, 1:]
    in_action = np.cumsum(tokens == NEWLINE, axis=1) > 0
    weights = np.where(in_action, 1.0, COMMAND_WEIGHT) * (targets != PADDING)
    return Batch(tokens, targets, weights.astype(np.float32))


def batches(encoder: Encoder, first: int, unseen: frozenset[str] = frozenset()) -> Iterator[Batch]:
    """Yields batches from number `first` on, without end: batch n is the same wherever one
    starts."""
    chunk, skipped = divmod(first, CHUNK)
    while True:
        commands = training_commands(SEED + 2 + chunk, unseen)
        sequences = [sequence_of(encoder, command) for command in islice(commands, BATCH * CHUNK)]
        sequences.sort(key=len)
        order = list(range(CHUNK))
        Random(chunk).shuffle(order)
        for index in order[skipped:]:
            yield batch(sequences[index * BATCH : (index + 1) * BATCH])
        chunk, skipped = chunk + 1, 0
