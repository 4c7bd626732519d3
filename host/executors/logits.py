"""Logits of the whole vocabulary, from the answers of chips that have some of its rows each."""

from __future__ import annotations

import numpy as np

from host.cluster.dispatcher import decode_answer
from host.errors import ClusterError
from host.model.arithmetic import INT16_LIMIT, Ints
from host.parallel.plan import Plan
from host.wire.payloads import decode_best, decode_logits


def no_logits(plan: Plan, positions: int) -> Ints:
    """Logits [positions, vocab] that are all less than any that a chip gives."""
    return np.full((positions, plan.config.vocab_size), -INT16_LIMIT - 2, np.int64)


def put_logits(plan: Plan, logits: Ints, chip: int, payload: bytes) -> None:
    """Puts a chip's LOGITS into `logits` [positions, vocab].

    Raises ClusterError for other than its rows.
    """
    rows = plan.shards[chip].rows
    answer = decode_answer(chip, decode_logits, payload)
    values = np.frombuffer(answer.data, "<i2")
    if (answer.first_row, len(values)) != (rows.start, len(logits) * len(rows)):
        raise ClusterError(
            f"chip {chip} answered with other rows of the vocabulary: flash it again"
        )
    logits[:, rows.start : rows.stop] = values.reshape(len(logits), -1)


def put_best(plan: Plan, logits: Ints, chip: int, payload: bytes) -> None:
    """Puts the logits of a chip's BEST, those of its best and next best tokens, into `logits`
    [positions, vocab]. Raises ClusterError for a token that is not one of its rows."""
    best, rows = decode_answer(chip, decode_best, payload), plan.shards[chip].rows
    tokens = (*best.tokens, *best.next_tokens)
    if len(best.tokens) != len(logits) or not all(token in rows for token in tokens):
        raise ClusterError(f"chip {chip} answered with a token of another chip")
    positions = np.arange(len(logits))
    if len(rows) > 1:
        logits[positions, best.next_tokens] = best.next_logits
    logits[positions, best.tokens] = best.logits
