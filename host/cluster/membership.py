"""Keeps the chips of a plan in a session: verifies their shards, handles restarts and silence."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from host.cluster.coordinator import Coordinator
from host.cluster.handshake import OnReady
from host.cluster.recovery import MOST_RECOVERIES, RecoveryBudget
from host.cluster.request import NeedsCache, NeedsHandshake, OnAnswer, Request, ignore_answer
from host.errors import ClusterError
from host.wire.reports import Ready
from protocol.message_types import STEP
from protocol.messages import REQUEST_SIZE

_LOG = logging.getLogger("federation")

_BOOT_ID = slice(REQUEST_SIZE, REQUEST_SIZE + 2)  # its place in the payload of each answer to work


class Ask(Protocol):
    """Coordinator.compute or Coordinator.step."""

    def __call__(
        self, payload: bytes, chips: list[int], where: str, timing: object, on_answer: OnAnswer
    ) -> dict[int, bytes]: ...


class Membership:
    """Brings chips into the session, and verifies that each holds its shard of the model.

    budget: the RecoveryBudget for what chips have lost.
    """

    def __init__(
        self, coordinator: Coordinator, model_hash: bytes, digests: Mapping[int, bytes]
    ) -> None:
        """model_hash: SHA-256 of the model; digests: of each chip's shard file, as
        host.build.shard.shard_digest gives them."""
        self.budget = RecoveryBudget()
        # Chips that have lost their caches through another chip's restart, which was counted.
        self._excused: set[int] = set()
        self._coordinator = coordinator
        self._model_hash, self._digests = model_hash, digests

    def connect(
        self, timeout: float, on_ready: OnReady = lambda chip: None
    ) -> dict[int, Ready]:
        """Brings all chips into the session, verifies their shards, and returns the READY of each.

        on_ready: called with each chip that has answered. Raises ClusterError for a chip that does
        not answer within `timeout` seconds, or that holds another model or shard.
        """
        ready = self._coordinator.handshake(self._coordinator.chips, timeout, on_ready)
        for chip in ready:
            self._verify(chip, ready[chip])
        return ready

    def handshake(self, chips: list[int], where: str) -> None:
        """Does the same for some chips, in the middle of a computation.

        If a restarted chip made all chips begin another session, only its own loss is counted.
        """
        coordinator = self._coordinator
        session, boot_ids = coordinator.session, dict(coordinator.boot_ids)
        for chip, ready in coordinator.handshake(chips, where=where).items():
            self._verify(chip, ready)
        if coordinator.session != session:
            restarted = [chip for chip in boot_ids if coordinator.boot_ids[chip] != boot_ids[chip]]
            for chip in restarted:
                self._spend(chip, where)
            self._excused = set(coordinator.chips) if restarted else set()

    def count_loss(self, chip: int, where: str) -> None:
        """Counts that a chip has lost its cache; raises ClusterError if that happens too often."""
        if chip in self._excused:
            self._excused.discard(chip)
        else:
            self._spend(chip, where)

    def _spend(self, chip: int, where: str) -> None:
        self.budget.spend(chip, f"chip {chip} keeps restarting ({where})")

    def rekey_if_needed(self) -> None:
        """Begins another session if the counters may not be enough for another sequence.

        To be called when no chip's cache is needed any more.
        """
        if self._coordinator.needs_rekey:
            _LOG.info("the session's counters are half used: beginning another")
            self._coordinator.rekey()
            self.handshake(self._coordinator.chips, "between two sequences")

    def ask(
        self,
        ask: Ask,
        payload: bytes,
        chips: list[int],
        where: str,
        timing: object,
        on_answer: OnAnswer = ignore_answer,
    ) -> dict[int, bytes]:
        """Sends a request by `ask`, and returns the payload of each chip's answer.

        Chips that stay silent get a handshake. Those that turn out to be in the session still go
        on with the request; it is sent as a new one only in another session. Raises what `ask`
        raises, except NeedsHandshake.
        """
        request: Request | None = None
        silent: list[int] = []
        for _ in range(MOST_RECOVERIES):
            try:
                if request:
                    return self._coordinator.resume(request)
                return ask(payload, chips, where, timing, on_answer)
            except NeedsHandshake as need:
                request, silent = need.request, need.chips
            request.handshakes += 1
            if self._changed(request, where):
                request = None
        raise ClusterError(
            f"chip {silent[0]} completes handshakes but answers no request ({where})"
        )

    def _changed(self, request: Request, where: str) -> bool:
        """Makes a handshake with chips that do not answer; returns whether another session began.

        If chips wait for one another, it is made with all: any may be the one that the others wait
        for. Raises NeedsCache for one of these that has restarted, because its contribution to the
        request is lost.
        """
        coordinator = self._coordinator
        session, boot_ids = coordinator.session, dict(coordinator.boot_ids)
        in_lockstep = request.kind == STEP
        self.handshake(request.chips if in_lockstep else request.missing, where)
        restarted = [chip for chip in request.chips
                     if coordinator.boot_ids[chip] != boot_ids.get(chip)]  # fmt: skip
        if in_lockstep and restarted:
            raise NeedsCache(restarted[0])
        return coordinator.session != session

    def verify_restarted(self, answers: dict[int, bytes], where: str) -> None:
        """Verifies the chips whose boot id has changed again; their answers stay valid."""
        boot_ids = self._coordinator.boot_ids
        restarted = [
            chip for chip, payload in answers.items()
            if int.from_bytes(payload[_BOOT_ID], "little") != boot_ids.get(chip)
        ]  # fmt: skip
        if restarted:
            _LOG.info("restarted: chips %s", restarted)
            self.handshake(restarted, where)

    def _verify(self, chip: int, ready: Ready) -> None:
        expected = self._model_hash[: len(ready.model_hash)]
        if ready.model_hash != expected:
            raise ClusterError(
                f"chip {chip} holds model {ready.model_hash.hex()}, not {expected.hex()}:"
                " flash it again"
            )
        if ready.shard_digest != self._digests[chip]:
            raise ClusterError(
                f"chip {chip} holds {ready.heads} heads, {ready.units} units, {ready.rows} rows"
                f" and a context of {ready.context} (shard {ready.shard_digest.hex()}), the shard"
                " of another plan: flash it again"
            )
