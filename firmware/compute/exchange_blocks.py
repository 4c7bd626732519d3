"""Exchanges natively on a chip that reads matrices in blocks from flash.

Its kernels are called by bytecode (blocks.py), so there are no programs. exchange.py's machine
code takes in the others' contributions, adds up, and makes this chip's frame all the same: in
between, it has bytecode compute the sums of a phase. STEPs and answers are left to bytecode.
"""

from firmware.compute.exchange import Native
from firmware.compute.results import COMPUTE
from protocol.compat import const

_COMPUTED = const(-2)  # in the place of a frame's length
_LAYERS = const(14)  # place of a word of exchange_block.py
_PROVED = const(2)  # layers that a proof goes through, for each has all its weights read


class BlocksNative(Native):
    """What `exchange` needs of bytecode on such a chip."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.slots = ()  # no STEP is taken
        self._model = self.role.step.model
        self._layers = self._model.layers

    def shorten(self, is_proof):
        """Has steps go through few layers, for a proof, or through all of them."""
        layers = self._layers
        self._model.layers = layers = layers[:_PROVED] if is_proof else layers
        self.block[_LAYERS] = len(layers)

    def follow(self):
        """Leaves the block without a sequence."""

    def send(self, size):
        """Sends what `exchange` has written, if anything, when the sums that it wants are
        computed."""
        run, block, own, _, _, _ = self._parts
        while size == COMPUTE:
            self.role.step.compute()
            size = run(block, own, _COMPUTED)
        Native.send(self, size)
