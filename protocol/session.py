"""How host and chips that hold a cluster key agree on a session key.

1. Host to all: DISCOVERY(session nonce, 16 random bytes per session).
2. Chip to host: READY with state 0 and its own random nonce (8 bytes, host/wire/reports.py).
3. Host to that chip: DISCOVERY(session nonce, proof), proof being the first 16 bytes of
   HMAC(cluster key, "proof", session nonce, chip nonce, chip id).
4. The chip checks the proof, takes HMAC(cluster key, session nonce) as the session key and
   answers READY with state 1. Any of these may be lost or duplicated: the host retries.

Why it is sound:

- A chip joins a session only on a proof over its own nonce, which is random, never used before,
  and replaced once a proof was accepted. So neither an old session nor an old proof can be
  replayed to it, whether it restarted or not. A replayed DISCOVERY makes the chip send a READY to
  where it came from, and changes no address, key or session.
- Each chip that hears a replayed DISCOVERY spends airtime on a READY. So chips limit the rate of
  these answers. A forged DISCOVERY is refused by its MAC, costs no airtime and is not counted; a
  right proof, which is never a replay, is always answered. The host numbers the DISCOVERYs of a
  session, retransmissions included. One with a higher number than the chip has heard under that
  nonce is new, and has a rate limit of its own, so that replays cannot keep a chip from answering
  the host. A chip remembers few nonces: an attacker with recordings of more sessions can delay
  restarted chips in joining, but cannot make them join a wrong session.
- DISCOVERY and READY travel before there is a session. They are version 3 frames under a join key,
  HMAC(cluster key, "join", session nonce): only members can make them, and the host does not
  verify a READY of another session. The nonces prove that they are fresh; the counter only says
  which DISCOVERY to answer first, and is 0 in a READY. The join key signs nothing else.
- The host answers one nonce of each chip per session. A second nonce means that the chip
  restarted and lost its counters and windows: under the same key it would repeat counters, and
  frames from before the restart could be replayed to it. ChipRestarted tells the host to begin a
  new session for all chips, in which every counter and window is new.
- A READY may be replayed within its session, but can only repeat what the chip once said. That a
  chip is still in the session is shown by its answers, which the session key signs.
- The three uses of the cluster key cannot be confused: their messages differ in length.
"""

import os

from protocol.auth import Hmac, Signer
from protocol.compat import const, ticks_diff, ticks_ms
from protocol.fields import put_u32, same, u32
from protocol.frame import HEADER_SIZE, HOST, MAX_CHIP_ID, SRC, TYPE, ProtocolError
from protocol.message_types import DISCOVERY, READY
from protocol.messages import CHIP_NONCE_SIZE, STATE_ASKS_PROOF, STATE_READY

SESSION_NONCE_SIZE = const(16)
PROOF_SIZE = const(16)
MIN_KEY_SIZE = const(16)  # bytes: 128 bits cannot be searched
# The rate limit of answers to DISCOVERY: a burst of so many, then one more each _INTERVAL_MS times
# the number of chips, so that all chips together send a hundred a second. New DISCOVERYs are also
# answered as often as the host retries (LOSSY in host/cluster/timeout.py), however many chips.
_BURST = const(8)
_INTERVAL_MS = const(10)
_ASKED_AGAIN_MS = const(100)
# Kinds of DISCOVERY, each with its own rate limit.
_OF_SESSION = const(0)
_ANNOUNCEMENT = const(1)
_REPLAY = const(2)
_REMEMBERED = const(16)  # nonces


def proof(cluster, session_nonce, chip_nonce, chip_id):
    """Returns the PROOF_SIZE bytes that prove to a chip that a session is new.

    cluster: the Hmac of the cluster key.
    """
    return cluster.digest(b"proof" + session_nonce + chip_nonce + bytes([chip_id]))[:PROOF_SIZE]


class Member:
    """A signer for `seal` and `verify_frame` that chooses the key by message type: the join key
    for DISCOVERY and READY, the session key for all others."""

    def __init__(self, cluster_key, random):
        if len(cluster_key) < MIN_KEY_SIZE:
            raise ValueError("cluster key has %d bytes, 16 at least" % len(cluster_key))
        self.session = None  # the Signer of the session, once there is one
        self._cluster = Hmac(cluster_key)
        self._random = random
        self._join = None
        self._join_nonce = b""

    def sign(self, buf, end):
        """Writes the trailer at buf[end]; raises ProtocolError while there is no key for it."""
        if buf[TYPE] in (DISCOVERY, READY):
            if self._join is None:
                raise ProtocolError("no session to join yet")
            put_u32(buf, end, 0)
            self._join.append(buf, end + 4)
        elif self.session is None:
            raise ProtocolError("no session yet")
        else:
            self.session.sign(buf, end)

    def verify(self, buf, n):
        """Raises ProtocolError unless buf[:n] is authentic and not a replay."""
        if buf[TYPE] in (DISCOVERY, READY):
            if self._join is None or not self._join.ends(buf, n):
                raise ProtocolError("frame is not of a member that joins this session")
        elif self.session is None:
            raise ProtocolError("no session yet")
        else:
            self.session.verify(buf, n)

    def _join_key(self, nonce):
        return Hmac(self._cluster.digest(b"join" + nonce))


