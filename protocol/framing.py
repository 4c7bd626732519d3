"""Frames on a byte stream (UART, USB): COBS, each frame ended by 0x00.

Consistent Overhead Byte Stuffing (Cheshire and Baker, IEEE/ACM Transactions on Networking,
1999) replaces every 0x00 by the distance to the next, at a cost of one byte in 254. So 0x00
occurs only between frames, and a reader that lost its place finds it again at the next one.
"""

from array import array

from protocol.compat import const, micropython, ptr8, ptr32

# Indices of the reader's state between calls.
_POSITION = const(0)  # next byte of the fed data
_LEFT = const(1)  # data bytes still to come in the current COBS block
_ZERO = const(2)  # 1: a zero is due before the next block, if there is one
_LENGTH = const(3)  # bytes decoded so far, or -1 in a frame that is being discarded


def encoded_size(n):
    """The most bytes that a frame of n bytes takes on the stream, its end included."""
    return n + n // 254 + 2


@micropython.viper
def encoded(src: ptr8, dst: ptr8, n: int, at: int) -> int:
    """Writes the first n bytes of src to dst[at] and on, in COBS with the ending 0x00; bytes
    written.

    dst must have room for encoded_size(n) bytes from there.
    """
    begin = at
    i = 0
    ahead = at + 1  # src[i] goes to dst[i + ahead]: the code byte of each full block moves it on
    while True:
        # A block ends with a zero, which its code byte stands for, or is full.
        end = i + 254
        if end > n:
            end = n
        while i < end:
            byte = src[i]
            dst[i + ahead] = byte
            i += 1
            if byte == 0:
                dst[at] = i + ahead - 1 - at
                at = i + ahead - 1
                end = i + 254
                if end > n:
                    end = n
        dst[at] = i + ahead - at
        if i == n:
            dst[i + ahead] = 0
            return i + ahead + 1 - begin
        at = i + ahead
        ahead += 1


@micropython.viper
def _decoded(data: ptr8, frame: ptr8, state: ptr32, n: int, capacity: int) -> int:
    """Decodes on from the state; a frame's length at its end, -1 for a bad one, 0 at data's."""
    i = state[_POSITION]
    left = state[_LEFT]
    length = state[_LENGTH]
    while i < n:
        # What the data have of the current block.
        end = i + left
        if end > n:
            end = n
        left -= end - i
        back = length - i  # frame[i + back] gets data[i]
        while i < end:
            byte = data[i]
            if byte == 0:
                break
            frame[i + back] = byte
            i += 1
        left += end - i
        length = i + back
        if i == n:
            break
        byte = data[i]
        i += 1
        if byte == 0:
            zero = state[_ZERO]
            state[_POSITION] = i
            state[_LEFT] = 0
            state[_ZERO] = 0
            state[_LENGTH] = 0
            if left == 0 and length > 0:
                return length
            if left or length or zero:
                return -1
            length = 0
        elif length >= 0:
            left = byte - 1
            if length + state[_ZERO] + left > capacity:
                length = -1
                left = 0
            elif state[_ZERO]:
                frame[length] = 0
                length += 1
            state[_ZERO] = 1
            if byte == 255:
                state[_ZERO] = 0
    state[_POSITION] = i
    state[_LEFT] = left
    state[_LENGTH] = length
    return 0


class FrameReader:
    """Takes frames out of a byte stream, in the memory of one frame.

    After each `feed`, call `next` until it returns 0; `is_fed` tells if it has not yet. A frame
    that is damaged (a 0x00 within a block) or longer than `capacity` is skipped and counted in
    `dropped`; reading goes on after the next 0x00. Empty frames are silence: extra 0x00 bytes may
    be sent to flush noise.
    """

    def __init__(self, capacity):
        """capacity: the longest frame in bytes."""
        self.frame = bytearray(capacity)
        self.dropped = 0
        self.is_fed = False
        self._capacity = capacity
        self._data = b""
        self._n = 0
        self._state = array("i", [0, 0, 0, 0])

    def feed(self, data, n):
        """Hands over the first n bytes of `data`, which stays untouched until `next` is 0.

        Raises ValueError when bytes fed before have not been read out.
        """
        if self.is_fed:
            raise ValueError("fed again before next() returned 0")
        self.is_fed = True
        self._state[_POSITION] = 0
        self._data = data
        self._n = n

    def next(self):
        """The length of the next whole frame, which is in `frame` until the next call, or 0."""
        while True:
            length = _decoded(self._data, self.frame, self._state, self._n, self._capacity)
            if length == 0:
                self.is_fed = False
            if length >= 0:
                return length
            self.dropped += 1
