"""HMAC-SHA256 without an allocation, for chips with native kernels (protocol/auth.py has others').

RFC 2104 and FIPS 180-4. What SHA-256 makes of a key's two padded blocks is kept, so that a frame
of 200 bytes takes five blocks in place of seven. Loaded by firmware/kernel_choice.py: the viper
twin is there to prove the machine code by, for it is slower than hashlib, which is C.
"""

from array import array

from protocol.compat import const, micropython, ptr8, ptr32, uint

_ROUNDS = const(64)
# What `authenticate` is to do.
_VERIFY = const(0)
_APPEND = const(1)
_DIGEST = const(2)
_COMPRESS = const(3)


def _fractions(table, degree):
    """table = the first 32 bits of the fractions of the roots of the first primes."""
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
_SCHEDULE = array("I", [0] * 16)  # the twin's
_FIRST = array("I", [0] * 8)  # what all hashes begin with
_fractions(memoryview(TABLE)[:_ROUNDS], 3)
_fractions(_FIRST, 2)
del _fractions


@micropython.viper
def _fill(schedule: ptr32, message: ptr8, at: int, end: int, bits: int):
    """schedule [16] = the 64 bytes of message[:end] from `at` on, big-endian; behind its end 0x80
    and zeros, and in the block that has room for it how many bits there are."""
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
    """The digest of the table = what the block in schedule makes of chain[first : first + 8]."""
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
    """Makes the HMAC of frame[:n] in the digest of the table, big-endian.

    states [16]: what the key's inner and outer block give; schedule [16]: scratch. task: 0 to
    compare the first 8 bytes with frame[n : n + 8], in a time that tells nothing: 1 where they
    are equal, else 0; 1 to write them there; 2 for the digest alone; 3 for no HMAC, but what
    SHA-256 makes of states [8] and 64 bytes, in words.
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
    """As protocol.auth's."""

    def __init__(self, key):
        """key: bytes of any length."""
        self._states = array("I", [0] * 16)
        self.begin(key)

    def begin(self, key):
        """Takes another key."""
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
        """The 32 bytes of HMAC-SHA256 of `data`."""
        authenticate(self._states, TABLE, _SCHEDULE, bytearray(data), len(data), _DIGEST)
        return bytes(TABLE[_ROUNDS:])

    def append(self, buf, end):
        """Writes at buf[end] the truncated MAC of buf[:end]."""
        authenticate(self._states, TABLE, _SCHEDULE, buf, end, _APPEND)

    def ends(self, buf, n):
        """Whether buf[:n] ends in the truncated MAC of what is before it."""
        return authenticate(self._states, TABLE, _SCHEDULE, buf, n - 8, _VERIFY) == 1
