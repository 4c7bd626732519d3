"""The all-reduce executor on fake chips, in virtual time."""

import numpy as np
import pytest

from host.errors import ClusterError
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from tests.host.fake_steps import FakeReplicas
from tests.host.pipeline_runs import KEY, MOST_RECOVERIES, TOKENS, assert_runs
from tests.host.tiny import TINY, random_checkpoint
from tests.plans import tensor_plan, with_positions


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint())


@pytest.fixture(scope="module")
def expected(model):
    """The reference's logits [position, vocab] of TOKENS."""
    return Reference(model).logits([TOKENS])[0]


@pytest.fixture
def replicas(model, clock):
    """Connected FakeReplicas."""

    def of(script=lambda *_: None, chips=3, **options):
        plan = with_positions(tensor_plan(model, chips, reduce="chips"), 4)
        cluster = FakeReplicas(model, plan, clock, script, **options)
        cluster.executor.connect(1.0)
        return cluster

    return of


@pytest.mark.parametrize("chips", [1, 3, 6])
@pytest.mark.parametrize("key", [b"", KEY], ids=["open", "signed"])
def test_logits_are_the_references(replicas, expected, chips, key):
    cluster = replicas(chips=chips, key=key)
    assert_runs(cluster.executor, expected)
    assert cluster.executor.recoveries == cluster.executor.resends == 0
    assert cluster.executor.idle({}) is None and cluster.executor.slots == 1


def test_greedy_answers_are_the_best_of_each_chip(replicas, expected):
    executor = replicas().executor
    executor.greedy = True
    executor.begin()
    logits = executor.forward(TOKENS[:3])
    assert logits.argmax() == expected[2].argmax() and logits.max() == expected[2].max()
    assert np.count_nonzero(logits >= -(1 << 15)) == 6  # two of each chip


def test_collectives_are_numbered_two_a_layer(replicas):
    numbers = []
    executor = replicas(lambda cluster, chip, request: numbers.append(request.number)).executor
    executor.begin()
    for _ in range(3):
        executor.forward([1])
    assert sorted(set(numbers)) == [0, 2 * TINY.layers, 4 * TINY.layers]


def test_all_chips_wait_for_one_another_twice_a_layer_and_the_host_once_a_token(replicas):
    executor = replicas().executor
    executor.begin()
    executor.forward(TOKENS)
    steps = -(-len(TOKENS) // executor.plan.positions)
    assert executor.synchronizations == 2 * TINY.layers * steps + 1


@pytest.mark.parametrize("position", range(1, len(TOKENS)))
@pytest.mark.parametrize("key", [b"", KEY], ids=["open", "signed"])
def test_a_chip_that_restarts_has_all_run_the_sequence_again(replicas, expected, position, key):
    restarted = []

    def restart(cluster, chip, request):
        if chip == 0 and request.position >= position and not restarted:
            restarted.append(1)
            cluster.restart(1)

    cluster = replicas(restart, key=key)
    assert_runs(cluster.executor, expected, 1)
    assert cluster.executor.recoveries == 1
    assert cluster.coordinator.boot_ids[1] == cluster.chips[1].boot_id


def test_a_chip_that_restarts_all_the_time_is_named(replicas):
    def restart(cluster, chip, request):
        if request.position and chip == 2:
            cluster.restart(2)

    executor = replicas(restart).executor
    executor.begin()
    with pytest.raises(ClusterError, match=r"^chip 2 keeps restarting \(position 4\)$"):
        executor.forward(TOKENS)
    assert executor.recoveries == MOST_RECOVERIES


def test_a_sequence_is_open_at_a_time(replicas):
    executor = replicas().executor
    executor.open()
    with pytest.raises(ValueError, match="^all 1 slots have a sequence$"):
        executor.open()


def test_chips_that_keep_partial_sums_cannot_be_checked(replicas):
    with pytest.raises(ClusterError, match="^--check compares partial sums"):
        replicas().executor.check_arithmetic()
