"""COBS and the reader of a chip: round trips at every size, resynchronization.

tests/wire/test_framing.py compares with it what the host reads and writes.
"""

from protocol.cobs import encode, encoded_size
from tests.protocol.frame_reader import FrameReader
from tests.protocol.noise import below, random_bytes, sparse_bytes


def on_the_wire(frame):
    dst = bytearray(encoded_size(len(frame)))
    return dst[: encode(frame, dst, len(frame), 0)]


def frames_of(reader, data):
    """What the reader finds in a chunk of the stream."""
    reader.feed(data, len(data))
    found = []
    while True:
        n = reader.next()
        if n == 0:
            return found
        found.append(bytes(reader.frame[:n]))


def test_known_encodings():
    # From the examples in the COBS article in Wikipedia, which follow the paper.
    run = bytes(range(1, 255))
    for frame, wire in (
        (b"\0", b"\1\1\0"),
        (b"\0\0", b"\1\1\1\0"),
        (b"\0\x11\0", b"\1\2\x11\1\0"),
        (b"\x11\x22\0\x33", b"\3\x11\x22\2\x33\0"),
        (b"\x11\x22\x33\x44", b"\5\x11\x22\x33\x44\0"),
        (b"\x11\0\0\0", b"\2\x11\1\1\1\0"),
        (run, b"\xff" + run + b"\0"),
        (b"\0" + run, b"\1\xff" + run + b"\0"),
        (run + b"\xff", b"\xff" + run + b"\2\xff\0"),
        (run[1:] + b"\xff\0", b"\xff" + run[1:] + b"\xff\1\1\0"),
        (run[1:] + b"\0\1", b"\xfe" + run[1:] + b"\2\1\0"),
    ):
        assert on_the_wire(frame) == wire
        assert frames_of(FrameReader(300), wire) == [frame]


def test_every_size_round_trips():
    reader = FrameReader(800)
    for size in range(1, 801):
        for frame in (sparse_bytes(size), b"\0" * size, b"\xff" * size):
            wire = on_the_wire(frame)
            assert len(wire) <= encoded_size(size)
            assert bytes(wire).find(b"\0") == len(wire) - 1
            assert frames_of(reader, wire) == [frame]
    assert reader.dropped == 0


def test_frames_cut_anywhere_are_read():
    frames = [bytes(sparse_bytes(1 + below(600))) for _ in range(60)]
    stream = b"".join(bytes(on_the_wire(frame)) for frame in frames)
    reader = FrameReader(600)
    found = []
    at = 0
    while at < len(stream):
        size = 1 + below(90)
        found += frames_of(reader, stream[at : at + size])
        at += size
    assert found == frames
    assert reader.dropped == 0


def test_reading_goes_on_after_damage():
    for _ in range(200):
        frame = bytes(random_bytes(40))
        wire = on_the_wire(random_bytes(60))
        lost = below(len(wire) - 1)
        damaged = wire[:lost] + wire[lost + 1 :]
        reader = FrameReader(100)
        found = frames_of(reader, damaged + on_the_wire(frame) + on_the_wire(frame))
        assert found[-2:] == [frame, frame]
        assert len(found) + reader.dropped <= 3


def test_a_stray_zero_is_one_dropped_frame_and_silence_is_none():
    wire = on_the_wire(b"\1\2\3\4\5\6")
    reader = FrameReader(100)
    assert frames_of(reader, b"\0\0\0" + wire[:3] + b"\0\0" + wire) == [b"\1\2\3\4\5\6"]
    assert reader.dropped == 1


def test_an_overlong_frame_is_dropped_whole():
    reader = FrameReader(50)
    assert frames_of(reader, on_the_wire(b"\0" * 50)) == [b"\0" * 50]
    assert frames_of(reader, on_the_wire(b"\0" * 51) + on_the_wire(b"next")) == [b"next"]
    assert frames_of(reader, on_the_wire(b"\7" * 51) + on_the_wire(b"next")) == [b"next"]
    assert reader.dropped == 2
    for _ in range(100):
        assert frames_of(reader, b"\7" * 100) == []
    assert frames_of(reader, b"\0" + on_the_wire(b"next")) == [b"next"]
    assert reader.dropped == 3


def test_only_the_given_bytes_are_read():
    wire = on_the_wire(b"one")
    reader = FrameReader(10)
    reader.feed(bytes(wire) + bytes(on_the_wire(b"two")), len(wire))
    assert reader.next() == 3 and reader.frame[:3] == b"one"
    assert reader.next() == 0
