"""The wire under CPython: properties over arbitrary input, and long storms of frames."""

import contextlib
import hashlib
import hmac
import sys
import tracemalloc
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.wire.framing import FrameSplitter, encode_frame
from host.wire.session import HostAuthenticator
from protocol.auth import Hmac
from protocol.bitpack import bits_needed, pack, packed_size
from protocol.bitunpack import unpack
from protocol.cobs import encode, encoded_size
from protocol.fragment import Reassembler, fragments
from protocol.frame import HEADER_SIZE, ProtocolError, verify_frame, write_header
from protocol.message import FederationMessage
from protocol.session import ChipAuthenticator
from tests.protocol.frame_reader import FrameReader
from tests.protocol.fuzz import DECODERS, Storm

int32 = st.integers(-(2**31), 2**31 - 1)


@given(st.binary(max_size=300))
def test_decoders_raise_only_protocol_errors(data: bytes) -> None:
    for decoder in [FederationMessage.decode, *DECODERS.values()]:
        with contextlib.suppress(ProtocolError):
            decoder(data)


@given(
    st.integers(0, 255),
    st.integers(0, 254),
    st.integers(0, 255),
    st.integers(0, 65535),
    st.binary(max_size=512),
    st.integers(1, 2),
)
def test_messages_round_trip(kind, src, dst, sequence, payload, version):
    message = FederationMessage(kind, src, dst, sequence, payload, version)
    assert FederationMessage.decode(message.encode()) == message


@given(st.binary(min_size=1, max_size=1200))
def test_both_framings_agree(frame: bytes) -> None:
    wire = bytearray(encoded_size(len(frame)))
    n = encode(frame, wire, len(frame), 0)
    assert bytes(wire[:n]) == encode_frame(frame)
    assert FrameSplitter(1200).frames(bytes(wire[:n])) == [frame]


@given(st.lists(st.binary(max_size=60), max_size=12))
def test_both_readers_agree_on_any_stream(chunks: list[bytes]) -> None:
    reader = FrameReader(40)
    splitter = FrameSplitter(40)
    for chunk in chunks:
        reader.feed(chunk, len(chunk))
        found = []
        while n := reader.next():
            found.append(bytes(reader.frame[:n]))
        assert splitter.frames(chunk) == found
    assert reader.dropped == splitter.dropped


@given(st.lists(int32, min_size=1, max_size=80))
def test_bit_packing_is_what_numpy_reads(values: list[int]) -> None:
    source = array("i", values)
    bits = bits_needed(source, len(values))
    packed = bytearray(packed_size(len(values), bits))
    assert pack(packed, 0, source, len(values), bits) == len(packed)
    stream = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")
    fields = stream[: len(values) * bits].reshape(-1, bits).astype(np.int64)
    weights = 2 ** np.arange(bits, dtype=np.int64)
    weights[-1] = -weights[-1]
    assert (fields @ weights).tolist() == values
    back = array("i", bytes(4 * len(values)))
    unpack(packed, 0, back, len(values), bits)
    assert back == source


@given(st.binary(min_size=240, max_size=2048), st.randoms(use_true_random=False))
def test_fragments_in_any_order_give_the_message(payload, random):
    message = bytearray(HEADER_SIZE) + payload
    write_header(message, 2, 0x13, 1, 254, 9, len(payload))
    frame = bytearray(250)
    frames = [bytes(frame[:n]) for n in fragments(message, len(payload), 250, frame)]
    random.shuffle(frames)
    reassembler = Reassembler(1, 2048)
    lengths = [reassembler.accept(frame, verify_frame(frame, len(frame))) for frame in frames]
    assert lengths == [0] * (len(frames) - 1) + [len(payload)]
    assert bytes(reassembler.message[: len(message)]) == bytes(message)


@given(st.binary(max_size=150), st.binary(max_size=300))
def test_hmac_is_that_of_the_standard_library(key: bytes, data: bytes) -> None:
    assert Hmac(key).digest(data) == hmac.digest(key, data, "sha256")


@given(st.binary(min_size=16, max_size=80), st.integers(0, 253))
def test_session_derivation_is_as_documented(key: bytes, chip_id: int) -> None:
    host = HostAuthenticator(key)
    chip = ChipAuthenticator(key, chip_id)
    nonce = host.announcement()
    proof = hmac.digest(key, b"proof" + nonce + chip.nonce + bytes([chip_id]), "sha256")
    assert host.proof(chip_id, chip.nonce) == nonce + proof[:16]
    session_key = hmac.digest(key, nonce, "sha256")
    frame = FederationMessage(0x14, 254, chip_id, 5, b"work", 3).encode(host)
    mac = hmac.new(session_key, frame[:-8], hashlib.sha256).digest()
    assert frame[-8:] == mac[:8]
    join_key = hmac.digest(key, b"join" + nonce, "sha256")
    frame = FederationMessage(0x01, 254, 255, 5, nonce, 3).encode(host)
    assert frame[-12:] == bytes(4) + hmac.digest(join_key, frame[:-8], "sha256")[:8]


def test_a_storm_leaves_no_memory_behind():
    storm = Storm(2)
    storm.run(3000)
    tracemalloc.start()
    try:
        storm.run(5000)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        storm.run(10000)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 4096
    # Nothing that is read from a frame makes a decoder take more than that frame's size.
    assert peak - before < 16384


@pytest.mark.verify
@pytest.mark.timeout(900)
def test_a_storm_of_a_million_frames():
    storm = Storm(3)
    storm.run(10000)
    before = sys.getallocatedblocks()
    storm.run(1_000_000)
    assert sys.getallocatedblocks() - before < 500
    assert storm.opened > 250_000 and storm.refused > 250_000
    assert storm.decoded > 100_000 and storm.reassembled > 1000
