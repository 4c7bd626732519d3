"""Compares chips' partial sums with those that their shards must give, number by number.

A chip whose kernels compute wrongly, as those that MicroPython's compiler for Xtensa made before
1.26, still answers in valid messages, but the text is nonsense. This check names the chip.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from host.errors import ClusterError
from host.executors.logits import keep_candidates
from host.model.arithmetic import Ints
from host.model.quantized import QuantizedModel
from host.model.sampling import count_candidates
from host.parallel.plan import Plan
from host.parallel.sharded_model import ShardedModel
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY

PHASES = {
    PHASE_ATTENTION: "attention",
    PHASE_FEED_FORWARD: "feed-forward",
    PHASE_VOCABULARY: "vocabulary",
}
# Called with layer, phase, first position, x [n, dim], and the numbers of each chip's answer.
Observer = Callable[[int, int, int, Ints, dict[int, Ints]], None]

# Enough for attention over several positions, and for a request with several of them.
_POSITIONS = 6


def arithmetic_observer(model: QuantizedModel, plan: Plan) -> Observer:
    """Returns an observer that raises ClusterError for the first chip whose answer is wrong."""
    sharded = ShardedModel.of(model, plan)

    def compare(layer: int, phase: int, position: int, x: Ints, answers: dict[int, Ints]) -> None:
        if phase == PHASE_ATTENTION:
            expected = sharded.attention(layer, x, position)
        elif phase == PHASE_VOCABULARY:
            expected = sharded.logits(x)
            if count_candidates(model.config.vocab_size):
                expected = [keep_candidates(part) for part in expected]
        else:
            expected = sharded.feed_forward(layer, x)
        for chip, answer in sorted(answers.items()):
            if not np.array_equal(answer, expected[chip].reshape(-1)):
                where = "" if phase == PHASE_VOCABULARY else f" of layer {layer}"
                raise ClusterError(
                    f"chip {chip} computes its {PHASES[phase]}{where} wrongly at position"
                    f" {position}: flash it again, with MicroPython 1.26 or later"
                )

    return compare


def check_tokens(plan: Plan) -> list[int]:
    """Returns tokens from all over the vocabulary, no more than the context holds."""
    count = min(_POSITIONS, plan.context)
    tokens: list[int] = np.linspace(0, plan.config.vocab_size - 1, count).astype(int).tolist()
    return tokens
