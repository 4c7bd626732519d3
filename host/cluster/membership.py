"""The chips that hold the shards of a plan, in a session: who they are, restarts and silence."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from host.cluster.coordinator import Coordinator, NeedsHandshake
from host.cluster.handshake import OnReady
from host.cluster.request import OnAnswer, ignore_answer
from host.errors import ClusterError
from host.wire.reports import Ready
from protocol.messages import REQUEST_SIZE

_LOG = logging.getLogger("federation")

# A chip that restarts more often than this within one request has a fault of its own.
MOST_RECOVERIES = 8
_BOOT_ID = slice(REQUEST_SIZE, REQUEST_SIZE + 2)  # where every answer to work has it


class Ask(Protocol):
    """Coordinator.compute or Coordinator.step."""

    def __call__(
        self, payload: bytes, chips: list[int], where: str, timing: object, on_answer: OnAnswer
    ) -> dict[int, bytes]: ...


class Membership:
    """Takes chips into the session, and verifies that each holds its shard of the model."""

    def __init__(
        self, coordinator: Coordinator, model_hash: bytes, digests: Mapping[int, bytes]
    ) -> None:
        """model_hash: SHA-256 of the model; digests: of each chip's shard file, as
        host.build.shard.shard_digest gives them."""
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
        """The same for some chips, in the middle of a computation."""
        for chip, ready in self._coordinator.handshake(chips, where=where).items():
            self._verify(chip, ready)

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

        Raises what `ask` raises, but NeedsHandshake.
        """
        silent: list[int] = []
        for _ in range(MOST_RECOVERIES):
            try:
                return ask(payload, chips, where, timing, on_answer)
            except NeedsHandshake as need:
                silent = need.chips
                self.handshake(silent, where)
        raise ClusterError(
            f"chip {silent[0]} completes handshakes but answers no request ({where})"
        )

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
