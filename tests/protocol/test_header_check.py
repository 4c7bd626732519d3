"""The check of frames on chips with a key says of version 3 what that of all versions does."""

from protocol import frame_check, header_check
from tests.protocol.noise import random_bytes


def test_both_say_the_same_of_version_3():
    for n in range(60):
        for length in (0, n - 20, n, 2049, 65535):
            frame = random_bytes(n + 8)
            for source in (0, 253, 254, 255):
                frame[0], frame[2] = 3, source
                frame[6], frame[7] = length & 255, length >> 8 & 255
                assert header_check.check_frame(frame, n) == frame_check.check_frame(frame, n)


def test_whole_frames_are_sound():
    for length in (0, 1, 255, 2048):
        frame = bytearray(length + 20)
        frame[0], frame[6], frame[7] = 3, length & 255, length >> 8
        assert header_check.check_frame(frame, length + 20) == length


def test_no_other_version_is():
    frame = bytearray(12)
    for version in (0, 1, 2, 4, 255):
        frame[0] = version
        assert header_check.check_frame(frame, 12) == -1
