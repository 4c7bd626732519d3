"""How host and chips that hold a cluster key agree on a session key.

1. Host to all: DISCOVERY(session nonce, 16 random bytes per session).
2. Chip to host: READY with state 0 and its own random nonce (8 bytes, host/wire/reports.py).
3. Host to that chip: DISCOVERY(session nonce, proof), proof being the first 16 bytes of
   HMAC(cluster key, "proof", session nonce, chip nonce, chip id).
4. The chip checks the proof, takes HMAC(cluster key, session nonce) as the session key and
   answers READY with state 1. Any of these may be lost or doubled: the host asks again.

Why it is sound:

- A chip takes a session only on a proof over its own nonce, which is random, never used
  before, and replaced once a proof was taken. So neither an old session nor an old proof can
  be replayed to it, whether it restarted or not; a replayed DISCOVERY gets a READY, where it
  came from, and changes nothing: nobody else's address, key or session.
- A READY costs airtime, of every chip that heard the replay. So chips answer few DISCOVERYs in a
  given time. A forged one is refused by its MAC, costs no airtime and is not counted; a right
  proof, which is never a replay, is always answered. The host counts the DISCOVERYs of a session,
  those that it sends again too: what has a higher count than a chip has heard of that nonce is
  new, and counted apart from replays, which so keep no chip from answering the host. A chip
  remembers few nonces: with recordings of more sessions somebody may make chips that
  restarted slow to join, never join wrongly.
- DISCOVERY and READY themselves travel before there is a session. They are version 3 frames
  under a join key, HMAC(cluster key, "join", session nonce): only members make them, and a
  READY of another session does not verify at the host. Their freshness is that of the
  nonces; the counter says only which to answer first, and is 0 in a READY. The join key signs
  nothing else.
- The host answers one nonce of each chip per session. A second nonce means that the chip
  restarted: it lost its counters and windows, so that going on under the same key would
  repeat counters and let frames from before the restart be replayed to it. ChipRestarted
  tells the host to begin a new session, for all: with it every counter and window is new.
- A READY may be replayed within its session. It can only claim what the chip once said: that
  a chip is still in the session is shown by its answers, which the session key signs.
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
# DISCOVERYs that a chip answers at once, and after how many milliseconds, for each chip of the
# cluster, it has one more to answer: together they answer a hundred a second. Of new ones it has
# one more as soon as the host asks again (LOSSY in host/cluster/timeout.py), however many chips.
_BURST = const(8)
_INTERVAL_MS = const(10)
_ASKED_AGAIN_MS = const(100)
# Kinds of DISCOVERYs, and what was heard before.
_OF_SESSION = const(0)
_ANNOUNCEMENT = const(1)
_REPLAY = const(2)
_REMEMBERED = const(16)  # nonces


def proof(cluster, session_nonce, chip_nonce, chip_id):
    """What shows to a chip that a session is new; cluster: the Hmac of the cluster's key."""
    return cluster.digest(b"proof" + session_nonce + chip_nonce + bytes([chip_id]))[:PROOF_SIZE]


class Member:
    """Signs frames for `seal` and verifies them for `verify_frame`: the type decides under which
    key."""

    def __init__(self, cluster_key, random):
        if len(cluster_key) < MIN_KEY_SIZE:
            raise ValueError("cluster key has %d bytes, 16 at least" % len(cluster_key))
        self.session = None  # the Signer of the session, once there is one
        self._cluster = Hmac(cluster_key)
        self._random = random
        self._join = None
        self._join_nonce = b""

    def sign(self, buf, end):
        """Writes the trailer at buf[end]; ProtocolError while there is no key to sign with."""
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
        """Returns if buf[:n] is authentic and new; raises ProtocolError if it is not."""
        if buf[TYPE] in (DISCOVERY, READY):
            if self._join is None or not self._join.ends(buf, n):
                raise ProtocolError("frame is not of a member that joins this session")
        elif self.session is None:
            raise ProtocolError("no session yet")
        else:
            self.session.verify(buf, n)

    def _join_key(self, nonce):
        return Hmac(self._cluster.digest(b"join" + nonce))


class ChipAuthenticator(Member):
    """A chip's side; give it to `seal` and `verify_frame` as the signer.

    `accept` takes in an authentic DISCOVERY, its kind, part of its nonce and its counter, and
    raises ProtocolError if it must not be answered. `nonce` is what READY carries; `refused`
    counts proofs that were wrong, and DISCOVERYs that came too fast.
    """

    def __init__(self, cluster_key, chip_id, chips=MAX_CHIP_ID + 1, random=os.urandom):
        """cluster_key, random: as Member's; chips: how many there are."""
        super().__init__(cluster_key, random)
        self.nonce = random(CHIP_NONCE_SIZE)
        self.refused = 0
        self._signer = Signer(cluster_key, chips)  # made at the start, used in a session
        self._chip_id = chip_id
        self._session_nonce = b""
        # How many DISCOVERYs of each kind may still be answered, and since when; nonces that were
        # heard, the last one first, and the highest counter of each. In a closure, for on a chip
        # each name of an attribute costs heap.
        left, since = bytearray([_BURST] * 3), [ticks_ms()] * 3
        heard, highest = [-1] * _REMEMBERED, [-1] * _REMEMBERED

        def accept(kind, key, count):
            if key not in heard:
                for of_each, value in ((heard, key), (highest, -1)):
                    of_each.pop()
                    of_each.insert(0, value)
            at, interval = heard.index(key), _INTERVAL_MS * chips
            if count > highest[at]:
                highest[at] = count
                interval = min(interval, _ASKED_AGAIN_MS)
            else:
                kind = _REPLAY
            now = ticks_ms()
            more = ticks_diff(now, since[kind]) // interval
            if more:
                # Less than nothing is so long that the clock has wrapped.
                left[kind] = _BURST if more < 0 else min(left[kind] + more, _BURST)
                since[kind] = now
            if not left[kind]:
                self.refused += 1
                raise ProtocolError("DISCOVERYs come too fast")
            left[kind] -= 1

        self.accept = accept

    def verify(self, buf, n):
        """As for every member; a DISCOVERY must be the host's, for whatever session.

        It is the last one verified whose READY is signed.
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
        """The state to answer a verified DISCOVERY with: STATE_ASKS_PROOF or STATE_READY.

        With a right proof this starts the session: whoever calls must then forget all that
        rests on the session before (caches by sequence id, answers kept to send again). Raises
        ProtocolError where DISCOVERYs come too fast to be answered.
        """
        key = u32(self._join_nonce, 0) & 0x3FFFFFFF  # which stay small integers
        count = u32(frame, HEADER_SIZE + length) & 0x3FFFFFFF
        if self._join_nonce == self._session_nonce:
            self.accept(_OF_SESSION, key, count)
            return STATE_READY
        if length == SESSION_NONCE_SIZE + PROOF_SIZE:
            right = proof(self._cluster, self._join_nonce, self.nonce, self._chip_id)
            if same(right, 0, frame, HEADER_SIZE + SESSION_NONCE_SIZE, PROOF_SIZE):
                self._signer.begin(self._cluster.digest(self._join_nonce))
                self.session = self._signer
                self._signer.join = self._join
                self._session_nonce = self._join_nonce
                self.nonce = self._random(CHIP_NONCE_SIZE)
                return STATE_READY
            self.refused += 1
        self.accept(_ANNOUNCEMENT, key, count)
        return STATE_ASKS_PROOF
