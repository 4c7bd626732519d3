"""READY, ERROR and STATISTICS, as a chip makes and the host reads them."""

from binascii import hexlify

from host.wire import reports as c
from protocol import messages as r
from protocol.frame import ProtocolError
from tests.dual import raises

READY = c.Ready(
    0xBEEF, 1, b"chipnonc", b"modelhsh", b"sharddig",
    2, 35, 103, 256, 60768, 90000, 3000000000, 1470, "1.0 ü", "native", "",
)  # fmt: skip


def test_ready():
    payload = r.encode_ready(*READY[:-3], "\0".join(READY[-3:-1]))
    assert hexlify(payload).decode() == (
        "efbe01" + "636869706e6f6e63" + "6d6f64656c687368" + "7368617264646967"
        "02230067000001"
        "60ed0000" + "905f0100" + "005ed0b2" + "be05" + "312e3020c3bc" + "006e6174697665"
    )
    assert c.decode_ready(payload) == READY
    for n in range(48):
        raises(ProtocolError, c.decode_ready, payload[:n])
    assert c.decode_ready(payload[:48])[-3:] == ("", "", "")
    assert c.decode_ready(payload[:54])[-3:] == ("1.0 ü", "", "")
    assert c.describe_mapping(READY) == ""
    ready = c.decode_ready(payload + b"\0mapped")
    assert ready[-3:] == ("1.0 ü", "native", "mapped")
    assert c.describe_mapping(ready) == ", weights: flash, mapped"
    raises(ProtocolError, c.decode_ready, payload[:53])
    raises(ProtocolError, c.decode_ready, payload[:2] + b"\2" + payload[3:])


def test_a_long_text_is_cut_to_what_a_chip_has_room_for():
    """224 bytes: CONTROL_PAYLOAD of firmware/outbox.py."""
    payload = r.encode_ready(*READY[:-3], "why " * 99)
    assert len(payload) == 224 and c.decode_ready(payload)[-3] == "why " * 44


def test_error():
    payload = r.encode_error(r.NEED_KV, 3, 456, "fünf")
    assert hexlify(payload).decode() == "0103c80166c3bc6e66"
    assert tuple(c.decode_error(payload)) == (r.NEED_KV, 3, 456, "fünf")
    for n in range(4):
        raises(ProtocolError, c.decode_error, payload[:n])
    raises(ProtocolError, c.decode_error, payload[:6])
    assert (c.error_name(1), c.error_name(2), c.error_name(3)) == (
        "NEED_KV",
        "BAD_REQUEST",
        "FAULT",
    )
    assert c.error_name(77) == "code 77"


def test_error_text_is_cut_between_characters():
    for lead in range(5):
        for letter in ("a", "ü", "€", "😀"):
            text = "x" * lead + letter * 300
            cut = c.decode_error(r.encode_error(r.FAULT, 0, 0, text)).text
            assert text.startswith(cut)
            size = len(cut.encode())
            assert r.MAX_ERROR_TEXT - 4 < size <= r.MAX_ERROR_TEXT
    assert c.decode_error(r.encode_error(r.FAULT, 0, 0, "ü" * 100)).text == "ü" * 100


def test_statistics():
    statistics = c.Statistics(1, 2, 3, 4, 5, 6, 7, 8, 0xFFFFFFFF)
    payload = r.encode_statistics(*statistics)
    assert len(payload) == 36
    assert payload[:8] == b"\1\0\0\0\2\0\0\0"
    assert c.decode_statistics(payload) == statistics
    assert c.decode_statistics(payload).answers_resent == 8
    assert c.decode_statistics(payload).busy_ms == 0xFFFFFFFF
    for n in range(36):
        raises(ProtocolError, c.decode_statistics, payload[:n])
    raises(ProtocolError, c.decode_statistics, payload + b"\0")
