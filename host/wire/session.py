"""The host's side of a session, which protocol/session.py describes."""

import os

try:
    from collections.abc import Callable
except ImportError:
    pass  # MicroPython does not look at annotations

from protocol.auth import LAST_COUNTER, Signer
from protocol.fields import put_u32
from protocol.frame import HOST, SRC, TYPE, ProtocolError
from protocol.message_types import DISCOVERY
from protocol.session import SESSION_NONCE_SIZE, Member, proof


class ChipRestarted(Exception):
    """A chip sent a second nonce in one session: the host must begin a new session."""


class HostSigner(Signer):
    """The Signer of the host, which receives from all chips and so knows their counters."""

    def needs_rekey(self) -> bool:
        """Returns whether a member has used half of the session's counters."""
        return max(self._highest) > LAST_COUNTER // 2


class HostAuthenticator(Member):
    """The host's side; give it to `seal` and `verify_frame` as the signer."""

    def __init__(self, cluster_key: bytes, random: Callable[[int], bytes] = os.urandom) -> None:
        """cluster_key: at least 16 secret bytes, the same on all; random(n): n random bytes."""
        super().__init__(cluster_key, random)
        self._chip_nonces: dict[int, bytes] = {}
        self._discoveries = 0  # of the session
        self.renew()

    def renew(self) -> None:
        """Begins a new session: a chip joins it when it has received its proof."""
        self._join_nonce = self._random(SESSION_NONCE_SIZE)
        self._join = self._join_key(self._join_nonce)
        self.session = HostSigner(self._cluster.digest(self._join_nonce))
        self._chip_nonces.clear()
        self._discoveries = 0

    def needs_rekey(self) -> bool:
        """Returns what HostSigner.needs_rekey does, False before a session."""
        return self.session is not None and self.session.needs_rekey()

    def sign(self, buf: bytearray, end: int) -> None:
        """Signs as every member does, and counts the DISCOVERYs, so that chips recognize replayed
        ones."""
        super().sign(buf, end)
        if buf[TYPE] == DISCOVERY and self._join is not None:
            put_u32(buf, end, self._discoveries)
            self._discoveries += 1
            self._join.append(buf, end + 4)

    def verify(self, buf: bytes | bytearray, n: int) -> None:
        """Verifies as every member does. A frame from the host is one of its own that came back.

        Raises ProtocolError.
        """
        if buf[SRC] == HOST:
            raise ProtocolError("frame is the host's own")
        super().verify(buf, n)

    def announcement(self) -> bytes:
        """Returns the payload of the DISCOVERY to all chips."""
        return self._join_nonce

    def proof(self, chip_id: int, chip_nonce: bytes) -> bytes:
        """Returns the payload of the DISCOVERY to a chip that asked for a proof (READY, state 0).

        Raises ChipRestarted if that chip asked with another nonce in this session.
        """
        chip_nonce = bytes(chip_nonce)
        if self._chip_nonces.setdefault(chip_id, chip_nonce) != chip_nonce:
            raise ChipRestarted("chip %d restarted: a new session is needed" % chip_id)
        return self._join_nonce + proof(self._cluster, self._join_nonce, chip_nonce, chip_id)
