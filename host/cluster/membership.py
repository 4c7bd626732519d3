"""The chips that hold a model's shares, in a session: who they are, restart and fall silent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from host.cluster.coordinator import Coordinator, NeedsGreeting
from host.errors import ClusterError, ModelError
from host.model.arithmetic import Ints
from host.model.quantized import QuantizedModel
from host.parallel.plan import Plan
from host.wire.payloads import logits_from
from host.wire.reports import Ready
from protocol.frame import ProtocolError

_LOG = logging.getLogger("federation")

# A chip that restarts more often than this within one request has a fault of its own.
MOST_RECOVERIES = 8

Take = Callable[[int, bytes], None]


class Ask(Protocol):
    """Coordinator.compute or Coordinator.step."""

    def __call__(
        self, payload: bytes, chips: list[int], where: str, kind: object, arrived: Take
    ) -> dict[int, bytes]: ...


class Members:
    """What all ways to run a sequence on chips have in common.

    `position` is the next token's, `synchronizations` counts the times that all chips wait for
    one another, `caught_up` the times that a chip had to be given its cache anew.
    """

    def __init__(
        self,
        model: QuantizedModel,
        plan: Plan,
        coordinator: Coordinator,
        digests: Mapping[int, bytes],
    ) -> None:
        """digests: of each chip's shard file, as host.build.shard.shard_digest gives them."""
        self.model, self.plan = model, plan
        self.synchronizations = 0
        self.caught_up = 0
        self.position = 0
        self._coordinator = coordinator
        self._digests = digests
        self._sequence_id = 0

    def connect(
        self, patience: float, arrived: Callable[[int], None] = lambda chip: None
    ) -> dict[int, Ready]:
        """Takes all chips into the session; ClusterError where one has another model or share."""
        ready = self._coordinator.greet(self._coordinator.chips, patience, arrived)
        for chip in ready:
            self._check(chip, ready[chip])
        return ready

    def begin(self) -> None:
        """Starts a new sequence at position 0."""
        self._renew_worn_session()
        self.position = 0
        self._sequence_id = (self._sequence_id + 1) & 0xFFFF

    def _renew_worn_session(self) -> None:
        """To be called where no chip's cache is needed any more."""
        if self._coordinator.session_is_worn:
            _LOG.info("the session's counters are half used: beginning another")
            self._coordinator.renew_session()
            self._greet(self._coordinator.chips, "between two sequences")

    def _check_room(self, tokens: Sequence[int]) -> None:
        if not tokens:
            raise ValueError("no tokens to run")
        if self.position + len(tokens) > self.plan.context:
            raise ModelError(
                f"position {self.position + len(tokens) - 1} is beyond the context of"
                f" {self.plan.context}"
            )

    def _answers(
        self,
        ask: Ask,
        payload: bytes,
        chips: list[int],
        where: str,
        kind: object,
        take: Take = lambda chip, payload: None,
    ) -> dict[int, bytes]:
        """Each chip's answer; chips that fell silent are taken into the session again."""
        silent: list[int] = []
        for _ in range(MOST_RECOVERIES):
            try:
                return ask(payload, chips, where, kind, take)
            except NeedsGreeting as need:
                silent = need.chips
                self._greet(silent, where)
        raise ClusterError(f"chip {silent[0]} answers greetings and nothing else ({where})")

    def _notice_restarts(self, answers: dict[int, bytes], where: str) -> None:
        """Checks anew the chips whose boot id changed; their answers hold all the same."""
        boot_ids = self._coordinator.boot_ids
        restarted = [
            chip for chip, payload in answers.items()
            if int.from_bytes(payload[7:9], "little") != boot_ids[chip]
        ]  # fmt: skip
        if restarted:
            _LOG.info("restarted: chips %s", restarted)
            self._greet(restarted, where)

    def _greet(self, chips: list[int], where: str) -> None:
        for chip, ready in self._coordinator.greet(chips, where=where).items():
            self._check(chip, ready)

    def _check(self, chip: int, ready: Ready) -> None:
        expected = self.model.sha256()[: len(ready.model_hash)]
        if ready.model_hash != expected:
            raise ClusterError(
                f"chip {chip} holds model {ready.model_hash.hex()}, not {expected.hex()}:"
                " flash it again"
            )
        if ready.shard_digest != self._digests[chip]:
            raise ClusterError(
                f"chip {chip} holds {ready.heads} heads, {ready.units} units, {ready.rows} rows"
                f" and a context of {ready.context} (shard {ready.shard_digest.hex()}), the share"
                " of another plan: flash it again"
            )

    def _take_logits(self, logits: Ints, chip: int, payload: bytes) -> None:
        """Puts what a chip's LOGITS holds into logits [vocab]."""
        rows = self.plan.shards[chip].rows
        part = decoded(chip, logits_from, payload)
        values = np.frombuffer(part.data, "<i2")
        if (part.first_row, len(values)) != (rows.start, len(rows)):
            raise ClusterError(
                f"chip {chip} answered with other rows of the vocabulary: flash it again"
            )
        logits[rows.start : rows.stop] = values


def decoded(chip: int, decode: Callable[[bytes], Any], payload: bytes) -> Any:
    """What a chip's payload holds; ClusterError where it is none."""
    try:
        return decode(payload)
    except ProtocolError as error:
        raise ClusterError(f"chip {chip} sent an answer that is none: {error}") from None
