"""Collectives: what every member of a group computes together, by broadcast and in lockstep.

Every collective here is one exact sum of int32 vectors. A member contributes values to a range
of the vector, and zeros elsewhere:

| collective | contributes | result |
| --- | --- | --- |
| all-reduce | everyone, the whole vector | the sum |
| all-gather | everyone, a slice of its own | the slices in the members' order |
| broadcast, scatter | the root, the whole vector | the vector; a member's slice of it |
| barrier | everyone, nothing | that everyone was there |

Members contribute to every collective, if only nothing: so nobody is more than one ahead of
anybody else, and two contributions of one's own, the last and the one before, are all that anyone
can still ask for. Nothing is acknowledged: whoever misses a piece asks its owner for it.

CONTRIBUTION: epoch u16, piece u8, of how many u8, first element u16, elements u16, bits u8, then
the elements packed (protocol/bitpack.py). The header's sequence is the collective's number, which
wraps. REPAIR: epoch u16, mask of the pieces that the sender has u32.
"""

from array import array

from protocol.bitpack import add_unpacked, bits_needed, pack, packed_size
from protocol.compat import const, micropython, ptr32
from protocol.fields import put_u16, put_u32, u16, u32
from protocol.frame import BROADCAST, SEQUENCE, SRC, TYPE, ProtocolError
from protocol.kinds import CONTRIBUTION, REPAIR

CONTRIBUTION_FIELDS = const(9)
REPAIR_SIZE = const(6)
# A set of pieces is one small integer on a 32-bit MicroPython.
MAX_PIECES = const(30)

# Offsets into a frame.
_EPOCH = const(8)
_PIECE = const(10)
_PIECES = const(11)
_FIRST = const(12)
_COUNT = const(14)
_BITS = const(16)
_DATA = const(17)
_HELD = const(10)

# Members asked at a time: were all asked, their answers would crowd each other out.
_MOST_ASKED = const(4)
# Milliseconds without a piece after which missing ones are asked for: a constant and as many for
# each member, whose pieces take turns. It grows by a quarter each time, up to four times that, so
# that a crowded air does not fill up with requests.
_WAIT = const(6)
_WAIT_A_MEMBER = const(2)

_HALF = const(0x8000)  # numbers wrap: less than half the circle ahead comes after
_NO_MEMBER = const(0xFF)
_NONE = const(-1)  # no number
_WHOLE = const(-1)  # no piece is missing


class MissingMember(Exception):
    """Members whose contributions do not come; args: their ids."""


@micropython.viper
def _add(total: ptr32, first: int, values: ptr32, count: int):
    i = 0
    while i < count:
        total[first + i] = total[first + i] + values[i]
        i += 1


@micropython.viper
def _clear(total: ptr32, count: int):
    while count:
        count -= 1
        total[count] = 0


class _Round:
    """The vector of one collective, and one's own contribution to it or to the last but one.

    first, count: the range that `own` is for; number: the collective that it was made for.
    arrived: the pieces that came of each member; left: members of which some are missing.
    """

    def __init__(self, members, capacity):
        self.total = memoryview(array("i", bytes(4 * capacity)))
        self.own = memoryview(array("i", bytes(4 * capacity)))
        self.number = _NONE
        self.first = self.count = 0
        self.arrived = [0] * members
        self.left = members

    def clear(self):
        """Makes room for another vector; what was contributed last can still be sent again."""
        _clear(self.total, len(self.total))
        for member in range(len(self.arrived)):
            self.arrived[member] = 0
        self.left = len(self.arrived)


