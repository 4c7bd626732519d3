"""Collectives that no role of a chip uses: all-gather, broadcast, scatter and barrier.

They are kept for programs of one's own on this protocol, with their tests; the files that are put
on a chip do not include them. Each is an all-reduce (protocol/collective.py) to which a member
contributes a range of the vector, and zeros elsewhere:

| collective | contributes | result |
| --- | --- | --- |
| all-gather | everyone, a slice of its own | the slices in the members' order |
| broadcast, scatter | the root, the whole vector | the vector; a member's slice of it |
| barrier | everyone, nothing | that everyone was there |
"""

from protocol.collective import Collective


class GatherScatter(Collective):
    """A member's side of all collectives."""

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
