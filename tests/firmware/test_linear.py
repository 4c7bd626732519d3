"""Matrix-vector products over stored blocks."""

import random

from firmware.compute.linear import Linear
from protocol.fields import int32s
from tests.firmware.plain import PlainKernels
from tests.firmware.samples import mixed
from tests.firmware.shards import WIDEST, stored


def product(rows, columns, x, at, weights):
    """What a Linear of such rows gives, from byte `at` of a buffer with other bytes around."""
    data = bytearray(b"\xa5" * at) + stored(weights) + bytearray(b"\x5a" * 9)
    inputs, y = int32s(columns), int32s(rows)
    linear = Linear(at, rows, columns, inputs, PlainKernels(4, WIDEST))
    for i in range(rows):
        y[i] = 12345  # of another matrix that used the buffer
    for i in range(columns):
        inputs[i] = x[i]
    linear.run(data, y)
    return list(y)


def test_products_of_one_and_of_several_blocks():
    random.seed(1)
    for columns in (1, 2, WIDEST - 1, WIDEST, WIDEST + 1, 2 * WIDEST, 40):
        for rows in (1, 2, 9):
            for at in (0, 5):
                weights = [mixed(-127, 127, columns) for _ in range(rows)]
                x = mixed(-32767, 32767, columns)
                expected = [sum(w * v for w, v in zip(row, x)) for row in weights]
                assert product(rows, columns, x, at, weights) == expected


def test_each_layer_brings_its_own_weights():
    inputs, y = int32s(3), int32s(1)
    inputs[0], inputs[1], inputs[2] = 1, 10, 100
    linear = Linear(0, 1, 3, inputs, PlainKernels(4, WIDEST))
    for weights in ([1, 2, 3], [-127, 0, 127]):
        linear.run(stored([weights]), y)
        assert y[0] == weights[0] + 10 * weights[1] + 100 * weights[2]
