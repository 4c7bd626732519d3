"""Answers that are not those of a share are found; tests/system has chips that compute."""

import pytest

from host.errors import ClusterError
from host.executors.host_reduce import HostReduceExecutor
from host.model.quantization.quantize import quantize
from tests.host.fake_coordinator import FakeCoordinator, digests
from tests.host.tiny import random_checkpoint
from tests.plans import tensor_plan


def test_a_right_sum_of_wrong_parts_is_found():
    model = quantize(random_checkpoint())
    plan = tensor_plan(model, 3)
    fake = FakeCoordinator(model, plan)  # its parts are random
    executor = HostReduceExecutor(model, plan, fake, digests(plan))
    executor.connect(1.0)
    with pytest.raises(ClusterError) as caught:
        executor.check_arithmetic()
    assert str(caught.value) == (
        "chip 0 computes its attention of layer 0 wrongly at position 0: flash it again, with"
        " MicroPython 1.26 or later"
    )
    assert executor.observer is None
