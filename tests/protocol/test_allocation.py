"""What the hot path takes from the heap: little and only for a moment, or nothing at all."""

import gc
import sys
from array import array

from host.wire.payloads import encode_compute
from host.wire.requests import Outstanding
from protocol import message_types
from protocol.auth import Signer
from protocol.bitpack import bits_needed, pack
from protocol.bitunpack import add_unpacked, unpack
from protocol.cobs import encode
from protocol.fields import put_u16, u16
from protocol.fragment import Reassembler, fragments
from protocol.frame import HEADER_SIZE, HOST, VERSION, seal, verify_frame, write_header
from protocol.messages import begin_answer, begin_compute, is_answered, make_answer_buffer
from tests.protocol.frame_reader import FrameReader

ROUNDS = 20
PAYLOAD = encode_compute(1, 2, 1, 3, 1, bytes(128))
LENGTH = len(PAYLOAD)


def allocated(function):
    """What a call takes from the heap, averaged: bytes under MicroPython, garbage included;
    under CPython blocks that are not given back."""
    function()
    gc.collect()
    gc.disable()
    before = in_use()
    for _ in range(ROUNDS):
        function()
    after = in_use()
    gc.enable()
    return (after - before) / ROUNDS


def in_use():
    return gc.mem_alloc() if hasattr(gc, "mem_alloc") else sys.getallocatedblocks()


def compute_frame():
    frame = bytearray(300)
    frame[HEADER_SIZE : HEADER_SIZE + LENGTH] = PAYLOAD
    return frame


def test_sealing_and_opening_take_some_transient_bytes():
    for version, least in ((2, 1), (3, 1024)):
        frame = compute_frame()
        signer, receiver = (Signer(b"key"), Signer(b"key")) if version == 3 else (None, None)

        def there(frame=frame, version=version, signer=signer):
            return seal(frame, version, message_types.COMPUTE, HOST, 3, 7, LENGTH, signer)

        def there_and_back(frame=frame, there=there, receiver=receiver):
            verify_frame(frame, there(), receiver)

        assert allocated(there_and_back) < least


def test_framing_takes_nothing():
    frame = compute_frame()
    n = seal(frame, 2, message_types.COMPUTE, HOST, 3, 7, LENGTH)
    wire = bytearray(400)
    reader = FrameReader(300)

    def there_and_back():
        reader.feed(wire, encode(frame, wire, n, 0))
        assert reader.next() == n
        assert reader.next() == 0

    assert allocated(there_and_back) < 1


def test_reading_a_request_and_packing_its_answer_take_nothing():
    frame = compute_frame()
    answer = bytearray(300)
    fields = array("i", [0] * 6)
    sums, total = array("i", range(-3200, 3200, 100)), array("i", [0] * 64)

    def answered():
        assert begin_compute(frame, answer, LENGTH, 0xBEEF, fields) == 64
        bits = bits_needed(sums, 64)
        pack(answer, 18, sums, 64, bits)
        unpack(answer, 18, sums, 64, bits)
        add_unpacked(answer, 18, total, 0, 64, bits)
        put_u16(answer, 6, u16(answer, 4))

    assert allocated(answered) < 1


def test_matching_takes_nothing():
    request = compute_frame()
    seal(request, 2, message_types.COMPUTE, HOST, 3, 7, LENGTH)
    answer = make_answer_buffer(200)
    chips = (0, 1, 2)
    asked = Outstanding()

    def matched():
        number = asked.begin(chips)
        for chip in chips:
            asked.accept(chip, number)
        if not is_answered(request, answer):
            begin_answer(request, answer, 0xBEEF)
            answer[VERSION] = 2

    assert allocated(matched) < 64


def test_fragments_take_some_transient_bytes_each():
    message = bytearray(HEADER_SIZE + 700)
    write_header(message, 2, message_types.PARTIAL, 3, HOST, 7, 700)
    frame = bytearray(250)
    reassembler = Reassembler(2, 700)

    def there_and_back():
        for n in fragments(message, 700, 250, frame):
            reassembler.accept(frame, verify_frame(frame, n))

    assert allocated(there_and_back) < 4 * 512
