"""All-reduce of vectors that take more pieces than protocol/collective.py's one set has room for.

The pieces of a member are divided into banks of MAX_PIECES. Each bank beyond the first counts as a
member of its own, under an id that no chip has: so it is waited for, asked for and retransmitted
like any other. On the wire a CONTRIBUTION numbers its pieces through all banks, and a REPAIR names
banks by these ids, which all members assign in the same way.
"""

from array import array

from protocol.bitpack import bits_needed, pack
from protocol.collective import CONTRIBUTION_FIELDS, MAX_PIECES, Collective
from protocol.compat import const
from protocol.fields import put_u16, u16, u32
from protocol.frame import BROADCAST, HEADER_SIZE, SEQUENCE, SRC, TYPE, ProtocolError
from protocol.message_types import CONTRIBUTION, REPAIR
from protocol.sums import COUNT, LEFT, NUMBER

MOST_PIECES = const(240)  # the most whole banks whose pieces a u8 can number
MOST_MEMBERS = const(254)  # banks of all chips together: an id is a byte

# As in protocol/collective.py.
_EPOCH = const(8)
_PIECE = const(10)
_PIECES = const(11)
_FIRST = const(12)
_ELEMENTS = const(14)
_BITS = const(16)
_DATA = const(17)
_ENTRIES = const(10)
_ENTRY = const(5)
_AGAIN = const(128)
_WHOLE = const(-1)
_NOW = const(4)
_ERA = const(5)
_ROOM = const(6)
_EVERYTHING = const((1 << 30) - 1)


def count_banks(capacity, bits, room):
    """Returns how many banks the pieces of one vector take, 0 if it has more than MOST_PIECES.

    capacity, bits, room: as Collective takes them.
    """
    piece = (room - CONTRIBUTION_FIELDS) * 8 // bits
    if piece < 1 or capacity > piece * MOST_PIECES:
        return 0
    return max(1, -(-capacity // (piece * MAX_PIECES)))


class WideCollective(Collective):
    """A Collective for vectors of up to MOST_PIECES pieces."""

    is_narrow = False

    def __init__(self, me, members, capacity, bits, room, send, timeout, least=0):
        """least: the smallest room that `limit` will be given, 0 if it is never called.

        Raises ValueError for more than MOST_PIECES pieces, and for more banks than there are ids.
        """
        banks = count_banks(capacity, bits, least or room)
        self._chips = chips = len(members)
        if not 0 < banks * chips <= MOST_MEMBERS:
            raise ValueError("%d chips' pieces are in %d banks each" % (chips, banks))
        others = [other for other in range(256) if other not in members]
        members = list(members) + others[: chips * (banks - 1)]
        super().__init__(me, members, capacity, bits, room, send, timeout)
        # Of the last two contributions and each bank: the pieces sent again lately, and when.
        self._sent_again = [array("i", [0] * (2 * banks)) for _ in range(2)]

    @property
    def banks(self):
        """How many banks a member's pieces are in."""
        return len(self._members) // self._chips

    def missing(self):
        """Returns the ids of the chips whose contributions are incomplete."""
        ids, found = super().missing(), []
        for each in ids:
            chip = self._members[self._member_of[each] % self._chips]
            if chip not in found:
                found.append(chip)
        return found

    def take(self, frame, length):
        """Takes in a verified CONTRIBUTION or REPAIR, as Collective.take does."""
        if frame[TYPE] == REPAIR:
            return self._take_repair(frame, length)
        member, chips = self._member_of[frame[SRC]], self._chips
        if member >= chips or length < CONTRIBUTION_FIELDS:
            return 0
        bank, pieces = frame[_PIECE] // MAX_PIECES, frame[_PIECES]
        rank = member + bank * chips
        if rank >= len(self._members):
            raise ProtocolError("CONTRIBUTION has more pieces than the group's vectors")
        frame[SRC] = self._members[rank]
        frame[_PIECE] -= bank * MAX_PIECES
        frame[_PIECES] = max(0, min(MAX_PIECES, pieces - bank * MAX_PIECES))
        if not super().take(frame, length):
            return 0
        # Nothing comes of banks that this contribution does not need.
        self._settle(self._rounds[u16(frame, SEQUENCE) & 1], member, -(-pieces // MAX_PIECES))
        return 1

    def _settle(self, contribution, member, banks):
        """Marks all banks of a member but its first `banks` as complete: nothing comes of them."""
        arrived = contribution.arrived
        for rank in range(member + banks * self._chips, len(arrived), self._chips):
            if arrived[rank] != _WHOLE:
                arrived[rank] = _WHOLE
                contribution.state[LEFT] -= 1

    def _begin(self, values, first, count):
        super()._begin(values, first, count)
        again = self._sent_again[self.state[_NOW] & 1]
        self._settle(self._round(), self._me, 1)
        for i in range(len(again)):
            again[i] = 0

    def _send_pieces(self, contribution, held, again, bank=0):
        """Sends the pieces that are not in the set `held`: of all banks, or of one if `again`."""
        frame, left = self._frame, contribution.state[COUNT]
        bits = bits_needed(contribution.own, left)
        if bits > self._bits:
            raise ValueError("an element of %d bits, and %d planned" % (bits, self._bits))
        size = self.state[_ROOM] // bits
        end = pieces = max(1, -(-left // size))
        first = bank * MAX_PIECES
        if again:
            end = min(pieces, first + MAX_PIECES)
        put_u16(frame, _EPOCH, self.state[_ERA])
        for piece in range(first, end):
            if not held >> piece - first & 1:
                start = piece * size
                count = min(size, left - start)
                values = contribution.own[start:] if start else contribution.own
                frame[_PIECE], frame[_PIECES], frame[_BITS] = piece, pieces, bits | again
                put_u16(frame, _FIRST, contribution.first + start)
                put_u16(frame, _ELEMENTS, count)
                length = CONTRIBUTION_FIELDS + pack(frame, _DATA, values, count, bits)
                self._send(frame, CONTRIBUTION, BROADCAST, contribution.state[NUMBER], length)

    def _take_repair(self, frame, length):
        """Sends again what a REPAIR asks of this chip's banks; returns whether it sent any."""
        if self._member_of[frame[SRC]] >= self._chips:
            return 0
        answered = super().take(frame, length)
        number = u16(frame, SEQUENCE)
        contribution = self._rounds[number & 1]
        if u16(frame, _EPOCH) != self.state[_ERA] or contribution.state[NUMBER] != number:
            return answered
        for at in range(_ENTRIES, HEADER_SIZE + length, _ENTRY):
            rank = self._member_of[frame[at]]
            bank = rank // self._chips
            if 0 < bank < self.banks and rank % self._chips == self._me:
                held = u32(frame, at + 1) & _EVERYTHING
                answered = self._repair_bank(contribution, bank, held) or answered
        return answered

    def _repair_bank(self, contribution, bank, held):
        """Sends again a bank's pieces outside the set `held`, except those just sent again.

        Returns whether there were any.
        """
        again, backoff = self._sent_again[contribution.state[NUMBER] & 1], self._backoff
        if backoff.since(again[2 * bank + 1]) >= backoff.wait // 2:
            again[2 * bank] = 0
        held |= again[2 * bank]
        if held == _EVERYTHING:
            return False
        again[2 * bank] |= _EVERYTHING ^ held
        again[2 * bank + 1] = backoff.clock
        self.repairs += 1
        self._send_pieces(contribution, held, _AGAIN, bank)
        return True
