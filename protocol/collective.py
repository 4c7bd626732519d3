"""All-reduce among the members of a group, by broadcast and in lockstep.

Every collective is one exact sum of int32 vectors, to which each member contributes. Members
contribute to every collective, even if they have nothing to add. So no member is more than one
collective ahead of another, and a member need keep only its last two contributions for repairs.
Nothing is acknowledged: a member that misses pieces asks their owners for them.

Members share one radio channel, and each receives what all others send. So that repairs do not
become the load that delays the very frames they are to replace:

- one request names all owners from which pieces are missing. All members hear it, and those that
  miss the same pieces do not ask as well; members take turns at asking first;
- a retransmission goes to all, once for all requests that come at about the same time;
- no member asks while contributions keep coming, nor before it has heard nothing for several times
  the interval between them: frames that are only late, on a slow or crowded channel, still come;
- each time that an owner was asked in vain, the wait before the next request grows.

CONTRIBUTION: epoch u16, piece u8, number of pieces u8, first element u16, number of elements u16,
bits u8 (plus 128 in a retransmission), then the elements packed (protocol/bitpack.py). The
header's sequence is the collective's number, which wraps. REPAIR: epoch u16, then for each owner
its id u8 and u32, the set of its pieces that the sender of the REPAIR has (bit i: piece i).
"""

from array import array

from protocol.bitpack import bits_needed, pack, packed_size
from protocol.bitunpack import add_unpacked
from protocol.compat import const, micropython, ptr8, ptr32
from protocol.fields import put_u16, put_u32, u16, u32
from protocol.frame import BROADCAST, HEADER_SIZE, SEQUENCE, SRC, TYPE, ProtocolError
from protocol.message_types import CONTRIBUTION, REPAIR
from protocol.retransmit import (
    ASK,
    CAUSE_CAME,
    DATA_CAME,
    GIVE_UP,
    NEWS,
    STATE_WORDS,
    WAITED,
    Backoff,
    Silence,
)
from protocol.sums import AGAIN, COUNT, LEFT, NUMBER, Round, contribute

CONTRIBUTION_FIELDS = const(9)
# Bytes of a REPAIR: of each owner's entry, and before the entries.
_ENTRY = const(5)
_REPAIR_FIELDS = const(2)
# A set of pieces is one small integer on a 32-bit MicroPython; wide_collective.py takes more.
MAX_PIECES = const(30)

# Offsets into a frame.
_EPOCH = const(8)
_PIECE = const(10)
_PIECES = const(11)
_FIRST = const(12)
_COUNT = const(14)
_BITS = const(16)
_DATA = const(17)
_AGAIN = const(128)  # added to the field of bits: the piece is a retransmission
_ENTRIES = const(10)

_TRAILER = const(12)  # bytes of the longest trailer, for which the sender's buffer needs room
_HALF = const(0x8000)  # numbers wrap: one less than half the circle ahead is later
_NO_MEMBER = const(0xFF)
_NONE = const(-1)  # no number
# Words of the state, after those of protocol/retransmit.py.
_NOW = const(4)  # the number of the current collective: the one begun last
_ERA = const(5)  # the epoch
_ROOM = const(6)  # bits of a frame that elements may take
_WHOLE = const(-1)  # in place of a set of pieces: none is missing
_EVERYTHING = const((1 << 30) - 1)  # the set of all pieces that there can be


def repair_size(members):
    """Returns the bytes of payload of a REPAIR that names so many members."""
    return _REPAIR_FIELDS + _ENTRY * members


class MissingMember(Exception):
    """The contributions of some members do not come; args: these members' ids."""


