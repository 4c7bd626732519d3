"""Collects the logits of the whole vocabulary from chips that have some of its rows each."""

from __future__ import annotations

import numpy as np

from host.cluster.dispatcher import decode_answer
from host.errors import ClusterError
from host.model.arithmetic import INT16_LIMIT, Ints
from host.model.sampling import count_candidates, list_candidates
from host.parallel.plan import Plan
from host.wire.payloads import decode_best, decode_candidates, decode_logits
from protocol.messages import MOST_CANDIDATES


def no_logits(plan: Plan, positions: int) -> Ints:
    """Returns logits [positions, vocab] that are all lower than any that a chip sends."""
    return np.full((positions, plan.config.vocab_size), -INT16_LIMIT - 2, np.int64)


def put_logits(plan: Plan, logits: Ints, chip: int, payload: bytes) -> None:
    """Copies a chip's LOGITS into `logits` [positions, vocab].

    Raises ClusterError for other rows than the chip's.
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
    """Copies the logits of a chip's BEST, those of its best and next best tokens, into `logits`
    [positions, vocab]. Raises ClusterError for a token that is not one of the chip's rows."""
    best, rows = decode_answer(chip, decode_best, payload), plan.shards[chip].rows
    tokens = (*best.tokens, *best.next_tokens)
    if len(best.tokens) != len(logits) or not all(token in rows for token in tokens):
        raise ClusterError(f"chip {chip} answered with a token of another chip")
    positions = np.arange(len(logits))
    if len(rows) > 1:
        logits[positions, best.next_tokens] = best.next_logits
    logits[positions, best.tokens] = best.logits


def put_candidates(plan: Plan, logits: Ints, chip: int, payload: bytes) -> None:
    """Copies the logits of a chip's CANDIDATES into `logits` [positions, vocab]. Raises
    ClusterError for a wrong number of candidates, or for other rows than the chip's."""
    found, rows = decode_answer(chip, decode_candidates, payload), plan.shards[chip].rows
    each = min(MOST_CANDIDATES, len(rows))
    if len(found.rows) != each * len(logits) or max(found.rows) >= len(rows):
        raise ClusterError(f"chip {chip} answered with other candidates: flash it again")
    positions = np.repeat(np.arange(len(logits)), each)
    logits[positions, np.array(found.rows) + rows.start] = found.logits


def put_scores(
    plan: Plan, logits: Ints, chip: int, payload: bytes, *, greedy: bool = False
) -> None:
    """Copies a chip's answer into `logits` [positions, vocab], by put_candidates, put_best or
    put_logits, according to what it was asked for. Raises ClusterError as these do."""
    if count_candidates(plan.config.vocab_size):
        put_candidates(plan, logits, chip, payload)
    elif greedy:
        put_best(plan, logits, chip, payload)
    else:
        put_logits(plan, logits, chip, payload)


def keep_candidates(logits: Ints) -> Ints:
    """Returns logits [positions, rows] as a chip with a large vocabulary sends them: those of its
    candidates, and for all others one lower than any."""
    kept = np.full_like(logits, -INT16_LIMIT - 2)
    for row, given in zip(logits, kept, strict=True):
        best = list_candidates(row, min(MOST_CANDIDATES, len(row)))
        given[best] = row[best]
    return kept
