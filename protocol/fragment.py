"""Messages larger than a link's frames: fragments, and putting them together again.

A fragment is a whole sealed frame of type FRAGMENT, so it is checked or authenticated by
itself and a gateway relays it like any other. Its header has the message's src, dst and
sequence; its payload is

| offset | field |
| --- | --- |
| 0 | type of the message u8 |
| 1 | index u8, from 0 |
| 2 | total u8: how many fragments, 2 to 255 |
| 3 | length of the message's payload u16 |
| 5 | tag u16: the low half of the CRC-32 of the message's payload |
| 7 | data: the same number of bytes in all fragments but the last, which may have fewer |

Sending a message again fills the holes that the first time left, because its fragments have
the same names. The tag keeps fragments of different messages apart whose names agree (a
sequence number comes round again, a host starts anew) and is checked on the whole.
"""

from protocol.compat import const
from protocol.crc32 import crc32
from protocol.fields import put_u16, same, u16
from protocol.frame import (
    DST,
    HEADER_SIZE,
    MAX_PAYLOAD,
    SEQUENCE,
    SRC,
    TRAILER_SIZE,
    TYPE,
    VERSION,
    ProtocolError,
    seal,
    write_header,
)
from protocol.message_types import FRAGMENT

FRAGMENT_FIELDS = const(7)
MAX_FRAGMENTS = const(255)
MAX_MESSAGE = const(65535)  # bytes of payload
_HELD_SIZE = const(32)  # bytes of a set of fragments
# Bytes of the longest frame that every ESP-NOW takes; with version 2 it may be 1,470.
LEAST_MTU = const(250)

# Offsets into a fragment's frame.
_KIND = const(8)
_INDEX = const(9)
_TOTAL = const(10)
_LENGTH = const(11)
_TAG = const(13)
_DATA = const(15)


def fragment_room(version, mtu):
    """The most bytes of a message that one fragment of at most `mtu` bytes carries."""
    return min(MAX_PAYLOAD, mtu - HEADER_SIZE - TRAILER_SIZE[version]) - FRAGMENT_FIELDS


def fragments(message, length, mtu, frame, signer=None):
    """Yields the length of each fragment's frame, having made it in the buffer `frame`.

    message: a buffer with a header (write_header or seal) and `length` bytes of payload;
    frame: a buffer of at least `mtu` bytes. Raises ValueError if the message fits one
    fragment (send it whole), needs more than 255, or is longer than a message can be.
    """
    version = message[VERSION]
    room = fragment_room(version, mtu)
    if room < 1 or not room < length <= min(room * MAX_FRAGMENTS, MAX_MESSAGE):
        raise ValueError(
            "%d bytes do not make 2 to %d fragments of a %d-byte MTU"
            % (length, MAX_FRAGMENTS, mtu)
        )
    total = (length + room - 1) // room
    source = memoryview(message)[HEADER_SIZE : HEADER_SIZE + length]
    target = memoryview(frame)
    tag = crc32(source, length) & 0xFFFF
    sequence = u16(message, SEQUENCE)
    for index in range(total):
        start = index * room
        count = min(room, length - start)
        frame[_KIND] = message[TYPE]
        frame[_INDEX] = index
        frame[_TOTAL] = total
        put_u16(frame, _LENGTH, length)
        put_u16(frame, _TAG, tag)
        target[_DATA : _DATA + count] = source[start : start + count]
        yield seal(
            frame,
            version,
            FRAGMENT,
            message[SRC],
            message[DST],
            sequence,
            FRAGMENT_FIELDS + count,
            signer,
        )


def _room_used(index, total, length, count):
    """The bytes per fragment that a fragment of `count` bytes implies; 0 if impossible."""
    if not (2 <= total <= MAX_FRAGMENTS and index < total and count):
        return 0
    if index < total - 1:
        return count if count * (total - 1) < length <= count * total else 0
    room, rest = divmod(length - count, total - 1)
    return room if rest == 0 and room >= count else 0


