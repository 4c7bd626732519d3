"""HMAC-SHA256 by the kernel, as chips with native kernels have it. Under MicroPython alone."""

import gc
import os
from hashlib import sha256

import protocol.hmac_pointers  # before auth, as a chip loads it
from protocol import auth
from protocol.auth import Signer
from protocol.frame import HOST, ProtocolError, seal, verify_frame
from tests.dual import raises

LONGEST = 600
FRAMES = 100


def expected(key, data):
    """HMAC as RFC 2104 writes it, by hashlib."""
    padded = key + bytes(64 - len(key))
    inner = sha256(bytes(octet ^ 0x36 for octet in padded))
    inner.update(data)
    outer = sha256(bytes(octet ^ 0x5C for octet in padded))
    outer.update(inner.digest())
    return outer.digest()


def test_constants_are_those_of_fips_180_4():
    assert protocol.hmac_pointers.TABLE[0] == 0x428A2F98
    assert protocol.hmac_pointers.TABLE[1] == 0x71374491
    assert protocol.hmac_pointers.TABLE[63] == 0xC67178F2


def test_it_is_what_signs_where_it_is_loaded():
    assert auth.Hmac is protocol.hmac_pointers.Hmac


def test_every_length_and_keys_of_all_kinds():
    for length in range(LONGEST + 1):
        key, data = os.urandom(length % 65), os.urandom(length)
        mac = auth.Hmac(key)
        right = expected(key, data)
        assert mac.digest(data) == right
        frame = bytearray(data + bytes(8))
        mac.append(frame, length)
        assert frame == data + right[:8]
        assert mac.ends(frame, length + 8)
        frame[length % (length + 8)] ^= 1
        assert not mac.ends(frame, length + 8)


def test_long_keys_are_hashed_first():
    key = os.urandom(131)
    assert auth.Hmac(key).digest(b"data") == expected(sha256(key).digest(), b"data")


def test_signing_and_verifying_allocate_nothing():
    sender, receiver = Signer(b"key"), Signer(b"key")
    frame = bytearray(300)

    def there_and_back():
        verify_frame(frame, seal(frame, 3, 0x14, HOST, 1, 9, 200, sender), receiver)

    there_and_back()
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(FRAMES):
        there_and_back()
    after = gc.mem_alloc()
    gc.enable()
    assert after == before


def test_forged_and_replayed_frames_are_refused_and_counted():
    receiver = Signer(b"key")
    frame = bytearray(300)
    n = seal(frame, 3, 0x14, HOST, 1, 9, 200, Signer(b"key"))
    frame[20] ^= 4
    assert raises(ProtocolError, verify_frame, frame, n, receiver)
    frame[20] ^= 4
    verify_frame(frame, n, receiver)
    assert raises(ProtocolError, verify_frame, frame, n, receiver)
    assert (receiver.forged, receiver.replayed) == (1, 1)
