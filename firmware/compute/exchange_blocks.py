"""Exchanges natively on a chip that reads matrices in blocks from flash.

Its kernels are called by bytecode (blocks.py), so there are no programs. exchange.py's machine
code takes in the others' contributions, adds up, and makes this chip's frame all the same: in
between, it has bytecode compute the sums of a phase. STEPs and answers are left to bytecode.
"""

from firmware.compute.results import COMPUTE
from protocol.compat import const

_COMPUTED = const(-2)  # in the place of a frame's length
_LAYERS = const(14)  # place of a word of exchange_block.py
_PROVED = const(2)  # layers that a proof goes through, for each has all its weights read


class InBlocks:
    """What a Native of exchange.py needs of bytecode on such a chip, whose methods it replaces."""

    def __init__(self, native):
        step = native.role.step
        self._compute, self._model, self._layers = step.compute, step.model, step.model.layers
        self._native, self._send = native, native.send
        native.slots = ()  # no STEP is taken, whatever sequence there is
        native.follow, native.send = bool, self.send  # bool() does nothing

    def shorten(self, is_proof):
        """Has steps go through few layers, for a proof, or through all of them."""
        layers = self._layers
        self._model.layers = layers = layers[:_PROVED] if is_proof else layers
        self._native.block[_LAYERS] = len(layers)

    def send(self, size):
        """Sends what `exchange` has written, if anything, when the sums that it wants are
        computed."""
        run, block, own, _, _, _ = self._native._parts
        while size == COMPUTE:
            self._compute()
            size = run(block, own, _COMPUTED)
        self._send(size)
