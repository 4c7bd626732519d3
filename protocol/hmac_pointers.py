"""HMAC-SHA256 without allocations, for chips with native kernels; others use protocol/auth.py's.

RFC 2104 and FIPS 180-4. The SHA-256 states after the key's two padded blocks are kept, so that a
frame of 200 bytes takes five blocks in place of seven. Loaded by firmware/kernel_choice.py: the
machine code is proved against this viper twin, which itself is slower than hashlib, written in C.
"""

from array import array

from protocol.compat import const, micropython, ptr8, ptr32, uint

_ROUNDS = const(64)
# The tasks of `authenticate`.
_VERIFY = const(0)
_APPEND = const(1)
_DIGEST = const(2)
_COMPRESS = const(3)


def _fractions(table, degree):
    """Fills table with the first 32 bits of the fractions of the first primes' roots.

    degree: 2 for square roots, 3 for cube roots.
    """
    prime, i = 2, 0
    while i < len(table):
        # Newton's method from above, in integers, for the root of prime * 2**(32 * degree).
        root, lower = 1 << 37, 1 << 36
        while lower < root:
            root = lower
            scaled = (prime << 32 * degree) // root ** (degree - 1)
            lower = (root * (degree - 1) + scaled) // degree
        table[i] = root & 0xFFFFFFFF
        i += 1
        prime += 1
        while any(prime % divisor == 0 for divisor in range(2, prime)):
            prime += 1


# The constants of the 64 rounds; then the digest.
TABLE = array("I", [0] * 72)
_SCHEDULE = array("I", [0] * 16)  # scratch of the viper twin
_FIRST = array("I", [0] * 8)  # the state that every hash begins with
_fractions(memoryview(TABLE)[:_ROUNDS], 3)
_fractions(_FIRST, 2)
del _fractions


@micropython.viper
def _fill(schedule: ptr32, message: ptr8, at: int, end: int, bits: int):
    """Fills schedule [16] with the block of message[:end] that begins at `at`, big-endian.

    Behind the message's end come 0x80 and zeros, and in the first block with room for it its
    length in bits.
    """
    i = 0
    while i < 16:
        word = 0
        stop = at + 4
        while at < stop:
            word = word << 8
            if at < end:
                word = message[at] | word
            elif at == end:
                word = word | 128
            at += 1
        schedule[i] = word
        i += 1
    if at > end + 8:
        schedule[15] = bits


@micropython.viper
def _compress(chain: ptr32, first: int, table: ptr32, schedule: ptr32):
    """Compresses the block in schedule into the state chain[first : first + 8]; the digest at the
    end of the table gets the new state."""
    chain = ptr32(int(chain) + (first << 2))
    a = uint(chain[0])
    b = uint(chain[1])
    c = uint(chain[2])
    d = uint(chain[3])
    e = uint(chain[4])
    f = uint(chain[5])
    g = uint(chain[6])
    h = uint(chain[7])
    i = 0
    while i < 64:
        if i > 15:
            x = uint(schedule[i + 1 & 15])
            y = uint(schedule[i + 14 & 15])
            x = (x >> 7 | x << 25) ^ (x >> 18 | x << 14) ^ x >> 3
            y = (y >> 17 | y << 15) ^ (y >> 19 | y << 13) ^ y >> 10
            word = schedule[i & 15] + schedule[i + 9 & 15]
            schedule[i & 15] = word + int(x) + int(y)
        x = (e >> 6 | e << 26) ^ (e >> 11 | e << 21) ^ (e >> 25 | e << 7)
        h = h + uint(table[i]) + uint(schedule[i & 15]) + x + ((f ^ g) & e ^ g)
        x = (a >> 2 | a << 30) ^ (a >> 13 | a << 19) ^ (a >> 22 | a << 10)
        y = h + x + ((a ^ b) & (b ^ c) ^ b)
        d = d + h
        h = g
        g = f
        f = e
        e = d
        d = c
        c = b
        b = a
        a = y
        i += 1
    digest = ptr32(int(table) + 256)
    digest[0] = chain[0] + int(a)
    digest[1] = chain[1] + int(b)
    digest[2] = chain[2] + int(c)
    digest[3] = chain[3] + int(d)
    digest[4] = chain[4] + int(e)
    digest[5] = chain[5] + int(f)
    digest[6] = chain[6] + int(g)
    digest[7] = chain[7] + int(h)


@micropython.viper
def authenticate(states, table, schedule, frame, n: int, task: int) -> int:
    """Computes the HMAC of frame[:n], big-endian, into the digest at the end of the table.

    states [16]: SHA-256 states after the key's inner and outer block; schedule [16]: scratch.

    task: 0 compares the first 8 bytes with frame[n : n + 8], in constant time, and returns 1 where
    they are equal, else 0; 1 writes them there; 2 only computes the digest; 3 computes no HMAC but
    the SHA-256 state, in words, after states [8] and the 64 bytes of frame.
    """
    digest = ptr32(int(ptr32(table)) + 256)
    chain = states
    message = frame
    first = 0
    at = 0
    end = n
    bits = n + 64 << 3
    is_outer = 0
    while True:
        _fill(schedule, message, at, end, bits)
        _compress(chain, first, table, schedule)
        at += 64
        if task == 3:
            return 1
        chain = table
        first = 64
        if at > end + 8:
            i = 0
            while i < 8:
                x = uint(digest[i])
                y = (x >> 8 | x << 24) & uint(0 - 0xFF0100) | (x >> 24 | x << 8) & 0xFF00FF
                digest[i] = int(y)
                i += 1
            if is_outer:
                break
            is_outer = 1
            chain = states
            message = table
            first = 8
            at = 256
            end = 288
            bits = 768
    mac = ptr8(int(digest))
    octets = ptr8(int(ptr8(frame)) + n)
    differing = 0
    i = 0
    while i < 8:
        if task == 1:
            octets[i] = mac[i]
        elif task == 0:
            differing = mac[i] ^ octets[i] | differing
        i += 1
    if differing:
        return 0
    return 1


class Hmac:
    """HMAC-SHA256 under one key, with the methods of protocol.auth.Hmac."""

    def __init__(self, key):
        """key: bytes of any length."""
        self._states = array("I", [0] * 16)
        self.begin(key)

    def begin(self, key):
        """Replaces the key; bytes of any length."""
        if len(key) > 64:
            from hashlib import sha256

            key = sha256(key).digest()
        for at, filler in ((0, 0x36), (8, 0x5C)):
            block = bytearray([filler] * 64)
            for i in range(len(key)):
                block[i] ^= key[i]
            authenticate(_FIRST, TABLE, _SCHEDULE, block, 64, _COMPRESS)
            self._states[at : at + 8] = TABLE[_ROUNDS:]

    def digest(self, data):
        """Returns the 32 bytes of HMAC-SHA256 of `data`."""
        authenticate(self._states, TABLE, _SCHEDULE, bytearray(data), len(data), _DIGEST)
        return bytes(TABLE[_ROUNDS:])

    def append(self, buf, end):
        """Writes the truncated MAC of buf[:end] to buf[end : end + 8]."""
        authenticate(self._states, TABLE, _SCHEDULE, buf, end, _APPEND)

    def ends(self, buf, n):
        """Returns whether the last 8 bytes of buf[:n] are the truncated MAC of those before."""
        return authenticate(self._states, TABLE, _SCHEDULE, buf, n - 8, _VERIFY) == 1
