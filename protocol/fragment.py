"""Splits messages larger than a link's frames into fragments, and reassembles them.

A fragment is a complete frame of type FRAGMENT, so it is verified by itself, and a gateway relays
it like any other. Its header has the message's src, dst and sequence; its payload is

| offset | field |
| --- | --- |
| 0 | type of the message u8 |
| 1 | index u8, from 0 |
| 2 | total u8: the number of fragments, 2 to 255 |
| 3 | length of the message's payload u16 |
| 5 | tag u16: the low half of the CRC-32 of the message's payload |
| 7 | data: the same number of bytes in all fragments but the last, which may have fewer |

A retransmission of a message fills the holes that the first transmission left, because src, dst,
sequence, type and index of its fragments are the same. Where those of another message agree too
(the sequence number has wrapped, or the host has restarted) the tag tells them apart; the whole
message is checked against it.
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
_HELD_SIZE = const(32)  # bytes of a bit set of fragments
# Bytes of the longest frame that every ESP-NOW takes; version 2 of ESP-NOW takes 1,470.
LEAST_MTU = const(250)

# Offsets into a fragment's frame.
_KIND = const(8)
_INDEX = const(9)
_TOTAL = const(10)
_LENGTH = const(11)
_TAG = const(13)
_DATA = const(15)


def fragment_room(version, mtu):
    """Returns the most bytes of a message that one fragment of at most `mtu` bytes carries."""
    return min(MAX_PAYLOAD, mtu - HEADER_SIZE - TRAILER_SIZE[version]) - FRAGMENT_FIELDS


def fragments(message, length, mtu, frame, signer=None):
    """Builds the fragments of a message one by one in the buffer `frame`; yields their lengths.

    message: a buffer with a header (write_header or seal) and `length` bytes of payload;
    frame: a buffer of at least `mtu` bytes. Raises ValueError if the message fits into one
    fragment (send it whole), needs more than 255, or is longer than MAX_MESSAGE.
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
    """Returns the data bytes of each fragment but the last, as one with `count` bytes implies.

    Returns 0 if no message of this total and length can have such a fragment.
    """
    if not (2 <= total <= MAX_FRAGMENTS and index < total and count):
        return 0
    if index < total - 1:
        return count if count * (total - 1) < length <= count * total else 0
    room, rest = divmod(length - count, total - 1)
    return room if rest == 0 and room >= count else 0


class _Slot:
    """A message that is being reassembled: its buffer, header included, and what has arrived."""

    def __init__(self, capacity):
        self.buffer = bytearray(HEADER_SIZE + capacity)
        self.fields = bytearray(_DATA)  # header and fields of its first fragment to arrive
        self.room = 0
        self.arrived = 0  # how many fragments have; 0 for a free slot
        self._held = bytearray(_HELD_SIZE)  # bit i: fragment i
        self.touched = 0

    def is_named(self, frame):
        """Returns whether the fragment `frame` has this message's src, dst, sequence and type."""
        return (
            self.arrived
            and self.fields[_KIND] == frame[_KIND]
            and same(self.fields, SRC, frame, SRC, 4)
        )

    def agrees(self, frame, room):
        """Returns whether the fragment has this message's version, total, length, tag and room."""
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
        """Copies the fragment's data to their place; returns whether the message is now whole."""
        index = self.fields[_INDEX] = frame[_INDEX]
        start = HEADER_SIZE + index * self.room
        memoryview(self.buffer)[start : start + count] = memoryview(frame)[_DATA : _DATA + count]
        held, bit = self._held, 1 << (index & 7)
        if not held[index >> 3] & bit:
            held[index >> 3] |= bit
            self.arrived += 1
        return self.arrived == frame[_TOTAL]


class Reassembler:
    """Reassembles messages from fragments, in fixed memory: slots * (capacity + 8) bytes.

    Fragments may come in any order, more than once, and mixed with those of other messages.
    Where no slot is free, the oldest unfinished message is dropped for a new one. `dropped` counts
    these messages, and those replaced by another message with the same src, dst, sequence and
    type. `message` holds the message finished last: header (with its own type and length) and
    payload, as in a verified frame. It is valid until the next `accept`.
    """

    def __init__(self, slots, capacity):
        """slots: messages reassembled at a time; capacity: bytes of the longest payload."""
        self.message = None
        self.dropped = 0
        self._capacity = capacity
        self._slots = [_Slot(capacity) for _ in range(slots)]
        self._clock = 0

    def accept(self, frame, length):
        """Takes in a fragment; returns the payload length of the message it completes, or 0.

        frame, length: a verified frame of type FRAGMENT, and its payload length. Raises
        ProtocolError if its fields contradict each other, if the message is longer than the
        capacity, or if the completed message does not match its tag.
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
        """Returns the slot of this fragment's message, beginning one if there is none."""
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
