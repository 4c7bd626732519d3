"""The serial link: frames out of a stream of bytes, and into one."""

import random

from firmware.links.uart import UartLink
from protocol.cobs import encode, encoded_size
from tests.dual import raises
from tests.protocol.frame_reader import FrameReader
from tests.protocol.noise import below, random_bytes, sparse_bytes

LONGEST = 300


class FakeUart:
    """machine.UART with timeout 0: gives what has arrived, at most a piece of `most` bytes."""

    def __init__(self, most=256):
        self.received = b""
        self.written = b""
        self._most = most

    def readinto(self, buffer):
        count = min(len(buffer), len(self.received), self._most)
        if count == 0:
            return None
        buffer[:count] = self.received[:count]
        self.received = self.received[count:]
        return count

    def write(self, data, count):
        self.written += bytes(data[:count])
        return count


def stream(frame):
    """The bytes of a frame on the line."""
    out = bytearray(encoded_size(len(frame)))
    return bytes(out[: encode(frame, out, len(frame), 0)])


def link_of(uart):
    return UartLink(uart, LONGEST, LONGEST)


def received(link):
    """All frames that have come in."""
    frames = []
    length = link.receive()
    while length:
        frames.append(bytes(link.frame[:length]))
        length = link.receive()
    return frames


def test_frames_come_out_one_at_a_time():
    random.seed(1)
    for most in (1, 7, 256):
        uart = FakeUart(most)
        link = link_of(uart)
        frames = [bytes(sparse_bytes(1 + below(LONGEST))) for _ in range(20)]
        uart.received = b"".join(stream(frame) for frame in frames)
        assert received(link) == frames
        assert link.dropped == 0


def test_a_frame_waits_for_its_end():
    uart = FakeUart()
    link = link_of(uart)
    frame = bytes(random_bytes(100))
    whole = stream(frame)
    assert link.receive() == 0
    uart.received = whole[:60]
    assert link.receive() == 0
    uart.received = whole[60:]
    assert received(link) == [frame]


def test_what_was_read_before_a_line_failed_is_not_read_again():
    uart = FakeUart()
    readinto, fails = uart.readinto, []

    def failing(buffer):
        if fails and not uart.received:
            fails.pop()
            raise OSError(5)
        return readinto(buffer)

    uart.readinto = failing
    link = link_of(uart)
    uart.received = stream(b"one-one") + stream(b"two-two")
    assert link.receive() == 7 and link.receive() == 7
    fails.append(1)
    uart.received = stream(b"three")[:4]  # shorter than what was read before it
    raises(OSError, link.receive)
    uart.received = stream(b"three")[4:]
    assert received(link) == [b"three"]
    assert link.dropped == 0


def test_noise_and_frames_that_are_too_long_are_skipped_and_counted():
    uart = FakeUart()
    link = link_of(uart)
    frame = bytes(random_bytes(50))
    too_long = stream(bytes(random_bytes(LONGEST + 1)))
    uart.received = b"boot: hello\r\n\0" + stream(frame) + too_long + b"\0\0" + stream(frame)
    assert received(link) == [frame, frame]
    assert link.dropped == 2


def test_what_is_sent_is_one_frame_on_the_line():
    random.seed(2)
    uart = FakeUart()
    link = link_of(uart)
    buffer = bytearray(LONGEST + 50)
    for length in (1, 20, 254, 255, LONGEST):
        frame = bytes(sparse_bytes(length))
        buffer[:length] = frame
        uart.written = b""
        link.send(buffer, length)
        assert uart.written == stream(frame)
        reader = FrameReader(LONGEST)
        reader.feed(uart.written, len(uart.written))
        assert reader.next() == length and bytes(reader.frame[:length]) == frame


def test_queued_frames_are_written_at_once_in_order():
    random.seed(3)
    uart = FakeUart()
    writes = []
    uart.write = lambda data, count: writes.append(bytes(data[:count]))
    link = UartLink(uart, LONGEST, LONGEST, 3)
    frames = [bytes(sparse_bytes(1 + below(LONGEST))) for _ in range(4)]
    for frame in frames[:2]:
        link.queue(frame, len(frame))
    assert writes == []
    link.send(frames[2], len(frames[2]))
    assert writes == [b"".join(stream(frame) for frame in frames[:3])]
    link.flush()
    assert len(writes) == 1
    link.queue(frames[3], len(frames[3]))
    link.flush()
    assert writes[1:] == [stream(frames[3])]


def test_frames_that_find_no_room_in_the_queue_are_written_before_it():
    random.seed(4)
    uart = FakeUart()
    link = UartLink(uart, LONGEST, LONGEST, 2)
    frames = [bytes(sparse_bytes(LONGEST - below(20))) for _ in range(9)]
    uart.written = b""
    for frame in frames:
        link.queue(frame, len(frame))
    assert uart.written == b"".join(stream(frame) for frame in frames[:8])
    link.flush()
    assert uart.written == b"".join(stream(frame) for frame in frames)


def test_a_frame_that_is_longer_than_the_buffer_is_dropped_and_counted():
    uart = FakeUart()
    link = link_of(uart)
    frame = bytes(random_bytes(40))
    link.queue(frame, len(frame))
    link.queue(bytes(LONGEST + 10), LONGEST + 10)
    link.send(frame, len(frame))
    assert uart.written == 2 * stream(frame)
    assert link.dropped == 1
