"""Bit packing against a statement of the format in plain integers."""

from array import array

from protocol.bitpack import bits_needed, pack, packed_size
from protocol.bitunpack import add_unpacked, unpack
from tests.protocol.noise import below, random_bytes

LOW = -(1 << 31)
HIGH = (1 << 31) - 1


def random_values(count, bits):
    """`count` random integers that fit a signed field of `bits` bits, its ends among them."""
    values = []
    for _ in range(count):
        value = 0
        for byte in random_bytes(4):
            value = value << 8 | byte
        values.append((value & ((1 << bits) - 1)) - (1 << (bits - 1)))
    values[below(count)] = -(1 << (bits - 1))
    values[below(count)] = (1 << (bits - 1)) - 1
    return values


def stream_of(values, bits):
    """The format in words of one large integer: field i at bit i * bits, little-endian."""
    whole = 0
    for i in range(len(values)):
        whole |= (values[i] & ((1 << bits) - 1)) << (i * bits)
    return whole.to_bytes((len(values) * bits + 7) // 8, "little")


def width(value):
    """The bits of the narrowest two's complement field that holds the value."""
    bits = 1
    while not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        bits += 1
    return bits


def test_bits_needed_at_every_power_of_two():
    values = [0, -1, LOW, HIGH]
    for power in range(31):
        for near in ((1 << power) - 1, 1 << power, (1 << power) + 1):
            values += [near, -near]
    for value in values:
        assert bits_needed(array("i", [value]), 1) == width(value)
        assert bits_needed(array("i", [0, value, -1]), 3) == width(value)
        assert bits_needed(array("i", [0, 0, value]), 2) == 1
    assert bits_needed(array("i", []), 0) == 1


def test_every_width_count_and_offset():
    for bits in range(1, 33):
        for count in (1, 2, 3, 5, 7, 8, 9, 64):
            values = random_values(count, bits)
            source = array("i", values)
            assert bits_needed(source, count) <= bits
            size = packed_size(count, bits)
            at = below(5)
            out = bytearray(b"\xa5" * (at + size + 3))
            assert pack(out, at, source, count, bits) == size
            assert bytes(out[:at]) == b"\xa5" * at
            assert bytes(out[at : at + size]) == stream_of(values, bits)
            assert bytes(out[at + size :]) == b"\xa5" * 3
            back = array("i", [77] * (count + 1))
            assert unpack(out, at, back, count, bits) == size
            assert list(back) == values + [77]


def test_unpacking_any_bytes_gives_values_of_that_width():
    for bits in range(1, 33):
        data = random_bytes(packed_size(20, bits))
        values = array("i", [0] * 20)
        unpack(data, 0, values, 20, bits)
        assert bits_needed(values, 20) <= bits
        again = bytearray(len(data))
        pack(again, 0, values, 20, bits)
        assert stream_of(list(values), bits) == bytes(again)


def test_fields_are_added_where_they_belong():
    for bits in range(1, 33):
        for count in (0, 1, 2, 3, 7, 8, 9, 64):
            values = random_values(count, bits) if count else []
            at, first = below(5), below(4)
            packed = bytearray(at + packed_size(count, bits))
            pack(packed, at, array("i", values), count, bits)
            # Of either sign, and such that no sum leaves 32 bits.
            begin = [LOW - value if value < 0 else HIGH - value for value in values]
            total = array("i", [11] * first + begin + [22])
            add_unpacked(packed, at, total, first, count, bits)
            ends = [LOW if value < 0 else HIGH for value in values]
            assert list(total) == [11] * first + ends + [22]


def test_what_all_contribute_adds_up_in_any_order():
    parts = [random_values(40, bits) for bits in (3, 29, 12, 24)]
    sums = [sum(column) for column in zip(*parts)]
    for order in (parts, parts[::-1]):
        total = array("i", [0] * 40)
        for values in order:
            source = array("i", values)
            bits = bits_needed(source, 40)
            packed = bytearray(packed_size(40, bits))
            pack(packed, 0, source, 40, bits)
            add_unpacked(packed, 0, total, 0, 40, bits)
        assert list(total) == sums
