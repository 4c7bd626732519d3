"""A chip's shard of the model, ready to compute, and the state of its KV caches."""

from array import array

from firmware.compute.attention import Attention
from firmware.compute.feed_forward import FeedForward
from firmware.compute.vocabulary import Vocabulary
from protocol.compat import const

_HALF = const(0x8000)  # sequence ids wrap: one less than half the circle behind is older
_NOBODY = const(-1)


class KVCache:
    """Knows which sequence each slot of the KV caches belongs to, and which positions it holds.

    A sequence has the slot `id % slots` until a newer one with the same slot comes; older ones are
    refused. sequence_id: the current sequence, -1 for none; index: its slot; positions: for each
    layer, how many positions of the sequence its cache holds.
    """

    def __init__(self, layers, slots):
        self.sequence_id = _NOBODY
        self.index = 0
        self._slots = [[_NOBODY, array("i", [0] * layers)] for _ in range(slots)]
        self.positions = self._slots[0][1]

    def select(self, sequence_id):
        """Makes a sequence the current one, with an empty cache if it is new.

        Returns False if it is older than the one in its slot.
        """
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
        """Empties all slots, so that the next sequence is a new one, whatever its id."""
        self.sequence_id = _NOBODY
        for slot in self._slots:
            slot[0] = _NOBODY


class Model:
    """A chip's parts of the model.

    attention, feed_forward, vocabulary: None if the chip has no heads, units or rows; cache: the
    KVCache; layers: Layer objects; workspace: the buffers; all: the Several that computes all
    positions of a request together, where matrices stay in flash, else None; blocks: the Blocks
    there, for programs, else None.
    """

    def __init__(self, weights, kernels):
        """kernels: the module firmware.compute.model_kernels."""
        layout, workspace = weights.layout, weights.workspace
        self.workspace = workspace
        self.layers = weights.layers
        self.attention = Attention(weights, workspace, kernels) if layout["heads"] else None
        self.feed_forward = FeedForward(weights, workspace, kernels) if layout["units"] else None
        self.vocabulary = Vocabulary(weights, workspace, kernels) if layout["rows"] else None
        self.cache = KVCache(len(weights.layers), layout["slots"])
        self.all = weights.all(weights, kernels, self) if weights.all else None
        self.blocks = weights.blocks
