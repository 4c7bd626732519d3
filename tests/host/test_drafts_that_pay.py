"""How many tokens are guessed at a time where nobody says: as many as the model of time finds."""

import pytest

from host.hardware.boards import load
from host.model.quantization.quantize import quantize
from host.parallel.cost.drafts import count_that_pays
from tests.host.tiny import random_checkpoint
from tests.plans import tensor_plan

# Tokens that a pass gives where guesses are always right, and where they never are.
RIGHT = [float(count) for count in range(1, 9)]
WRONG = [1.0] * 8


@pytest.fixture(scope="module")
def plan():
    return tensor_plan(quantize(random_checkpoint()), 2, mtu=1470)


def test_guesses_that_are_right_pay_as_far_as_a_request_has_positions(plan):
    assert plan.positions > 1
    assert count_that_pays(plan, [load("esp32s3")] * 2, RIGHT) == plan.positions - 1


def test_guesses_that_are_wrong_do_not(plan):
    assert count_that_pays(plan, [load("esp32s3")] * 2, WRONG) == 0


def test_a_model_without_texts_of_its_own_is_not_guessed(plan):
    assert count_that_pays(plan, [load("esp32s3")] * 2, [1.0]) == 0


@pytest.mark.parametrize("boards", [[], [load("simulated")] * 2])
def test_nothing_is_guessed_where_no_time_is_modelled(plan, boards):
    assert count_that_pays(plan, boards, RIGHT) == 0
