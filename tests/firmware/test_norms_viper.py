"""The residual stream's kernels, bit for bit against plain Python.

MicroPython alone runs these: as it compiles them itself and as mpy-cross does for chips.
"""

import random

from deployed import coarser
from deployed import norms as compiled_ahead

from firmware.compute import norms as compiled_here
from protocol.shard_layout import DROP
from tests.firmware.plain import PlainResidual, u16_buffer
from tests.firmware.samples import Guarded, between, mixed

COMPILED = (compiled_here, compiled_ahead)
PLAIN = PlainResidual()
LIMITS = (1, 511, 32767)
DIMS = (1, 2, 4, 5, 24, 60, 64, 65, 172, 288, 511, 512)
RESIDUAL_LIMIT = (1 << 24) - 1
ACCUMULATOR_LIMIT = 1 << 30
LARGEST_EPSILON = (1 << 30) - 1


def check_norm(kernels, values, gains, shift, epsilon, limit):
    n, at = len(values), 2 * between(0, 3)
    gain = u16_buffer([7] * (at // 2) + [multiplier + 32768 for multiplier in gains])
    residual, x, expected = Guarded(values), Guarded([5] * n), [0] * n
    kernels.norm(residual.view, 0, gain, at, x.view, n, shift, epsilon, limit)
    PLAIN.norm(values, 0, gain, at, expected, n, shift, epsilon, limit)
    assert x.values() == expected, (n, shift, epsilon, limit, max(values), min(values))
    assert residual.values() == values  # the residual stream itself stays
    return expected


def test_norms_of_every_size_and_magnitude():
    random.seed(1)
    for kernels in COMPILED:
        for n in DIMS:
            for bits in range(1, 25):
                largest = (1 << bits) - 1
                values = mixed(-largest, largest, n)
                gains = mixed(-32767, 32767, n)
                shift, limit = between(15, 29), LIMITS[between(0, 2)]
                check_norm(kernels, values, gains, shift, between(0, LARGEST_EPSILON), limit)


def test_norms_at_every_shift_and_many_epsilons():
    random.seed(2)
    for kernels in COMPILED:
        for shift in range(15, 30):
            for epsilon in (0, 1, 1 << 15, 1 << 24, LARGEST_EPSILON):
                for bits in (4, 15, 16, 24):
                    n = between(4, 100)
                    values = mixed(1 - (1 << bits), (1 << bits) - 1, n)
                    check_norm(kernels, values, mixed(-32767, 32767, n), shift, epsilon, 32767)


def test_norms_of_zeros_and_of_one_number():
    for kernels in COMPILED:
        for n in (1, 4, 5, 512):
            for epsilon in (0, 1, LARGEST_EPSILON):
                gains = [32767] * n
                assert check_norm(kernels, [0] * n, gains, 15, epsilon, 32767) == [0] * n
                for value in (1, -1, 32767, -32768, RESIDUAL_LIMIT, -RESIDUAL_LIMIT):
                    for at in (0, n - 1):
                        values = [0] * n
                        values[at] = value
                        check_norm(kernels, values, gains, 15, epsilon, 32767)


def test_norms_of_equal_numbers():
    """The greatest sums of squares, with the greatest epsilon beside them."""
    for kernels in COMPILED:
        for n in (1, 2, 64, 512):
            for value in (1, 181, 16384, 32767, -32768, -32767, 1 << 23, -RESIDUAL_LIMIT):
                for epsilon in (0, LARGEST_EPSILON):
                    gains = [-32767, 32767] * (n // 2) + [-32767] * (n % 2)
                    for shift in (15, 29):
                        check_norm(kernels, [value] * n, gains, shift, epsilon, 32767)


def test_a_norm_whose_roots_lie_beside_squares():
    """Sums of one square each, from the least that needs no doubling to the greatest."""
    for kernels in COMPILED:
        for root in list(range(16384, 32768, 97)) + [16385, 32766, 32767]:
            for value, epsilon in ((root, 0), (root, 1), (root - 1, 2 * root - 2)):
                check_norm(kernels, [value], [32767], 15, epsilon, 32767)


def test_a_norm_has_the_size_of_its_gain():
    """Whatever the residual's: of (3, 4, 0, 0) the root of the mean square is 2.5."""
    for kernels in COMPILED:
        gain = u16_buffer([1000 + 32768] * 4)
        for scale in (1000, 1 << 15, 1 << 21):
            x = Guarded([0] * 4)
            residual = Guarded([3 * scale, 4 * scale, 0, 0])
            kernels.norm(residual.view, 0, gain, 0, x.view, 4, 15, 0, 32767)
            # Its multiplier times 2**(14 - 15): normalized numbers are in units of 2**-14.
            expected = [600, 800, 0, 0]
            assert all(abs(a - b) <= 1 for a, b in zip(x.values(), expected)), x.values()


def test_sums_are_rescaled_and_added_at_every_shift():
    random.seed(3)
    for kernels in COMPILED + (coarser,):
        for shift in range(16, 46):
            for n in (0, 1, 24, 65):
                at = 2 * between(0, 3)
                values = mixed(-RESIDUAL_LIMIT, RESIDUAL_LIMIT, n)
                sums = mixed(-ACCUMULATOR_LIMIT, ACCUMULATOR_LIMIT, n)
                multiplier = u16_buffer(mixed(0, 32767, n + 4))
                residual, expected, acc = Guarded(values), list(values), Guarded(sums)
                both = shift + DROP * (between(0, 30) if kernels is coarser else 0)
                kernels.add_rescaled(residual.view, 0, acc.view, multiplier, at, n, both)
                PLAIN.add_rescaled(expected, 0, sums, multiplier, at, n, both)
                assert residual.values() == expected, (both, values, sums)
                assert acc.values() == sums


def test_sums_saturate_at_24_bits_and_round_half_up():
    half = u16_buffer([1 << 14] * 6)
    for kernels in COMPILED + (coarser,):
        residual = Guarded([RESIDUAL_LIMIT - 1, RESIDUAL_LIMIT, 1 - RESIDUAL_LIMIT, 0, 0, -5])
        acc = Guarded([4, 4, -8, 2, -2, 1])
        kernels.add_rescaled(residual.view, 0, acc.view, half, 0, 6, 16)
        limits = [RESIDUAL_LIMIT, RESIDUAL_LIMIT, -RESIDUAL_LIMIT]
        assert residual.values() == limits + [1, 0, -5]


def test_the_best_is_the_first_of_the_largest():
    random.seed(4)
    for kernels in COMPILED:
        for n in (1, 2, 3, 40, 512):
            for low, high in ((-32767, 32767), (-2, 2), (-32767, -32700), (7, 7)):
                logits = mixed(low, high, n)
                view = Guarded(logits).view
                assert kernels.best(view, n) == logits.index(max(logits)) == PLAIN.best(logits, n)
        assert kernels.best(Guarded([1, 9, 3, 9]).view, 4) == 1
        assert kernels.best(Guarded([-(1 << 31), (1 << 31) - 1]).view, 2) == 1
