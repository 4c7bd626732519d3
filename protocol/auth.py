"""Version 3 frames: a counter against replay and HMAC-SHA256 against forgery.

The trailer is a u32 counter and the first 8 bytes of HMAC-SHA256 (RFC 2104, FIPS 198-1) over
header, payload and counter, under the session key that protocol/session.py establishes for
the whole group. Each sender numbers its own frames and never uses a counter twice under one
key, not even for a retransmission. For each source a receiver keeps the highest counter that it
has accepted, and a window of 64 bits that tells which of the counters up to it it has seen: so
frames that overtake each other are accepted in any order, each of them once.

All members share the key: it keeps outsiders out, but a member could pose as another.
"""

import sys
from array import array
from hashlib import sha256

from protocol.compat import const, micropython, ptr8, ptr32
from protocol.fields import put_u32, same, u32
from protocol.frame import HOST, MAX_CHIP_ID, SRC, ProtocolError

# 8 of 32 bytes: a forged frame passes with probability 2**-64, and 24 more bytes would take a
# tenth of a 250-byte radio frame.
MAC_SIZE = const(8)
# Counters stay below 2**30, which are small integers on a 32-bit MicroPython. At 1,000 frames
# a second they last 12 days; the host begins a new session, between two sequences, when half
# of them are used up.
LAST_COUNTER = const(0x3FFFFFFF)


class Hmac:
    """HMAC-SHA256 under one key; MicroPython has hashlib.sha256 but no hmac module."""

    def __init__(self, key):
        """key: bytes of any length (longer than 64 are hashed first, as RFC 2104 says)."""
        self._inner = bytearray(64)
        self._outer = bytearray(64)
        self.begin(key)

    def begin(self, key):
        """Replaces the key; bytes of any length."""
        if len(key) > 64:
            key = sha256(key).digest()
        for i in range(64):
            octet = key[i] if i < len(key) else 0
            self._inner[i], self._outer[i] = octet ^ 0x36, octet ^ 0x5C

    def digest(self, data):
        """Returns the 32 bytes of HMAC-SHA256 of `data`."""
        inner = sha256(self._inner)
        inner.update(data)
        outer = sha256(self._outer)
        outer.update(inner.digest())
        return outer.digest()

    def append(self, buf, end):
        """Writes the truncated MAC of buf[:end] to buf[end : end + MAC_SIZE]."""
        view = memoryview(buf)
        view[end : end + MAC_SIZE] = memoryview(self.digest(view[:end]))[:MAC_SIZE]

    def ends(self, buf, n):
        """Returns whether the last MAC_SIZE bytes of buf[:n] are the MAC of those before them."""
        end = n - MAC_SIZE
        return same(self.digest(memoryview(buf)[:end]), 0, buf, end, MAC_SIZE) == 1


# A chip with native kernels has its own HMAC: hashlib leaves four objects of garbage a frame.
_native = sys.modules.get("protocol.hmac_pointers")
if _native:
    Hmac = _native.Hmac  # type: ignore


@micropython.viper
def _is_new(highest: ptr32, seen: ptr8, src: int, counter: int) -> int:
    """Marks this counter of source `src` as seen; 1 if it was new and in the window, else 0.

    `highest` holds the highest counter of each source, `seen` 64 bits of each. The bit of a
    counter is the counter modulo 64, so that moving the window clears bits instead of shifting
    them (RFC 6479).
    """
    top = highest[src]
    row = src << 3
    if counter > top:
        clear = top + 1
        if counter - top > 64:
            clear = counter - 63
        while clear <= counter:
            at = (clear >> 3 & 7) + row
            seen[at] = seen[at] & 255 - (1 << (clear & 7))
            clear += 1
        highest[src] = counter
    elif top - counter >= 64:
        return 0
    at = (counter >> 3 & 7) + row
    bit = 1 << (counter & 7)
    if seen[at] & bit:
        return 0
    seen[at] = seen[at] | bit
    return 1


class Signer:
    """Signs one node's frames under a session key, and verifies those of all nodes.

    `forged` counts frames refused for their MAC, `replayed` those refused for their counter.
    `join` is the Hmac of the join key, or None until a session has begun (protocol/session.py).
    """

    def __init__(self, key, chips=MAX_CHIP_ID + 1):
        """chips: how many there are; frames from any source but these and the host are refused."""
        self.forged = 0
        self.replayed = 0
        self.join = None
        self._chips = chips
        # The highest counter seen of each chip and of the host, then the last one that was sent.
        self._highest = array("i", bytes(4 * (chips + 2)))
        self._seen = bytearray(8 * (chips + 1))
        self._mac = Hmac(b"")
        self.begin(key)

    def begin(self, key):
        """Starts over under another key, with all counters and windows cleared."""
        self._mac.begin(key)
        for source in range(len(self._highest)):
            self._highest[source] = -1
        for at in range(len(self._seen)):
            self._seen[at] = 0

    def sign(self, buf, end):
        """Writes the 12-byte trailer at buf[end]; raises ProtocolError if no counter is left."""
        counter = self._highest[-1] + 1
        if counter > LAST_COUNTER:
            raise ProtocolError("session has used up its counters: a new one is needed")
        put_u32(buf, end, counter)
        self._highest[-1] = counter
        self._mac.append(buf, end + 4)

    def verify(self, buf, n):
        """Raises ProtocolError unless buf[:n] is authentic and not a replay.

        buf[:n] must have a version 3 header with a legal source, and its 12-byte trailer.
        """
        if not self._mac.ends(buf, n):
            self.forged += 1
            raise ProtocolError("frame is not authentic")
        counter, source = u32(buf, n - MAC_SIZE - 4), buf[SRC]
        if source == HOST:
            source = self._chips
        elif source >= self._chips:
            raise ProtocolError("frame is of no chip of the cluster")
        if not 0 <= counter <= LAST_COUNTER or not _is_new(
            self._highest, self._seen, source, counter
        ):
            self.replayed += 1
            raise ProtocolError("frame was seen before or is too old")
