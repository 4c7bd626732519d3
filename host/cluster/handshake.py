"""Brings chips into a session; protocol/session.py describes the exchange where there is a key."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Protocol

from host.cluster.request import OnAnswer, ignore_answer
from host.errors import ClusterError
from host.wire.reports import STATE_READY, Ready, decode_ready
from host.wire.session import ChipRestarted, HostAuthenticator
from protocol.frame import MAX_FRAME, ProtocolError

_LOG = logging.getLogger("federation")

OnReady = Callable[[int], None]

# The number of restarts in the middle of handshakes after which a chip is taken to be faulty.
MOST_ATTEMPTS = 8


class Discover(Protocol):
    """Sends a DISCOVERY with a payload to chips, and returns the payload of each chip's READY."""

    def __call__(
        self,
        payload: bytes,
        chips: list[int],
        where: str,
        timeout: float | None,
        on_answer: OnAnswer = ignore_answer,
    ) -> dict[int, bytes]: ...


class _Restarted(Exception):
    """A chip restarted during a handshake; needs_rekey: whether it was in the session before."""

    def __init__(self, chip: int, needs_rekey: bool) -> None:
        super().__init__(chip)
        self.chip, self.needs_rekey = chip, needs_rekey


class Handshake:
    """The session between the host and all `chips`, with a key or without.

    boot_ids: of the chips in the session, by chip; another boot id shows that a chip restarted.
    mtu: bytes of the longest frame that all of them can send.
    """

    def __init__(
        self, chips: list[int], discover: Discover, signer: HostAuthenticator | None
    ) -> None:
        self.boot_ids: dict[int, int] = {}
        self.mtu = MAX_FRAME
        self._mtus: dict[int, int] = {}  # that each chip can send
        self._chips, self._discover, self._signer = chips, discover, signer
        self._nonce = os.urandom(16)

    @property
    def session(self) -> bytes:
        """The session's identity: when it has changed, chips have forgotten everything before."""
        return bytes(self._signer.announcement()) if self._signer else self._nonce

    @property
    def needs_rekey(self) -> bool:
        """Whether the session's counters may not be enough for another sequence."""
        return self._signer is not None and bool(self._signer.needs_rekey())

    def rekey(self) -> None:
        """Begins a new session: a chip that joins it forgets everything before."""
        if self._signer:
            self._signer.renew()
        self._nonce = os.urandom(16)

    def run(
        self, chips: list[int], where: str, timeout: float | None, on_ready: OnReady
    ) -> dict[int, Ready]:
        """Brings chips into the session, and returns the READY of each.

        If one of them restarted within the session a new one begins: then of all chips. on_ready:
        called with each chip when it first answers. Raises ClusterError for a chip that failed to
        start, does not answer, has another key or keeps restarting.
        """
        answered: set[int] = set()

        def on_answer(chip: int, payload: bytes) -> None:
            if chip not in answered:
                answered.add(chip)
                on_ready(chip)

        restarted = 0
        for _ in range(MOST_ATTEMPTS):
            try:
                return self._attempt(chips, where, timeout, on_answer)
            except _Restarted as error:
                restarted = error.chip
                if error.needs_rekey:
                    self.rekey()
                    chips = self._chips
        raise ClusterError(f"chip {restarted} keeps restarting during its handshake ({where})")

    def _attempt(
        self, chips: list[int], where: str, timeout: float | None, on_answer: OnAnswer
    ) -> dict[int, Ready]:
        answers = self._discover(self.session, chips, where, timeout, on_answer)
        ready: dict[int, Ready] = {}
        for chip, payload in answers.items():
            ready[chip] = _decode_ready(chip, payload)
            if ready[chip].state != STATE_READY:
                ready[chip] = self._prove(chip, ready[chip], where, timeout)
            self.boot_ids[chip] = ready[chip].boot_id
        self._agree_on_frames(ready, where, timeout)
        return ready

    def _agree_on_frames(
        self, ready: dict[int, Ready], where: str, timeout: float | None
    ) -> None:
        """Tells chips that could send longer frames how long a frame may be that all can send."""
        self._mtus.update({chip: of.mtu for chip, of in ready.items()})
        mtu = min(self._mtus.values())
        longer = [
            chip
            for chip, longest in self._mtus.items()
            if longest > mtu and (chip in ready or mtu != self.mtu)
        ]
        self.mtu = mtu
        if not longer:
            return
        short = [chip for chip, longest in self._mtus.items() if longest == mtu]
        _LOG.info("frames of at most %d bytes: chips %s take no longer ones", mtu, short)
        payload = self.session + mtu.to_bytes(2, "little")
        for chip, answer in self._discover(payload, longer, where, timeout).items():
            taken = _decode_ready(chip, answer)
            if taken.state != STATE_READY or taken.boot_id != self.boot_ids[chip]:
                raise _Restarted(chip, needs_rekey=False)

    def _prove(self, chip: int, asked: Ready, where: str, timeout: float | None) -> Ready:
        """Proves to a chip that the session is new; returns its READY after that."""
        if not self._signer:
            raise ClusterError(f"chip {chip} requires the cluster key")
        try:
            proof = self._signer.proof(chip, asked.nonce)
        except ChipRestarted:
            raise _Restarted(chip, needs_rekey=True) from None
        answer = self._discover(proof, [chip], where, timeout)
        ready = _decode_ready(chip, answer[chip])
        if ready.state == STATE_READY:
            return ready
        if ready.boot_id != asked.boot_id:
            raise _Restarted(chip, needs_rekey=False)
        raise ClusterError(f"chip {chip} rejects the cluster key")


def _decode_ready(chip: int, payload: bytes) -> Ready:
    try:
        return decode_ready(payload)
    except ProtocolError as error:
        raise ClusterError(f"chip {chip} speaks another protocol version: {error}") from None
