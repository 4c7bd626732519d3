"""Recomputes some tokens on the host, in the middle of a text: this notices a chip that sends
wrong numbers in valid messages, by a fault or on purpose, without computing everything twice."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random, SystemRandom

from host.errors import ClusterError
from host.executors.logits import no_logits
from host.model.arithmetic import Ints
from host.model.quantized import QuantizedModel
from host.model.reference import Reference
from host.parallel.plan import Plan


class SpotCheck:
    """Compares the logits after one token in `every` with the reference's.

    Each comparison runs the reference over all positions up to the token. count: how many were
    compared.
    """

    def __init__(
        self, model: QuantizedModel, plan: Plan, every: int, random: Random | None = None
    ) -> None:
        """random: chooses the tokens; None for a choice that nobody can predict."""
        self.every, self.count = every, 0
        self._model, self._plan = model, plan
        self._random = random or SystemRandom()

    def compare(self, tokens: Sequence[int], logits: Ints) -> None:
        """Compares the logits [vocab] after `tokens`, if this token is chosen.

        Logits that chips have left out, which are lower than all others, are not compared. Raises
        ClusterError if the others are not the model's.
        """
        if self._random.randrange(self.every):
            return
        self.count += 1
        reference = Reference(self._model, context=len(tokens))
        for token in tokens:
            expected = reference.step([token])[0]
        given = logits != no_logits(self._plan, 1)[0]
        if (logits[given] != expected[given]).any() or logits.argmax() != expected.argmax():
            raise ClusterError(
                f"spot check: what chips made of position {len(tokens) - 1} is not what the model"
                " gives: one of them computes wrongly, or forges answers; run with --check alone,"
                " which names it, and sign frames with --secure"
            )
