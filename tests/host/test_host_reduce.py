"""The host-reduce executor on fake chips: the reference's logits, whatever chips do meanwhile."""

from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.errors import ClusterError, ModelError
from host.executors.host_reduce import HostReduceExecutor, unpack
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from protocol.bitpack import bits_needed, pack, packed_size
from tests.host.fake_coordinator import BOOTED, FakeCoordinator, at, digests
from tests.host.tiny import TINY, random_checkpoint
from tests.plans import tensor_plan, with_positions

TOKENS = [1, 17, 5, 33, 8, 21, 2, 39, 30, 11]
LAYERS = TINY.layers


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint())


@pytest.fixture(scope="module")
def expected(model):
    """The reference's logits [position, vocab] of TOKENS."""
    return Reference(model).logits([TOKENS])[0]


def executor_of(model, chips=3, script=lambda *_: None):
    plan = with_positions(tensor_plan(model, chips), 4)
    executor = HostReduceExecutor(
        model, plan, FakeCoordinator(model, plan, script), digests(plan)
    )  # fmt: skip
    executor.connect(1.0)
    return executor


def assert_runs(executor, expected, prompt=5):
    """The prompt at once, then token by token."""
    executor.begin()
    np.testing.assert_array_equal(executor.forward(TOKENS[:prompt]), expected[prompt - 1])
    for position in range(prompt, len(TOKENS)):
        logits = executor.forward([TOKENS[position]])
        np.testing.assert_array_equal(logits, expected[position])


