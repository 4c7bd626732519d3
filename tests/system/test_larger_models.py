"""Models of millions of parameters on chips with the heap and the flash of real boards."""

import numpy as np
import pytest

from host.launch import SimulatedChips, open_cluster
from host.model.checkpoint import Config
from host.model.quantized import QuantizedModel
from host.model.reference import Reference
from host.parallel.parallelism import Parallelism
from tests.host.tiny import seeded_model

pytestmark = [pytest.mark.verify, pytest.mark.timeout(900)]
# Of stories15M of the tinyllamas.
STORIES15M = Config(288, 768, 6, 6, 6, 32_000, 256)


@pytest.fixture(scope="module")
def stories15m() -> QuantizedModel:
    return seeded_model(STORIES15M)


@pytest.mark.parametrize("reduce", ["host", "chips"])
def test_wide_heads_with_caches_of_8192_positions(reduce: str) -> None:
    model = seeded_model(Config(256, 96, 2, 2, 2, 300, 8192, head_dim=256))
    parallelism = Parallelism(reduce=reduce)
    of = SimulatedChips.alike(2, "uart", heap=24 << 20, parallelism=parallelism)
    tokens = [int(token) for token in np.random.default_rng(3).integers(0, 300, 20)]
    reference = Reference(model, context=20)
    with open_cluster(model, of) as cluster:
        executor = cluster.executor
        assert executor.plan.context == 8192
        executor.begin()
        for at in range(0, 20, 4):
            expected = [reference.step([token])[0] for token in tokens[at : at + 4]][-1]
            assert (executor.forward(tokens[at : at + 4]) == expected).all()


@pytest.mark.parametrize("weights", ["heap", "flash", "auto"])
@pytest.mark.parametrize("board", ["esp32s3-n16r8", "esp32s3-psram"])
def test_stories15m_on_five_boards(stories15m: QuantizedModel, board: str, weights: str) -> None:
    """Plans by the boards' heaps and flash, and gives the reference's logits and tokens."""
    of = SimulatedChips.alike(
        5, "uart", board, signed=True, parallelism=Parallelism(weights=weights)
    )
    tokens = [1, 31_999, 100, 20_000]
    reference = Reference(stories15m, context=16)
    with open_cluster(stories15m, of) as cluster:
        executor = cluster.executor
        assert bool(executor.plan.block(0)) == (weights == "flash")
        executor.begin()
        for _ in range(8):
            expected = [reference.step([token])[0] for token in tokens][-1]
            logits = executor.forward(tokens)
            assert logits.argmax() == expected.argmax()
            given = logits > -(1 << 15)
            assert (logits[given] == expected[given]).all() and given.sum() >= 64
            tokens = [int(expected.argmax())]
        assert executor.plan.context == STORIES15M.context
