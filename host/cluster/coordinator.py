"""The requests that the host makes to chips, by kind, and the session in which it makes them."""

from __future__ import annotations

import math
from functools import cached_property

from host.cluster.dispatcher import decode_answer
from host.cluster.handshake import Handshake, OnReady
from host.cluster.request import OnAnswer, Request, ignore_answer
from host.cluster.requester import Requester
from host.wire.reports import Ready, Statistics, decode_statistics
from protocol import message_types


class Coordinator(Requester):
    """The session with the chips of a dispatcher, and the requests to them, one at a time."""

    @cached_property
    def _handshake(self) -> Handshake:
        return Handshake(self.chips, self._discover, self.dispatcher.signer)

    @property
    def boot_ids(self) -> dict[int, int]:
        """The boot id of each chip in the session, by chip."""
        return self._handshake.boot_ids

    @property
    def session(self) -> bytes:
        """The session's identity; see Handshake.session."""
        return self._handshake.session

    @property
    def needs_rekey(self) -> bool:
        """Whether the session's counters may not be enough for another sequence."""
        return self._handshake.needs_rekey

    def rekey(self) -> None:
        """Begins a new session: a chip that joins it forgets everything before."""
        self._handshake.rekey()

    def handshake(
        self,
        chips: list[int],
        timeout: float | None = None,
        on_ready: OnReady = lambda chip: None,
        where: str = "at the start",
    ) -> dict[int, Ready]:
        """Brings chips into the session; see Handshake.run."""
        ready = self._handshake.run(chips, where, timeout, on_ready)
        self.dispatcher.limit(self._handshake.mtu)
        return ready

    def compute(
        self,
        payload: bytes,
        chips: list[int],
        where: str,
        timing: object,
        on_answer: OnAnswer = ignore_answer,
    ) -> dict[int, bytes]:
        """Sends a COMPUTE and returns the payload of each chip's answer.

        The arguments are those of Request. Raises NeedsCache, NeedsHandshake, or ClusterError that
        names the chip, `where` and its error.
        """
        kind = message_types.COMPUTE
        return self.request(
            Request(kind, payload, chips, where, timing, self.timeout, on_answer)
        )

    def step(
        self,
        payload: bytes,
        chips: list[int],
        where: str,
        timing: object,
        on_answer: OnAnswer = ignore_answer,
    ) -> dict[int, bytes]:
        """Sends a STEP, as `compute` does a COMPUTE.

        In a STEP chips wait for one another many times, so it may take long without any chip being
        at fault. It never times out by itself: handshakes show which chips are there.
        """
        kind = message_types.STEP
        return self.request(Request(kind, payload, chips, where, timing, math.inf, on_answer))

    def resume(self, request: Request) -> dict[int, bytes]:
        """Goes on waiting for the answers to a request, and returns them as `compute` does.

        Chips see the same request again: those that work on it go on, and those that have finished
        send their answers again.
        """
        return self.request(request)

    def statistics(self, collect: bool = False) -> dict[int, Statistics]:
        """Returns every chip's counters; collect: whether chips collect garbage first."""
        kind, payload = message_types.STATISTICS, bytes([collect])
        answers = self.request(
            Request(kind, payload, self.chips, "at the end", "statistics", self.timeout)
        )
        return {chip: decode_answer(chip, decode_statistics, answers[chip]) for chip in self.chips}

    def ask_line(self, chip: int, payload: bytes, timeout: float) -> bytes:
        """Sends a LINE and returns the payload of the chip's answer.

        Raises ClusterError if none has come after `timeout` seconds.
        """
        kind, where = message_types.LINE, "its line's speed"
        return self.request(Request(kind, payload, [chip], where, "line", timeout))[chip]

    def _discover(
        self,
        payload: bytes,
        chips: list[int],
        where: str,
        timeout: float | None,
        on_answer: OnAnswer = ignore_answer,
    ) -> dict[int, bytes]:
        kind, timeout = message_types.DISCOVERY, timeout or self.timeout
        return self.request(Request(kind, payload, chips, where, "handshake", timeout, on_answer))
