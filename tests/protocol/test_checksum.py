"""Check values and buffer fields."""

from protocol.checksum import crc32, crc32_trailer, sum8
from protocol.fields import put_u16, put_u32, same, u16, u32
from tests.protocol.noise import flipped, random_bytes


def test_sum8():
    assert sum8(b"", 0) == 0
    assert sum8(b"\xff\xff\3", 3) == 1
    assert sum8(b"\xff\xff\3", 2) == 254
    data = random_bytes(520)
    for n in range(520):
        assert sum8(data, n) == sum(data[:n]) & 255


def test_crc32_is_the_published_one():
    # The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
    assert crc32(b"123456789", 9) == 0xCBF43926
    assert crc32(b"1234567890", 9) == 0xCBF43926
    assert crc32(b"", 0) == 0


def test_a_crc32_trailer_is_right_only_behind_its_own_data():
    for size in range(0, 60):
        data = random_bytes(size) + bytearray(4)
        put_u32(data, size, crc32(data, size))
        copy = data[:size] + bytearray(4)
        assert crc32_trailer(copy, size, 0) == 0
        assert copy == data
        assert crc32_trailer(data, size + 4, 1) == 1
        assert crc32_trailer(flipped(data, (size * 13) % (8 * size + 32)), size + 4, 1) == 0


def test_a_crc32_trailer_of_data_at_any_address():
    buf = random_bytes(50)
    for start in range(5):
        for end in range(start, 44):
            data = memoryview(buf)[start:]
            crc32_trailer(data, end - start, 0)
            assert u32(buf, end) & 0xFFFFFFFF == crc32(data, end - start)
            assert crc32_trailer(data, end - start + 4, 1) == 1


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
