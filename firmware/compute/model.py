"""A chip's shard of the model, ready to compute, and which positions its KV caches hold."""

from array import array

from firmware.compute.attention import Attention
from firmware.compute.feed_forward import FeedForward
from firmware.compute.vocabulary import Vocabulary
from protocol.compat import const

_HALF = const(0x8000)  # sequence ids wrap: less than half the circle behind is older
_NOBODY = const(-1)


class KVCache:
    """Keeps the caches of all layers in order: one for each slot.

    A sequence has the slot `its id % slots` until a newer one with that slot comes; older ones are
    refused. sequence_id: the current sequence's, -1 for none; index: of its slot;
    positions: how many each layer holds of it.
    """

    def __init__(self, layers, slots):
        self.sequence_id = _NOBODY
        self.index = 0
        self._slots = [[_NOBODY, array("i", [0] * layers)] for _ in range(slots)]
        self.positions = self._slots[0][1]

    def select(self, sequence_id):
        """Makes a sequence the current one, empty where it is new; False where it is older than
        the one in its slot."""
        slots, slot = self._slots, sequence_id % len(self._slots)
        if slot != self.index:
            slots[self.index][0] = self.sequence_id
            self.index = slot
            self.sequence_id, self.positions = slots[slot]
        if sequence_id != self.sequence_id:
            if self.sequence_id >= 0 and (self.sequence_id - sequence_id) & 0xFFFF < _HALF:
                return False
            self.sequence_id = sequence_id
            for layer in range(len(self.positions)):
                self.positions[layer] = 0
        return True

    def forget(self):
        """Empties all slots: whatever sequence comes next is a new one."""
        self.sequence_id = _NOBODY
        for slot in self._slots:
            slot[0] = _NOBODY


class Model:
    """What the chip computes with its weights: attention, feed_forward and vocabulary, None where
    it owns no heads, units or rows; and cache, which positions its KV caches hold."""

    def __init__(self, weights, kernels):
        """kernels: the module firmware.compute.model_kernels."""
        layout, workspace = weights.layout, weights.workspace
        self.workspace = workspace
        self.layers = weights.layers
        self.attention = Attention(weights, workspace, kernels) if layout["heads"] else None
        self.feed_forward = FeedForward(weights, workspace, kernels) if layout["units"] else None
        self.vocabulary = Vocabulary(weights, workspace, kernels) if layout["rows"] else None
        self.cache = KVCache(len(weights.layers), layout["slots"])
