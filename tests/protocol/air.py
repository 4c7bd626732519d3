"""A group of exchanges on an air that loses, doubles and reorders frames, for both Pythons."""

from protocol.collective import MissingMember
from protocol.frame import BROADCAST, DST, SRC, append_trailer, verify_frame, write_header
from protocol.gather_scatter import GatherScatter
from tests.protocol.noise import below

VERSION = 2
TICK = 10  # milliseconds of a turn in which nothing is on the air
TIMEOUT = 3000  # milliseconds


class Group:
    """Exchanges of all members; `frames` are on the air, (receiver, frame) each.

    `sent` counts frames as they leave a member, `lost` those that do not reach a receiver.
    """

    def __init__(
        self, members, capacity=40, bits=27, room=60, loss=0, doubled=0, shuffle=False,
        kind=GatherScatter,
    ):  # fmt: skip
        """loss, doubled: per cent of frames; shuffle: frames arrive in any order; kind: of
        exchange."""
        self.members = members
        self.loss, self.doubled, self.shuffle = loss, doubled, shuffle
        self.frames = []
        self.sent = self.lost = 0
        self.silent = ()
        self.exchanges = {}
        for member in members:
            self.exchanges[member] = kind(
                member, members, capacity, bits, room, self._sender(member), TIMEOUT
            )
            self.exchanges[member].start(7, 65534)

    def _sender(self, member):
        def send(frame, kind, dst, number, length):
            write_header(frame, VERSION, kind, member, dst, number, length)
            size = append_trailer(frame, length)
            self.sent += 1
            for receiver in self.members:
                if receiver != member and dst in (BROADCAST, receiver):
                    self._on_air(receiver, bytes(memoryview(frame)[:size]))

        return send

    def _on_air(self, receiver, frame):
        if frame[SRC] in self.silent or below(100) < self.loss:
            self.lost += 1
            return
        self.frames.append((receiver, frame))
        if below(100) < self.doubled:
            self.frames.append((receiver, frame))

    def turn(self):
        """Delivers one frame; without any, lets time pass."""
        if not self.frames:
            for exchange in self.exchanges.values():
                exchange.tick(TICK)
            return
        receiver, frame = self.frames.pop(below(len(self.frames)) if self.shuffle else 0)
        assert frame[DST] in (BROADCAST, receiver)
        received = bytearray(frame)  # of its own, as a link's buffer is
        self.exchanges[receiver].take(received, verify_frame(received, len(received)))

    def run(self, begin, rounds):
        """Each member's results of `rounds` collectives, which begin(exchange, member, round)
        begins; nobody waits for anybody but within a collective."""
        at = dict((member, 0) for member in self.members)
        results = dict((member, []) for member in self.members)
        for member in self.members:
            begin(self.exchanges[member], member, 0)
        while min(at.values()) < rounds:
            for member in self.members:
                exchange = self.exchanges[member]
                while at[member] < rounds and exchange.done:
                    results[member].append(list(exchange.result))
                    at[member] += 1
                    if at[member] < rounds:
                        begin(exchange, member, at[member])
            if min(at.values()) < rounds:
                self.turn()
        return results


__all__ = ("Group", "MissingMember")
