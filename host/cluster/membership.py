"""The chips that hold the shards of a plan, in a session: who they are, restarts and silence."""

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

_BOOT_ID = slice(REQUEST_SIZE, REQUEST_SIZE + 2)  # where every answer to work has it


class Ask(Protocol):
    """Coordinator.compute or Coordinator.step."""

    def __call__(
        self, payload: bytes, chips: list[int], where: str, timing: object, on_answer: OnAnswer
    ) -> dict[int, bytes]: ...


class Membership:
    """Takes chips into the session, and verifies that each holds its shard of the model.

    budget: how often what they have lost is computed again.
    """

    def __init__(
        self, coordinator: Coordinator, model_hash: bytes, digests: Mapping[int, bytes]
    ) -> None:
        """model_hash: SHA-256 of the model; digests: of each chip's shard file, as
        host.build.shard.shard_digest gives them."""
        self.budget = RecoveryBudget()
        # Chips that have lost their caches by another's restart, which was counted.
        self._excused: set[int] = set()
        self._coordinator = coordinator
        self._model_hash, self._digests = model_hash, digests

    def connect(
        self, timeout: float, on_ready: OnReady = lambda chip: None
    ) -> dict[int, Ready]:
        """Takes all chips into the session, and verifies their shards.

        Raises ClusterError for a chip that does not answer within `timeout` seconds, or that
        holds another model or shard.
        """
        ready = self._coordinator.handshake(self._coordinator.chips, timeout, on_ready)
        for chip in ready:
            self._verify(chip, ready[chip])
        return ready

    def handshake(self, chips: list[int], where: str) -> None:
        """The same for some chips, in the middle of a computation.

        Where one that restarted made all begin another session, that is its loss, and theirs are
        not counted.
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
        """Takes in that a chip has lost its cache. Raises ClusterError if it does so too often."""
        if chip in self._excused:
            self._excused.discard(chip)
        else:
            self._spend(chip, where)

    def _spend(self, chip: int, where: str) -> None:
        self.budget.spend(chip, f"chip {chip} keeps restarting ({where})")

    def rekey_if_needed(self) -> None:
        """Begins another session where the counters may not last.

        To be called where no chip's cache is needed any more.
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
        """The payload of each chip's answer; chips that are silent have a handshake first.

        Chips that turn out to be in the session still go on with the request: it is begun anew
        only in another session. Raises what `ask` raises, but NeedsHandshake.
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
        """Has a handshake with chips that do not answer; whether another session began.

        Chips that wait for one another all have it, for each may be the one that the others wait
        for. Raises NeedsCache for one of those that has restarted: what it contributed to the
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
        """Verifies anew the chips whose boot id has changed; their answers hold all the same."""
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
