"""Logits of the whole vocabulary, from the answers of chips that have some of its rows each."""

from __future__ import annotations

import numpy as np

from host.cluster.dispatcher import decode_answer
from host.errors import ClusterError
from host.model.arithmetic import INT16_LIMIT, Ints
from host.parallel.plan import Plan
from host.wire.payloads import decode_best, decode_logits


def no_logits(plan: Plan) -> Ints:
    """Logits [vocab] that are all less than any that a chip gives."""
    return np.full(plan.config.vocab_size, -INT16_LIMIT - 2, np.int64)


def put_logits(plan: Plan, logits: Ints, chip: int, payload: bytes) -> None:
    """Puts a chip's LOGITS into `logits` [vocab]. Raises ClusterError for other than its rows."""
    rows = plan.shards[chip].rows
    answer = decode_answer(chip, decode_logits, payload)
    values = np.frombuffer(answer.data, "<i2")
    if (answer.first_row, len(values)) != (rows.start, len(rows)):
        raise ClusterError(
            f"chip {chip} answered with other rows of the vocabulary: flash it again"
        )
    logits[rows.start : rows.stop] = values


def put_best(plan: Plan, logits: Ints, chip: int, payload: bytes) -> None:
    """Puts the logit of a chip's BEST into `logits` [vocab]. Raises ClusterError for a token that
    is not one of its rows."""
    best = decode_answer(chip, decode_best, payload)
    if best.token not in plan.shards[chip].rows:
        raise ClusterError(f"chip {chip} answered with a token of another chip")
    logits[best.token] = best.logit
