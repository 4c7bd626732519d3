"""The REPL's port as a serial line: bytes one at a time, and Ctrl-C where no frame can be."""

import random

from firmware.links import repl as console_module
from firmware.links.repl import Console
from firmware.links.uart import UartLink
from protocol.cobs import encode, encoded_size
from protocol.message import FederationMessage
from protocol.message_types import COMPUTE, DISCOVERY, STATISTICS
from tests.dual import raises
from tests.protocol.noise import below, random_bytes

LONGEST = 250


class Clock:
    """The time module, as far as it is used; `now` is in milliseconds."""

    now = 0

    @staticmethod
    def ticks_ms():
        return Clock.now

    @staticmethod
    def ticks_diff(a, b):
        return a - b


console_module.time = Clock


class Stdin:
    """As on a board: a read waits until the buffer is full, so it may not ask for more."""

    def __init__(self):
        self.waiting = b""

    def readinto(self, buffer):
        assert len(buffer) <= len(self.waiting), "would wait"
        buffer[:] = self.waiting[: len(buffer)]
        self.waiting = self.waiting[len(buffer) :]
        return len(buffer)

    def ipoll(self, timeout):
        assert timeout == 0
        return iter([(self, 1)] if self.waiting else [])


class Stdout:
    def __init__(self):
        self.written = b""

    def write(self, data, count=None):
        self.written += bytes(data[:count])


def opened_console():
    """A Console, its Stdin and its Stdout; nothing has come for a while."""
    stdin, stdout = Stdin(), Stdout()
    Clock.now += 1000
    console = Console(stdin, stdout, stdin)
    Clock.now += 1000
    return console, stdin, stdout


def stream(frame):
    out = bytearray(encoded_size(len(frame)))
    return bytes(out[: encode(frame, out, len(frame), 0)])


def host_frame(version, kind, destination, sequence, payload):
    return FederationMessage(kind, 254, destination, sequence, payload, version).encode()


def test_frames_come_through_whatever_is_in_them():
    random.seed(1)
    console, stdin, _ = opened_console()
    link = UartLink(console, LONGEST, LONGEST)
    frames = [bytes([2]) + bytes(random_bytes(1 + below(LONGEST - 1))) for _ in range(40)]
    frames += [bytes([2] + [3] * 200), bytes([2, 1, 254, 3, 3, 3, 3, 3, 0, 3])]
    for frame in frames:
        stdin.waiting += stream(frame)
        assert link.receive() == len(frame)
        assert bytes(link.frame[: len(frame)]) == frame
        Clock.now += 1


def test_only_what_waits_is_read():
    console, stdin, _ = opened_console()
    buffer = bytearray(16)
    assert not console.any() and console.readinto(buffer) == 0
    stdin.waiting = b"\x05abc"
    assert console.any() and console.readinto(buffer) == 4 and buffer[:4] == b"\x05abc"
    stdin.waiting = bytes(range(5, 40))
    assert console.readinto(buffer) == 16 and len(stdin.waiting) == 19


def test_ctrl_c_between_frames_ends_the_program_and_leaves_what_follows():
    """As people press it, and as mpremote sends it, which then wants the raw REPL."""
    for keys, left in ((b"\x03", b""), (b"\r\x03\r\x01", b"\r\x01"), (b"\r\r\x03\x03", b"\x03")):
        for before in (b"", stream(b"a frame")):
            console, stdin, _ = opened_console()
            stdin.waiting = before + keys
            raises(KeyboardInterrupt, console.readinto, bytearray(64))
            assert stdin.waiting == left


def test_ctrl_c_is_data_within_a_frame():
    console, stdin, _ = opened_console()
    buffer = bytearray(8)
    for pieces in ((b"\x05ab", b"\x03c"), (b"\x05\r", b"\x03ab"), (b"\x03",) * 3):
        stdin.waiting = b"\x04a"
        console.readinto(buffer)
        for piece in pieces:
            Clock.now += 99  # a host that is slow to go on
            stdin.waiting = piece
            assert console.readinto(buffer) == len(piece)
        Clock.now += 1000


def test_after_silence_ctrl_c_ends_what_was_left_of_a_frame():
    console, stdin, _ = opened_console()
    stdin.waiting = b"\x20half a frame"
    console.readinto(bytearray(64))
    Clock.now += 100
    stdin.waiting = b"\r\x03"
    raises(KeyboardInterrupt, console.readinto, bytearray(64))


def test_nothing_that_a_host_sends_begins_as_ctrl_c_does():
    """What the rule rests on: for all payloads that fit and all sequence numbers' zero bytes."""
    for kind in (DISCOVERY, COMPUTE, STATISTICS):
        for destination in (0, 3, 13, 255):
            for sequence in (0, 3, 13, 0x0300, 0x0D00, 0x0303, 0xFFFF):
                for size in (0, 1, 3, 13, 238):
                    frame = host_frame(2, kind, destination, sequence, b"\x01" * size)
                    assert stream(frame)[0] not in (3, 13)


def test_text_that_was_printed_does_not_spoil_the_next_frame():
    console, _, stdout = opened_console()
    link = UartLink(console, LONGEST, LONGEST)
    frame = host_frame(2, DISCOVERY, 0, 7, b"hello")
    stdout.write(b"ESP-NOW stays slow\r\n")
    link.send(bytearray(frame), len(frame))
    other, stdin, _ = opened_console()
    stdin.waiting = stdout.written
    reader = UartLink(other, LONGEST, LONGEST)
    assert reader.receive() == len(frame) and bytes(reader.frame[: len(frame)]) == frame
