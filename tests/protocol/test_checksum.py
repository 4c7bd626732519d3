"""Check values and buffer fields."""

from protocol.crc32 import crc32
from protocol.fields import put_u16, put_u32, same, u16, u32
from protocol.frame_check import check_frame, put_crc32
from protocol.frame_faults import FAULTS
from tests.protocol.noise import random_bytes


def test_crc32_is_the_published_one():
    # The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
    assert crc32(b"123456789", 9) == 0xCBF43926
    assert crc32(b"1234567890", 9) == 0xCBF43926
    assert crc32(b"", 0) == 0


def sealed(buf, start, length):
    """A view from buf[start] of a version 2 frame with so many bytes of payload, and its size."""
    frame = memoryview(buf)[start:]
    frame[:8] = bytes((2, 20, 254, 255, 0, 1, length & 255, length >> 8))
    put_crc32(frame, 8 + length)
    return frame, length + 12


def test_a_crc32_is_right_only_behind_its_own_data():
    for length in range(1, 60):
        frame, n = sealed(random_bytes(length + 12), 0, length)
        assert u32(frame, n - 4) & 0xFFFFFFFF == crc32(frame, n - 4)
        assert check_frame(frame, n) == length
        for bit in range(8):  # of a payload and a CRC, which no other check finds
            at = 8 + (length * 13 + bit) % (length + 4)
            frame[at] ^= 1 << bit
            assert FAULTS[-check_frame(frame, n)] == "CRC-32 is wrong"
            frame[at] ^= 1 << bit


def test_a_crc32_of_data_at_any_address():
    buf = random_bytes(80)
    for start in range(5):
        for length in range(60):
            frame, n = sealed(buf, start, length)
            assert u32(buf, start + n - 4) & 0xFFFFFFFF == crc32(frame, n - 4)
            assert check_frame(frame, n) == length


def test_fields_round_trip():
    buf = bytearray(8)
    for value in (0, 1, 255, 256, 0x1234, 65535):
        put_u16(buf, 1, value)
        assert u16(buf, 1) == value
    assert buf[0] == 0 and buf[3] == 0
    for value in (0, 1, 0x12345678, 0x3FFFFFFF, 0xDEADBEEF, 0xFFFFFFFF):
        put_u32(buf, 3, value)
        assert u32(buf, 3) & 0xFFFFFFFF == value
    put_u32(buf, 3, 0x04030201)
    assert bytes(buf[3:7]) == b"\1\2\3\4"


def test_same():
    assert same(b"xabc", 1, b"abcy", 0, 3) == 1
    assert same(b"xabc", 1, b"abd", 0, 3) == 0
    assert same(b"xabc", 1, b"abd", 0, 2) == 1
    assert same(b"a", 0, b"b", 0, 0) == 1
