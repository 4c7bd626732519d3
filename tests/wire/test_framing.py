"""The host's framing: what it writes and reads is what a chip does (protocol/cobs.py)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.wire.framing import FrameSplitter, decode_frame, encode_frame
from protocol.cobs import encoded_size
from tests.protocol.frame_reader import FrameReader
from tests.protocol.noise import below, sparse_bytes
from tests.protocol.test_framing import frames_of, on_the_wire

# Runs around the longest block, zeros, and whatever else.
PARTS = st.sampled_from([b"\0", b"\7" * 253, b"\7" * 254, b"\7" * 255])
FRAMES = st.one_of(
    st.binary(min_size=1, max_size=600),
    st.lists(PARTS, min_size=1, max_size=4).map(b"".join),
)


@given(FRAMES)
def test_frames_are_encoded_as_on_a_chip_and_read_back(frame):
    wire = encode_frame(frame)
    assert wire == on_the_wire(frame) and len(wire) <= encoded_size(len(frame))
    assert decode_frame(wire[:-1]) == frame
    assert FrameSplitter(1100).frames(wire) == [frame]


@given(st.lists(FRAMES, max_size=8), st.data())
def test_frames_cut_anywhere_are_read(frames, data):
    stream = b"".join(map(encode_frame, frames))
    splitter, found = FrameSplitter(1100), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += splitter.frames(stream[:size])
        stream = stream[size:]
    assert found == frames and splitter.dropped == 0


def test_a_stray_zero_is_one_dropped_frame_and_silence_is_none():
    wire = encode_frame(b"\1\2\3\4\5\6")
    splitter = FrameSplitter(100)
    assert splitter.frames(b"\0\0\0" + wire[:3] + b"\0\0" + wire) == [b"\1\2\3\4\5\6"]
    assert splitter.dropped == 1


def test_an_overlong_frame_is_dropped_whole():
    splitter = FrameSplitter(50)
    assert splitter.frames(encode_frame(b"\0" * 50)) == [b"\0" * 50]
    for byte in (b"\0", b"\7"):
        assert splitter.frames(encode_frame(byte * 51) + encode_frame(b"next")) == [b"next"]
    assert splitter.dropped == 2
    for _ in range(100):
        assert splitter.frames(b"\7" * 100) == []
    assert splitter.frames(b"\0" + encode_frame(b"next")) == [b"next"]
    assert splitter.dropped == 3


def test_an_unfinished_overlong_frame_is_not_kept():
    splitter = FrameSplitter(50)
    for _ in range(100):
        splitter.frames(b"\7" * 1000)
        assert len(splitter._rest) <= encoded_size(50) + 1


def test_both_readers_agree_on_noise():
    reader, splitter = FrameReader(64), FrameSplitter(64)
    total = 0
    for _ in range(300):
        noise = bytes(sparse_bytes(below(200)))
        if below(2):
            noise = bytes(byte & 7 for byte in noise)
        found = frames_of(reader, noise)
        assert found == splitter.frames(noise)
        total += len(found)
    assert reader.dropped == splitter.dropped > 0
    assert total > 100


@pytest.mark.parametrize("piece", [b"", b"\1", b"\3a"])
def test_what_is_no_frame_is_none(piece):
    assert decode_frame(piece) is None