class Exchange:
    """One member's side of a group's collectives.

    Begin one of the five, then `take` what comes and call `tick` until `done`: `result` has the
    vector until the next is begun. All buffers are made here: 16 bytes for each element.
    """

    def __init__(self, me, members, capacity, bits, room, send, patience):
        """me: this member's id; members: all ids, in the same order everywhere; capacity: elements
        of the longest vector; bits: of the widest element; room: bytes in a frame for what a
        contribution carries beside header and trailer; patience: milliseconds without a
        piece.

        send(frame, kind, dst, number, length) finishes and sends a frame whose payload stands in
        `frame`. Raises ValueError where a vector would take more than 30 pieces.
        """
        piece = min(capacity, (room - CONTRIBUTION_FIELDS) * 8 // bits)
        if piece < 1 or capacity > piece * MAX_PIECES:
            raise ValueError(
                "%d elements of %d bits do not fit %d frames of %d bytes"
                % (capacity, bits, MAX_PIECES, room)
            )
        self.repairs = 0  # contributions sent again
        self._me = list(members).index(me)
        self._members = bytes(members)
        self._member_of = bytearray(b"\xff" * 256)
        for member, chip in enumerate(members):
            self._member_of[chip] = member
        self._capacity, self._bits = capacity, bits
        self._room = 8 * (room - CONTRIBUTION_FIELDS)  # bits
        self._send = send
        self._patience = patience
        # Room for the longest trailer, which whoever sends it appends.
        longest = min(room - CONTRIBUTION_FIELDS, packed_size(capacity, bits))
        self._frame = bytearray(_DATA + longest + 12)
        self._rounds = [_Round(len(self._members), capacity) for _ in range(2)]
        self._epoch = self._number = 0
        self._first_wait = _WAIT + _WAIT_A_MEMBER * len(self._members)
        self._quiet = self._waited = self._wait = 0

    def start(self, epoch, number):
        """Makes `number` of `epoch` the next collective.

        Where it is anyhow, contributions to it that came early are kept.
        """
        if epoch == self._epoch and number == (self._number + 1) & 0xFFFF:
            return
        self._epoch = epoch
        self._number = (number - 1) & 0xFFFF
        self._forget_rounds()

    def forget(self):
        """Takes part in nothing until the next `start`: numbers of another run of the host may be
        the same, and nothing that was contributed there must be added up with this one's."""
        self._epoch = _NONE
        self._forget_rounds()

    def _forget_rounds(self):
        for each in self._rounds:
            each.clear()
            each.number = _NONE

    @property
    def done(self):
        """Whether everybody's contribution to the collective begun last is there."""
        return self._rounds[self._number & 1].left == 0

    @property
    def result(self):
        """The vector of the collective begun last."""
        return self._rounds[self._number & 1].total

    def missing(self):
        """The ids of the members of whose contributions something is missing."""
        arrived = self._rounds[self._number & 1].arrived
        return [chip for member, chip in enumerate(self._members) if arrived[member] != _WHOLE]

    def all_reduce(self, values, count):
        """Begins the sum of all members' values [count]."""
        self._begin(values, 0, count)

    def all_gather(self, values, count):
        """Begins to put together all members' values, `count` of each."""
        self._begin(values, self._me * count, count)

    def broadcast(self, values, count, root):
        """Begins to give everybody the values [count] of the member with the id `root`."""
        self._begin(values, 0, count if self._members[self._me] == root else 0)

    def scatter(self, values, count, root):
        """Begins to give each member its `count` of the values [members * count] of `root`: at
        `slice_start(count)` of the result. On the air, all get all of them anyhow."""
        self.broadcast(values, count * len(self._members), root)

    def slice_start(self, count):
        """Where this member's `count` elements lie in a vector of all members'."""
        return self._me * count

    def barrier(self):
        """Begins to wait for everybody."""
        self._begin(self.result, 0, 0)

    @micropython.native
    def take(self, frame, length):
        """Files an opened frame of `length` bytes of payload; whether it brought something.

        Raises ProtocolError for a payload that is none.
        """
        if frame[TYPE] == REPAIR:
            return self._answer(frame, length)
        if length < CONTRIBUTION_FIELDS:
            raise ProtocolError("CONTRIBUTION is cut short")
        number, member = u16(frame, SEQUENCE), self._member_of[frame[SRC]]
        # 0: to the collective that is being waited for, 1: to the next.
        ahead = (number - self._number) & 0xFFFF
        if u16(frame, _EPOCH) != self._epoch or ahead > 1 or member == _NO_MEMBER:
            return False
        first, count, bits = u16(frame, _FIRST), u16(frame, _COUNT), frame[_BITS]
        piece, pieces = frame[_PIECE], frame[_PIECES]
        if (
            not piece < pieces <= MAX_PIECES
            or first + count > self._capacity
            or not 1 <= bits <= 32
            or length != CONTRIBUTION_FIELDS + packed_size(count, bits)
        ):
            raise ProtocolError("CONTRIBUTION contradicts itself or the group")
        into = self._rounds[number & 1]
        arrived = into.arrived[member]
        if member == self._me or arrived == _WHOLE or arrived >> piece & 1:
            return False
        add_unpacked(frame, _DATA, into.total, first, count, bits)
        arrived |= 1 << piece
        if arrived == (1 << pieces) - 1:
            arrived = _WHOLE
            into.left -= 1
        into.arrived[member] = arrived
        self._quiet = self._waited = 0
        return True

    def is_behind(self, frame):
        """Whether an opened frame tells that its sender is at a collective that comes after this
        member's: of another epoch, or of the same and neither the last nor the next."""
        ahead = (u16(frame, SEQUENCE) - self._number) & 0xFFFF
        return u16(frame, _EPOCH) != self._epoch or 0 < ahead < _HALF

    def tick(self, elapsed):
        """Takes in that `elapsed` milliseconds have passed, and asks for what is missing.

        Raises MissingMember when nothing has come for as long as patience lasts, once each time.
        """
        if self.done or self._rounds[self._number & 1].number != self._number:
            return
        self._quiet += elapsed
        self._waited += elapsed
        if self._quiet < self._wait:
            return
        self._quiet = 0
        if self._waited > self._patience:
            self._waited = 0
            raise MissingMember(*self.missing())
        self._wait = min(self._wait + self._wait // 4, 4 * self._first_wait)
        for chip in self.missing()[:_MOST_ASKED]:
            self._ask(chip)

    def _begin(self, values, first, count):
        """Contributes values [count] to elements `first` and on of the next collective."""
        self._number = number = (self._number + 1) & 0xFFFF
        now = self._rounds[number & 1]
        self._rounds[number & 1 ^ 1].clear()  # for contributions to the next that come early
        if count:
            now.own[:count] = values[:count]
            _add(now.total, first, values, count)
        now.number, now.first, now.count = number, first, count
        now.arrived[self._me] = _WHOLE
        now.left -= 1
        self._quiet = self._waited = 0
        self._wait = self._first_wait
        if len(self._members) > 1:
            self._send_pieces(now, 0, BROADCAST)

    @micropython.native
    def _send_pieces(self, contribution, held, dst):
        """Sends the pieces that are not in the set `held`: as few as its numbers allow."""
        frame, left = self._frame, contribution.count
        bits = bits_needed(contribution.own, left)
        if bits > self._bits:
            raise ValueError("an element of %d bits, and %d planned" % (bits, self._bits))
        size = self._room // bits
        pieces = max(1, -(-left // size))
        put_u16(frame, _EPOCH, self._epoch)
        frame[_PIECES] = pieces
        for piece in range(pieces):
            if not held >> piece & 1:
                start = piece * size
                count = min(size, left - start)
                values = contribution.own[start:] if start else contribution.own
                frame[_PIECE] = piece
                put_u16(frame, _FIRST, contribution.first + start)
                put_u16(frame, _COUNT, count)
                frame[_BITS] = bits
                length = CONTRIBUTION_FIELDS + pack(frame, _DATA, values, count, bits)
                self._send(frame, CONTRIBUTION, dst, contribution.number, length)

    def _ask(self, chip):
        held = self._rounds[self._number & 1].arrived[self._member_of[chip]]
        put_u16(self._frame, _EPOCH, self._epoch)
        put_u32(self._frame, _HELD, held)
        self._send(self._frame, REPAIR, chip, self._number, REPAIR_SIZE)

    def _answer(self, frame, length):
        if length != REPAIR_SIZE:
            raise ProtocolError("REPAIR does not have %d bytes" % REPAIR_SIZE)
        number = u16(frame, SEQUENCE)
        contribution = self._rounds[number & 1]
        if u16(frame, _EPOCH) != self._epoch or contribution.number != number:
            return False
        self.repairs += 1
        self._send_pieces(contribution, u32(frame, _HELD), frame[SRC])
        return True
