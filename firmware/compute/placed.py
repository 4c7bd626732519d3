"""Programs of native kernels where matrices stay in flash: each has an address of its own.

Where all of a chip's matrices are mapped (mapping.py) or kept in the heap (blocks.py), programs
take them from there. A matrix is stored in blocks of rows, each a matrix by itself, because it
must be possible to read it into buffers; `multiply_blocks` goes through them in one call. This
module is loaded only where kernels are native.
"""

from array import array
from binascii import crc32

import micropython
from uctypes import addressof

from firmware.compute.program import core, run_program, scoring_program
from protocol.compat import const
from protocol.fields import u32
from protocol.flash_layout import PLACE_SIZE

_PARTS = const(4)  # matrices of a layer, in the order of firmware/compute/shard_sizes.py


@micropython.viper
def multiply_blocks(kernel: int, rows_at_once: int, size: int, w: ptr8, count: int, y: ptr32,
                    x: ptr32, rows: int, at: int):  # fmt: skip
    """Multiplies with a matrix that is stored in blocks, as a kernel does with one.

    kernel: the address of its core, whose arguments follow `size`; rows_at_once, size: rows and
    bytes of a block. It exists in machine code only: there is no viper twin.
    """


class Placed:
    """The addresses of a model's matrices. Gives each layer `matrices`: of each the address,
    less its offset in the layer's buffer."""

    def __init__(self, model):
        blocks, vocabulary = model.blocks, model.vocabulary
        self._kernels, self._resident = blocks.kernels, blocks.resident
        attention, feed_forward = model.attention, model.feed_forward
        linears = [()] * _PARTS
        if attention:
            linears[0], linears[1] = attention._qkv, attention._o
        if feed_forward:
            linears[2], linears[3] = feed_forward._gate_up, feed_forward._down
        for layer in model.layers:
            layer.matrices = array("I", [self._address(layer.weights, each) for each in linears])
        self._scored = vocabulary and self._address(
            vocabulary._weights, vocabulary._classifier.blocks
        )

    def _address(self, buffer, linear):
        """Returns the address of a matrix less its offset; buffer: where its place is written,
        behind multipliers; linear: the blocks of its Linear, none if the chip has no such part."""
        if not linear:
            return 0
        at = linear[0][1]
        held, begin = self._resident[u32(buffer, len(buffer) - PLACE_SIZE) + at]
        return addressof(held) + begin - at

    def products(self, index, linear, y, rows, others=(), count=0, more=()):
        """Returns the calls of firmware/compute/program.py that multiply with a matrix.

        index: its number in a layer, -1 for the vocabulary's; linear: the blocks of its Linear;
        others: in place of their kernels and inputs, those for `count` positions, whose further
        arguments are `more`.
        """
        weights, calls = "matrices %d" % index if index >= 0 else self._scored, []
        for i, (multiply, at, x) in enumerate(linear):
            kernel, at_once, size = self._kernels[multiply]
            if others:
                kernel, x = others[i]
            words = (weights, count, y, x, rows, at) + more
            if 0 < at_once < rows:
                calls.append((multiply_blocks, (core(kernel), at_once, size) + words))
            else:
                calls.append((kernel, words))
        return calls


def is_right(model, programs):
    """Returns whether programs compute in each layer, and of the vocabulary, what bytecode does
    with blocks."""
    for layer in model.layers:
        for part, run, given in (
            (model.attention, programs.attend, (layer, 0, model.workspace.results)),
            (model.feed_forward, programs.feed, (layer, model.workspace.results)),
        ):
            if part and _computed(model, part.run, given) != _computed(model, run, given):
                return False
    if not model.vocabulary:
        return True
    given = scoring_program(model), array("I", [0] * 3), 0, model.workspace.results
    return _computed(model, model.vocabulary.run, ()) == _computed(model, run_program, given)


def _computed(model, run, given):
    """Returns the checksum of what run(*given) makes of some activations."""
    workspace, digest = model.workspace, 0
    x = workspace.x
    for i in range(len(x)):
        x[i] = i * 1237 % 2003 - 1001
    run(*given)
    for buffer in (workspace.results, workspace.heads, workspace.rows):
        digest = crc32(buffer, digest)
    return digest
