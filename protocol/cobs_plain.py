"""COBS with indices, for CPython. protocol/cobs.py describes the format.

protocol/cobs_pointers.py is its twin for MicroPython.
"""

# Indices of a reader's state between calls.
_POSITION = 0  # next byte of the fed data
_LEFT = 1  # data bytes still to come in the current COBS block
_ZERO = 2  # 1: a zero is due before the next block, if there is one
_LENGTH = 3  # bytes decoded so far, or -1 in a frame that is being discarded


def encode(src, dst, n, at):
    """Encodes the first n bytes of src into dst[at] and on, with the closing 0x00.

    Returns the number of bytes written. dst must have room for encoded_size(n) bytes from `at`.
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


def decode(data, frame, state, n, capacity):
    """Decodes data[:n] into `frame`, from where `state` says, up to the end of one frame.

    Returns the frame's length, -1 for a malformed frame or one longer than `capacity`, or 0 where
    the data end before the frame does.

    state: int32 [4], by the indices above: the position in the data, bytes still to come in the
    block, whether a zero is due, and bytes of the frame so far, -1 if it is being discarded. The
    next call continues from it.
    """
    i = state[_POSITION]
    left = state[_LEFT]
    length = state[_LENGTH]
    while i < n:
        # The bytes of the current block that the data hold.
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