@pytest.mark.parametrize("chips", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("prompt", [1, 3, 4, 5, 9])
def test_logits_are_the_references(model, expected, chips, prompt):
    assert_runs(executor_of(model, chips), expected, prompt)


def test_a_prompt_goes_in_requests_of_several_positions(model):
    executor = executor_of(model)
    executor.begin()
    executor.forward(TOKENS)
    asked = executor._coordinator.asked
    assert [(position, count) for _, layer, phase, position, count in asked
            if (layer, phase) == (0, 0)] == [(0, 4), (4, 4), (8, 2)]  # fmt: skip
    assert executor.synchronizations == len(asked) == 3 * 2 * LAYERS + 1


def test_a_token_takes_two_synchronizations_a_layer_and_one_for_the_vocabulary(model):
    executor = executor_of(model)
    executor.begin()
    executor.forward(TOKENS[:4])
    before = executor.synchronizations
    executor.forward(TOKENS[4:5])
    assert executor.synchronizations - before == 2 * LAYERS + 1


def test_only_chips_that_own_a_part_of_a_phase_are_asked(model):
    executor = executor_of(model, chips=12)  # 6 heads, 10 units, 40 rows
    executor.begin()
    executor.forward([1])
    asked = {phase: chips for chips, _, phase, _, _ in executor._coordinator.asked}
    assert {phase: len(chips) for phase, chips in asked.items()} == {0: 6, 1: 10, 2: 12}


def test_a_new_sequence_begins_at_position_0_with_another_id(model, expected):
    executor = executor_of(model)
    executor.begin()
    executor.forward([9, 9, 9])
    assert_runs(executor, expected)


def test_the_context_is_the_end(model):
    executor = executor_of(model)
    executor.begin()
    executor.forward([3] * TINY.context)
    for count in (1, 2):
        with pytest.raises(ModelError, match="is beyond the context of 16"):
            executor.forward([3] * count)
    with pytest.raises(ValueError, match="no tokens"):
        executor.forward([])


# Five tokens take two requests for each of four phases, and the vocabulary: COMPUTE 9 begins
# position 5. A chip that has lost its cache by then has it replayed by the four that follow.
@pytest.mark.parametrize("call", range(5, 25))
def test_a_chip_that_restarts_has_its_cache_replayed_and_changes_nothing(model, expected, call):
    executor = executor_of(model, script=at(call, lambda cluster: cluster.restart(1)))
    assert_runs(executor, expected)
    assert executor.recoveries == 1
    coordinator = executor._coordinator
    assert coordinator.boot_ids[1] == BOOTED + 1
    alone = [request for request in coordinator.asked if request[0] == [1]]
    assert {(layer, phase) for _, layer, phase, _, _ in alone} == {(0, 0), (1, 0)}


def test_a_restart_of_a_chip_without_heads_is_noticed_by_its_boot_id(model, expected):
    executor = executor_of(model, 7, at(11, lambda cluster: cluster.restart(6)))
    assert not executor.plan.shards[6].heads
    assert_runs(executor, expected)
    assert executor.recoveries == 0
    assert executor._coordinator.boot_ids[6] == BOOTED + 1


@pytest.mark.parametrize("again", range(11, 15))
def test_a_chip_may_restart_during_its_replay(model, expected, again):
    first, second = (at(call, lambda cluster: cluster.restart(1)) for call in (9, again))

    def script(*request):
        first(*request)
        second(*request)

    executor = executor_of(model, script=script)
    assert_runs(executor, expected)
    assert executor.recoveries == 2


@pytest.mark.parametrize("chips", [3, 7, 50])
def test_all_chips_may_lose_their_caches_at_once(model, expected, chips):
    def power_cut(cluster):
        cluster.restart(*cluster.chips)

    executor = executor_of(model, chips, at(12, power_cut))
    assert_runs(executor, expected)
    assert executor.recoveries == sum(bool(shard.heads) for shard in executor.plan.shards)


@pytest.mark.parametrize("call", [0, 6, 9, 10, 11, 12, 13, 14])
def test_a_silent_chip_has_a_handshake_and_is_asked_again_also_during_a_replay(
    model, expected, call
):
    restarted = at(9, lambda cluster: cluster.restart(1))
    silent = at(call, lambda cluster: cluster.fall_silent(0, 1, 2))

    def script(*request):
        restarted(*request)
        silent(*request)

    executor = executor_of(model, script=script)
    assert_runs(executor, expected)
    assert executor.recoveries == 1
    during_replay = 10 <= call < 14  # of which none but chip 1 is asked
    handshakes = [chips for chips, _ in executor._coordinator.handshakes]
    assert handshakes.count([1] if during_replay else [0, 1, 2]) == 2  # one to begin with


def test_a_chip_that_restarts_all_the_time_is_an_error_that_names_it(model):
    def script(cluster, message, chips):
        if message.position:
            cluster.restart(1)

    executor = executor_of(model, script=script)
    executor.begin()
    executor.forward(TOKENS[:4])
    with pytest.raises(ClusterError) as caught:
        executor.forward([1])
    assert str(caught.value) == "chip 1 keeps restarting (attention of layer 0, position 4)"
    assert executor.recoveries == 8


def test_a_chip_that_completes_handshakes_only_is_an_error_that_names_it(model):
    executor = executor_of(
        model, script=lambda cluster, message, chips: cluster.fall_silent(2)
    )
    executor.begin()
    with pytest.raises(ClusterError) as caught:
        executor.forward([1])
    assert str(caught.value) == (
        "chip 2 completes handshakes but answers no request (attention of layer 0, position 0)"
    )
    wheres = {where for _, where in executor._coordinator.handshakes[1:]}
    assert wheres == {"attention of layer 0, position 0"}


def test_a_chip_with_another_model_is_refused_at_the_start_and_after_a_restart(model):
    def swap(cluster):
        cluster.restart(1)
        cluster.model_hash = b"\xab" * 8

    executor = executor_of(model, script=at(12, swap))
    with pytest.raises(ClusterError) as caught:
        assert_runs(executor, Reference(model).logits([TOKENS])[0])
    expected = model.sha256()[:8].hex()
    assert str(caught.value) == (
        f"chip 1 holds model abababababababab, not {expected}: flash it again"
    )
    with pytest.raises(ClusterError, match="^chip 0 holds model abab"):
        executor.connect(1.0)


def test_a_chip_with_the_shard_of_another_plan_is_refused(model):
    executor = executor_of(model)
    executor._coordinator.digests[1] = b"another!"
    with pytest.raises(ClusterError) as caught:
        executor.connect(1.0)
    assert str(caught.value) == (
        "chip 1 holds 2 heads, 3 units, 13 rows and a context of 16 (shard 616e6f7468657221), the"
        " shard of another plan: flash it again"
    )


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=80))
def test_unpacked_reads_what_chips_pack(values):
    numbers = array("i", values)
    bits = bits_needed(numbers, len(numbers))
    packed = bytearray(packed_size(len(numbers), bits))
    pack(packed, 0, numbers, len(numbers), bits)
    assert unpack(bytes(packed), len(numbers), bits).tolist() == values


@pytest.mark.parametrize("bits", range(1, 33))
def test_unpacked_reads_every_width_to_its_ends(bits):
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    values = [low, high, 0, -1, high, low, low]
    packed = bytearray(packed_size(len(values), bits))
    pack(packed, 0, array("i", values), len(values), bits)
    assert unpack(bytes(packed), len(values), bits).tolist() == values
