"""All-gather, broadcast, scatter and barrier: collectives that no role of a chip uses.

They are here, and tested, for other programs on this protocol; the files put on a chip do not
include them. Each is an all-reduce (protocol/collective.py) to which a member contributes a range
of the vector, and zeros elsewhere:

| collective | contributes | result |
| --- | --- | --- |
| all-gather | each member, its own slice | the slices in the members' order |
| broadcast | the root, the whole vector | the vector |
| scatter | the root, the whole vector | a member's slice of it |
| barrier | each member, nothing | all members have reached it |
"""

from protocol.collective import Collective


class GatherScatter(Collective):
    """A member's side of these collectives, and of all-reduce."""

    def all_gather(self, values, count):
        """Begins an all-gather of all members' values [count] into result [members * count]."""
        self._begin(values, self._me * count, count)

    def broadcast(self, values, count, root):
        """Begins a broadcast: result [count] gets the values of the member with the id `root`."""
        self._begin(values, 0, count if self._members[self._me] == root else 0)

    def scatter(self, values, count, root):
        """Begins a scatter of the values [members * count] of the member with the id `root`.

        Each member's slice is at `slice_start(count)` of its result. A broadcast does no more
        work: all members receive every frame anyway.
        """
        self.broadcast(values, count * len(self._members), root)

    def slice_start(self, count):
        """Returns where this member's slice of `count` elements begins in a vector of all."""
        return self._me * count

    def barrier(self):
        """Begins a barrier: it is done when every member has begun it."""
        self._begin(self.result, 0, 0)
