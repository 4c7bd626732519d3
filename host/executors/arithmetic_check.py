"""Chips' answers against what their shares must give, number by number.

A chip whose kernels compute wrongly, as MicroPython's compiler for Xtensa made them before 1.26,
answers in good form, and the text is nonsense. This names it.
"""

from __future__ import annotations

import numpy as np

from host.errors import ClusterError
from host.executors.host_reduce import PHASES, Federation
from host.model.arithmetic import Ints
from host.parallel.sharded_model import ShardedModel
from protocol.messages import PHASE_ATTENTION, PHASE_VOCABULARY

# Enough for attention to weigh positions, and for a request of several.
_POSITIONS = 6


def check_arithmetic(federation: Federation) -> None:
    """Runs some tokens as a sequence of its own and compares every answer.

    Raises ClusterError for the first chip that answers otherwise than its share must.
    """
    sharded = ShardedModel.of(federation.model, federation.plan)

    def compare(layer: int, phase: int, position: int, x: Ints, answers: dict[int, Ints]) -> None:
        if phase == PHASE_ATTENTION:
            expected = sharded.attention(layer, x, position)
        elif phase == PHASE_VOCABULARY:
            expected = sharded.logits(x)
        else:
            expected = sharded.feed_forward(layer, x)
        for chip, answer in sorted(answers.items()):
            if not np.array_equal(answer, expected[chip].reshape(-1)):
                where = "" if phase == PHASE_VOCABULARY else f" of layer {layer}"
                raise ClusterError(
                    f"chip {chip} computes its {PHASES[phase]}{where} wrongly at position"
                    f" {position}: flash it again, with MicroPython 1.26 or later"
                )

    federation.observer = compare
    try:
        federation.begin()
        tokens = _tokens(federation)
        federation.forward(tokens[:-1] or tokens)
        if len(tokens) > 1:
            federation.forward(tokens[-1:])
    finally:
        federation.observer = None


def _tokens(federation: Federation) -> list[int]:
    """From all over the vocabulary, and no more than the context holds."""
    count = min(_POSITIONS, federation.plan.context)
    return np.linspace(0, federation.model.config.vocab_size - 1, count).astype(int).tolist()