class Collective:
    """One member's side of a group's collectives.

    Begin an `all_reduce`, then `take` each frame received and call `tick` until `done`: `result`
    holds the sum until the next collective begins. All buffers are made in the constructor: 16
    bytes for each element.

    repairs: how many times pieces were sent again; state: int32 words, which machine code reads
    and writes too; is_narrow: whether one set has room for a member's pieces.
    """

    is_narrow = True

    def __init__(self, me, members, capacity, bits, room, send, timeout):
        """me: this member's id; members: the ids of all, in the same order on each of them;
        capacity: elements of the longest vector; bits: width of the widest element; room: bytes of
        payload in a frame; timeout: milliseconds without a missing piece until `tick` gives up.

        send(frame, kind, dst, number, length) finishes and sends a frame whose payload is in
        `frame` already. Raises ValueError where a vector would take more than MAX_PIECES pieces.
        """
        piece = min(capacity, (room - CONTRIBUTION_FIELDS) * 8 // bits)
        if piece < 1 or (self.is_narrow and capacity > piece * MAX_PIECES):
            raise ValueError(
                "%d elements of %d bits do not fit %d frames of %d bytes"
                % (capacity, bits, MAX_PIECES, room)
            )
        self.repairs = 0
        self._me = list(members).index(me)
        self._members = bytes(members)
        self._member_of = bytearray(b"\xff" * 256)
        for member, chip in enumerate(members):
            self._member_of[chip] = member
        self._capacity, self._bits = capacity, bits
        self._send = send
        longest = min(room, CONTRIBUTION_FIELDS + packed_size(capacity, bits))
        self._frame = bytearray(HEADER_SIZE + longest + _TRAILER)
        self._rounds = [Round(len(self._members), capacity) for _ in range(2)]
        self.state = array("i", [0] * STATE_WORDS)
        self.limit(room)
        self._backoff = Backoff(len(self._members))
        self._silence = Silence(self._backoff, timeout, self.state)
        self._asked_last = self._me

    def limit(self, room):
        """Sends contributions with at most `room` bytes of payload, no more than at the start."""
        self.state[_ROOM] = 8 * (room - CONTRIBUTION_FIELDS)  # bits

    def start(self, epoch, number):
        """Makes `number` of `epoch` the next collective to begin.

        If it is the next already, contributions to it that came early are kept.
        """
        state = self.state
        if epoch == state[_ERA] and number == (state[_NOW] + 1) & 0xFFFF:
            return
        state[_ERA] = epoch
        state[_NOW] = (number - 1) & 0xFFFF
        self._forget_rounds()

    def forget(self):
        """Ignores all contributions until the next `start`.

        After a restart of the host the numbers may be the same, and contributions from before must
        not be added to those of now.
        """
        self.state[_ERA] = _NONE
        self._forget_rounds()

    def _forget_rounds(self):
        for each in self._rounds:
            each.clear()
            each.state[NUMBER] = _NONE

    @property
    def done(self):
        """Whether all members' contributions to the current collective have come."""
        return self._rounds[self.state[_NOW] & 1].state[LEFT] == 0

    @property
    def result(self):
        """The sum of the current collective, int32 [capacity]."""
        return self._rounds[self.state[_NOW] & 1].total

    def _round(self):
        """Returns the Round of the current collective."""
        return self._rounds[self.state[_NOW] & 1]

    def missing(self):
        """Returns the ids of the members whose contributions are incomplete."""
        arrived = self._round().arrived
        return [chip for member, chip in enumerate(self._members) if arrived[member] != _WHOLE]

    def all_reduce(self, values, count):
        """Begins a collective: the sum of all members' values [count]."""
        self._begin(values, 0, count)

    @micropython.viper
    def take(self, frame, length: int) -> int:
        """Takes in a verified CONTRIBUTION or REPAIR with `length` bytes of payload.

        Returns 1 if it brought a missing piece or was answered, else 0. Raises ProtocolError for a
        malformed payload.
        """
        fields = ptr8(frame)
        # int(): viper takes other modules' constants for objects, unless the build inlined them.
        if fields[int(TYPE)] == int(REPAIR):
            return int(self._answer(frame, length))
        if length < CONTRIBUTION_FIELDS:
            raise ProtocolError("CONTRIBUTION is cut short")
        at = int(SEQUENCE)
        number = fields[at] | fields[at + 1] << 8
        member = ptr8(self._member_of)[fields[int(SRC)]]
        if member == _NO_MEMBER:
            return 0
        state = ptr32(self.state)
        bits = fields[_BITS]
        # One that was sent again says nothing of how fast they come.
        news = int(DATA_CAME)
        if bits & _AGAIN:
            news = news | int(CAUSE_CAME)
            bits ^= _AGAIN
        state[int(NEWS)] = state[int(NEWS)] | news
        # 0: to the collective that is being waited for, 1: to the next.
        ahead = number - state[_NOW] & 0xFFFF
        epoch = fields[_EPOCH] | fields[_EPOCH + 1] << 8
        if epoch != state[_ERA] or ahead > 1:
            return 0
        first = fields[_FIRST] | fields[_FIRST + 1] << 8
        count = fields[_COUNT] | fields[_COUNT + 1] << 8
        piece = fields[_PIECE]
        pieces = fields[_PIECES]
        if (
            piece >= pieces
            or pieces > MAX_PIECES
            or first + count > int(self._capacity)
            or bits < 1
            or bits > 32
            or length != CONTRIBUTION_FIELDS + (count * bits + 7 >> 3)
        ):
            raise ProtocolError("CONTRIBUTION contradicts itself or the group")
        into = self._rounds[number & 1]
        arrived = ptr32(into.arrived)
        had = arrived[member]
        if member == int(self._me) or had == _WHOLE or had >> piece & 1:
            return 0
        add_unpacked(frame, _DATA, into.total, first, count, bits)
        had = 1 << piece | had
        if had == (1 << pieces) - 1:
            had = _WHOLE
            left = ptr32(into.state)
            left[int(LEFT)] = left[int(LEFT)] - 1
        arrived[member] = had
        state[int(WAITED)] = 0
        return 1

    def lags(self, frame):
        """Returns whether a verified frame shows that its sender is at a collective after this
        member's: of another epoch, or of the same and neither the last nor the next."""
        ahead = (u16(frame, SEQUENCE) - self.state[_NOW]) & 0xFFFF
        return u16(frame, _EPOCH) != self.state[_ERA] or 0 < ahead < _HALF

    def tick(self, elapsed):
        """Takes in that `elapsed` milliseconds have passed, and asks for what is missing.

        Raises MissingMember when no missing piece has come for as long as the timeout, once each
        time.
        """
        self._silence.settle()
        self._backoff.pass_time(elapsed)
        if self.done or self._round().state[NUMBER] != self.state[_NOW]:
            return
        due = self._silence.pass_time(elapsed)
        if due == GIVE_UP:
            raise MissingMember(*self.missing())
        if due == ASK and self._ask():
            self._silence.restart()

    @micropython.native
    def _begin(self, values, first, count):
        """Contributes values [count] to elements `first` and on of the next collective.

        Raises ValueError for more elements than there are, or than the vector has.
        """
        if count and (count > len(values) or first + count > self._capacity):
            raise ValueError("%d elements at %d of %d" % (count, first, self._capacity))
        number = (self.state[_NOW] + 1) & 0xFFFF
        self.state[_NOW] = number
        now = self._rounds[number & 1]
        self._rounds[number & 1 ^ 1].clear()  # for contributions to the next that come early
        if count:
            contribute(now.total, first, values, now.own, count)
        now.first, state = first, now.state
        state[NUMBER], state[COUNT] = number, count
        now.arrived[self._me] = _WHOLE
        state[LEFT] -= 1
        state[AGAIN] = 0
        self._silence.begin((self._me + number) % len(self._members) // 2)
        if len(self._members) > 1:
            self._send_pieces(now, 0, 0)

    def send_pieces(self):
        """Sends this member's contribution to the current collective."""
        self._send_pieces(self._round(), 0, 0)

    @micropython.native
    def _send_pieces(self, contribution, held, again):
        """Sends the pieces that are not in the set `held`, packed as narrowly as the values allow.

        again: _AGAIN for a retransmission, else 0.
        """
        frame, left = self._frame, contribution.state[COUNT]
        bits = bits_needed(contribution.own, left)
        if bits > self._bits:
            raise ValueError("an element of %d bits, and %d planned" % (bits, self._bits))
        size = self.state[_ROOM] // bits
        pieces = max(1, -(-left // size))
        put_u16(frame, _EPOCH, self.state[_ERA])
        frame[_PIECES] = pieces
        for piece in range(pieces):
            if not held >> piece & 1:
                start = piece * size
                count = min(size, left - start)
                values = contribution.own[start:] if start else contribution.own
                frame[_PIECE] = piece
                put_u16(frame, _FIRST, contribution.first + start)
                put_u16(frame, _COUNT, count)
                frame[_BITS] = bits | again
                length = CONTRIBUTION_FIELDS + pack(frame, _DATA, values, count, bits)
                self._send(frame, CONTRIBUTION, BROADCAST, contribution.state[NUMBER], length)

    def _ask(self):
        """Sends a REPAIR to the owners of missing pieces, except those just asked.

        Returns whether there was one to send.
        """
        frame, backoff = self._frame, self._backoff
        arrived = self._round().arrived
        at, member = _ENTRIES, self._asked_last
        room = HEADER_SIZE + CONTRIBUTION_FIELDS + self.state[_ROOM] // 8
        end = min(len(frame) - _TRAILER, room) - _ENTRY
        for _ in range(len(arrived)):
            member = (member + 1) % len(arrived)
            if arrived[member] != _WHOLE and backoff.is_due(member):
                frame[at] = self._members[member]
                put_u32(frame, at + 1, arrived[member])
                at += _ENTRY
                backoff.note(member)
                if at > end:
                    break
        self._asked_last = member
        if at == _ENTRIES:
            return False
        put_u16(frame, _EPOCH, self.state[_ERA])
        self._send(frame, REPAIR, BROADCAST, self.state[_NOW], at - HEADER_SIZE)
        return True

    def _answer(self, frame, length):
        """Answers a REPAIR: sends again what it asks of this member, and notes whom else it asks.

        Returns whether anything was sent. Raises ProtocolError for a malformed payload.
        """
        if length <= _REPAIR_FIELDS or (length - _REPAIR_FIELDS) % _ENTRY:
            raise ProtocolError("REPAIR does not name members")
        number = u16(frame, SEQUENCE)
        contribution = self._rounds[number & 1]
        if (
            self._member_of[frame[SRC]] == _NO_MEMBER
            or u16(frame, _EPOCH) != self.state[_ERA]
            or contribution.state[NUMBER] != number
        ):
            return False
        self._silence.settle()
        self.state[NEWS] |= CAUSE_CAME
        answered = False
        for at in range(_ENTRIES, HEADER_SIZE + length, _ENTRY):
            member, held = self._member_of[frame[at]], u32(frame, at + 1) & _EVERYTHING
            if member == self._me:
                answered = self._repair(contribution, held) or answered
            elif member != _NO_MEMBER and number == self.state[_NOW]:
                # Only a request that lacks all that this member lacks asks on its behalf too.
                if not held & ~contribution.arrived[member]:
                    self._backoff.note(member)
        return answered

    def _repair(self, contribution, held):
        """Sends again the pieces outside the set `held`, except those just sent again.

        Returns whether there were any.
        """
        backoff = self._backoff
        if backoff.since(contribution.again_at) >= backoff.wait // 2:
            contribution.state[AGAIN] = 0
        held |= contribution.state[AGAIN]
        if held == _EVERYTHING:
            return False
        contribution.state[AGAIN] |= _EVERYTHING ^ held
        contribution.again_at = backoff.clock
        self.repairs += 1
        self._send_pieces(contribution, held, _AGAIN)
        return True
