"""Recomputes some tokens on the host, in the middle of a text: a chip that answers wrongly in good
form, by a fault or on purpose, is noticed without running all that it runs."""

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
    """Compares the logits of one token in `every` with the reference's, which takes the host as
    many of its steps as the token has positions before it. count: how many were compared."""

    def __init__(
        self, model: QuantizedModel, plan: Plan, every: int, random: Random | None = None
    ) -> None:
        """random: which ones are chosen, None for what nobody can foresee."""
        self.every, self.count = every, 0
        self._model, self._plan = model, plan
        self._random = random or SystemRandom()

    def compare(self, tokens: Sequence[int], logits: Ints) -> None:
        """Takes in the logits [vocab] after `tokens`, of which some may be left out as less than
        all others. Raises ClusterError where they are not the model's."""
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