def limit(chips):
    """Returns the rate limit of a chip's answers to DISCOVERY: accept(kind, key, count).

    That function returns whether to answer an authentic DISCOVERY, given its kind, an integer from
    its nonce, and its counter; chips: how many there are. It is a closure, because on a chip
    the name of each attribute costs heap.
    """
    # Of each kind: how many may still be answered, and since when more are added.
    left, since = bytearray([_BURST] * 3), [ticks_ms()] * 3
    # The nonces heard, the last one first, and the highest counter heard under each.
    heard, highest = [-1] * _REMEMBERED, [-1] * _REMEMBERED

    def accept(kind, key, count):
        if key not in heard:
            for of_each, value in ((heard, key), (highest, -1)):
                of_each.pop()
                of_each.insert(0, value)
        at, interval = heard.index(key), _INTERVAL_MS * chips
        if count > highest[at]:  # new, so it is the host's own
            highest[at] = count
            interval = min(interval, _ASKED_AGAIN_MS)
        else:
            kind = _REPLAY
        now = ticks_ms()
        more = ticks_diff(now, since[kind]) // interval
        if more:
            # A negative difference means that so much time has passed that the clock wrapped.
            left[kind] = _BURST if more < 0 else min(left[kind] + more, _BURST)
            since[kind] = now
        if not left[kind]:
            return False
        left[kind] -= 1
        return True

    return accept


class ChipAuthenticator(Member):
    """A chip's side of the handshake; the signer for its frames.

    accept: the rate limit of answers to DISCOVERY; nonce: the one that READY carries; refused:
    counts wrong proofs, and DISCOVERYs that came too fast.
    """

    def __init__(self, cluster_key, chip_id, chips=MAX_CHIP_ID + 1, random=os.urandom):
        """cluster_key: bytes; chips: how many there are; random(n): gives n random bytes.

        Raises ValueError for a key shorter than MIN_KEY_SIZE.
        """
        super().__init__(cluster_key, random)
        self.nonce = random(CHIP_NONCE_SIZE)
        self.refused = 0
        self._signer = Signer(cluster_key, chips)  # made at the start, used in a session
        self._chip_id = chip_id
        self._session_nonce = b""
        self.accept = limit(chips)

    def verify(self, buf, n):
        """Raises ProtocolError unless buf[:n] is authentic and not a replay.

        A DISCOVERY must come from the host, but may be of any session: the next READY is signed
        for the session of the last DISCOVERY verified.
        """
        if buf[SRC] == self._chip_id:
            raise ProtocolError("frame is this chip's own")
        if buf[TYPE] != DISCOVERY:
            super().verify(buf, n)
            return
        if buf[SRC] != HOST or n < HEADER_SIZE + SESSION_NONCE_SIZE + 12:
            raise ProtocolError("DISCOVERY is not the host's")
        nonce = bytes(memoryview(buf)[HEADER_SIZE : HEADER_SIZE + SESSION_NONCE_SIZE])
        join = self._signer.join if nonce == self._session_nonce else None
        join = join or self._join_key(nonce)
        if not join.ends(buf, n):
            raise ProtocolError("DISCOVERY is not the host's")
        self._join, self._join_nonce = join, nonce

    def state_after(self, frame, length):
        """Returns the state to answer a verified DISCOVERY with: STATE_ASKS_PROOF or STATE_READY.

        A right proof starts a session: the caller must then forget everything from the session
        before (caches by sequence id, answers kept for retransmission). Raises ProtocolError where
        DISCOVERYs come too fast to be answered.
        """
        key = u32(self._join_nonce, 0) & 0x3FFFFFFF  # small integers
        count = u32(frame, HEADER_SIZE + length) & 0x3FFFFFFF
        kind = _ANNOUNCEMENT
        if self._join_nonce == self._session_nonce:
            kind = _OF_SESSION
        elif length == SESSION_NONCE_SIZE + PROOF_SIZE:
            right = proof(self._cluster, self._join_nonce, self.nonce, self._chip_id)
            if same(right, 0, frame, HEADER_SIZE + SESSION_NONCE_SIZE, PROOF_SIZE):
                self._signer.begin(self._cluster.digest(self._join_nonce))
                self.session = self._signer
                self._signer.join = self._join
                self._session_nonce = self._join_nonce
                self.nonce = self._random(CHIP_NONCE_SIZE)
                return STATE_READY
            self.refused += 1
        if not self.accept(kind, key, count):
            self.refused += 1
            raise ProtocolError("DISCOVERYs come too fast")
        return STATE_READY if kind == _OF_SESSION else STATE_ASKS_PROOF
