"""The residual stream's kernels as boards execute them, emulated, against the specification."""

import numpy as np
import pytest

from bench.emulation.module import TARGETS, EmulatedModule
from host.build.coarser_kernel import with_coarser
from host.model import arithmetic
from host.model.arithmetic import ACCUMULATOR_LIMIT, INT16_LIMIT, RESIDUAL_LIMIT, Gain, Rescale
from protocol.shard_layout import DROP
from tests.simulation.launch import REPOSITORY

SOURCE = (REPOSITORY / "firmware" / "compute" / "norms.py").read_text()
EPSILONS = (0, 1, 1 << 12, 1 << 24, (1 << 30) - 1)


@pytest.fixture(params=TARGETS)
def module(request):
    return EmulatedModule(SOURCE, "firmware/compute/norms.py", request.param)


def residuals(random, dim):
    """Of all magnitudes, the last with its ends."""
    for bits in range(0, 25, 3):
        largest = (1 << bits) - 1
        yield random.integers(-largest, largest + 1, dim)
    yield np.array([RESIDUAL_LIMIT, -RESIDUAL_LIMIT] * (dim // 2))


@pytest.mark.parametrize("dim", [4, 60, 172])
def test_norms_are_the_specifications(module, dim):
    random = np.random.default_rng(dim)
    for residual in residuals(random, dim):
        multiplier = random.integers(-INT16_LIMIT, INT16_LIMIT + 1, dim)
        gain = Gain(multiplier, int(random.integers(15, 30)), int(random.choice(EPSILONS)))
        limit = int(random.integers(1, INT16_LIMIT + 1))
        module.clear()
        source, x = module.placed(residual), module.placed(np.zeros(dim))
        gains = module.placed(multiplier + (1 << 15), "<u2")
        module.call("norm", source, 0, gains, 0, x, dim, gain.shift, gain.epsilon, limit)
        expected = arithmetic.rms_normalize(residual, gain, limit)
        assert module.int32s(x, dim).tolist() == expected.tolist()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["add_rescaled", "add_coarser"])
def test_sums_are_the_specifications(target, name):
    is_coarser = name == "add_coarser"
    source = with_coarser(SOURCE) if is_coarser else SOURCE
    module = EmulatedModule(source, "firmware/compute/norms.py", target)
    random, dim = np.random.default_rng(1), 60
    for shift in range(16, 46):
        drop = int(random.integers(0, 31)) if is_coarser else 0
        residual = random.integers(-RESIDUAL_LIMIT, RESIDUAL_LIMIT + 1, dim)
        sums = random.integers(-ACCUMULATOR_LIMIT, ACCUMULATOR_LIMIT + 1, dim)
        rescale = Rescale(random.integers(0, 1 << 15, dim), shift)
        module.clear()
        place, multipliers = module.placed(residual), module.placed(rescale.multiplier, "<u2")
        given = place, 0, module.placed(sums), multipliers, 0, dim, shift + DROP * drop
        module.call(name, *given)
        expected = arithmetic.add_residual(residual, sums, rescale, drop)
        assert module.int32s(place, dim).tolist() == expected.tolist()


def test_the_best_is_numpys(module):
    random = np.random.default_rng(2)
    for largest in (0, 3, INT16_LIMIT):
        logits = random.integers(-largest, largest + 1, 102)
        module.clear()
        assert module.call("best", module.placed(logits), 102) == int(np.argmax(logits))