class _Slot:
    """A message in the making: its buffer with the header in front, and what has arrived."""

    def __init__(self, capacity):
        self.buffer = bytearray(HEADER_SIZE + capacity)
        self.fields = bytearray(_DATA)  # header and fields of the fragment that began it
        self.room = 0
        self.arrived = 0  # how many have; 0 is a free slot
        self._held = bytearray(_HELD_SIZE)  # bit i: fragment i
        self.touched = 0

    def is_named(self, frame):
        """Whether the frame is a fragment of a message of this src, dst, sequence and type."""
        return (
            self.arrived
            and self.fields[_KIND] == frame[_KIND]
            and same(self.fields, SRC, frame, SRC, 4)
        )

    def agrees(self, frame, room):
        """Whether a frame of this name has the same version, total, length, tag and room."""
        return (
            self.room == room
            and self.fields[VERSION] == frame[VERSION]
            and same(self.fields, _TOTAL, frame, _TOTAL, 5)
        )

    def begin(self, frame, room):
        self.fields[:] = memoryview(frame)[:_DATA]
        self.room = room
        self.arrived = 0
        for i in range(_HELD_SIZE):
            self._held[i] = 0

    def take(self, frame, count):
        """Copies the fragment's data to its place; whether the message is now whole."""
        index = self.fields[_INDEX] = frame[_INDEX]
        start = HEADER_SIZE + index * self.room
        memoryview(self.buffer)[start : start + count] = memoryview(frame)[_DATA : _DATA + count]
        held, bit = self._held, 1 << (index & 7)
        if not held[index >> 3] & bit:
            held[index >> 3] |= bit
            self.arrived += 1
        return self.arrived == frame[_TOTAL]


class Reassembler:
    """Puts messages together from fragments, in fixed memory: slots * (capacity + 8) bytes.

    Fragments may come in any order, more than once, and mixed with those of other messages.
    The unfinished message that waited longest gives way to a new one; `dropped` counts such,
    and those that a different message of the same name replaced. `message` is the message
    finished last: header (with its own type and length) and payload, like an opened frame,
    valid until the next `accept`.
    """

    def __init__(self, slots, capacity):
        """slots: how many messages at once; capacity: the longest payload in bytes."""
        self.message = None
        self.dropped = 0
        self._capacity = capacity
        self._slots = [_Slot(capacity) for _ in range(slots)]
        self._clock = 0

    def accept(self, frame, length):
        """The payload length of the message that this fragment finishes, or 0.

        frame, length: an opened frame of type FRAGMENT and its payload length. Raises
        ProtocolError if its fields contradict each other, if the message is longer than the
        capacity, or if the finished one is not what was sent.
        """
        count = length - FRAGMENT_FIELDS
        if count < 1 or frame[_KIND] == FRAGMENT:
            raise ProtocolError("fragment is empty or nested")
        whole = u16(frame, _LENGTH)
        room = _room_used(frame[_INDEX], frame[_TOTAL], whole, count)
        if room == 0:
            raise ProtocolError("fragment's index, total and lengths contradict each other")
        if whole > self._capacity:
            raise ProtocolError("message in fragments is longer than the capacity")
        slot = self._slot(frame, room)
        if not slot.take(frame, count):
            return 0
        slot.arrived = 0
        return self._finished(slot, whole)

    def _slot(self, frame, room):
        """The slot that this fragment belongs to, a new one if need be."""
        self._clock += 1
        oldest = self._slots[0]
        for slot in self._slots:
            if slot.is_named(frame):
                oldest = slot
                break
            if oldest.arrived and (not slot.arrived or slot.touched < oldest.touched):
                oldest = slot
        if not (oldest.is_named(frame) and oldest.agrees(frame, room)):
            self.dropped += oldest.arrived != 0
            oldest.begin(frame, room)
        oldest.touched = self._clock
        return oldest

    def _finished(self, slot, whole):
        fields = slot.fields
        payload = memoryview(slot.buffer)[HEADER_SIZE:]
        if crc32(payload, whole) & 0xFFFF != u16(fields, _TAG):
            self.dropped += 1
            raise ProtocolError("reassembled message is not what was sent")
        write_header(
            slot.buffer,
            fields[VERSION],
            fields[_KIND],
            fields[SRC],
            fields[DST],
            u16(fields, SEQUENCE),
            whole,
        )
        self.message = slot.buffer
        return whole
