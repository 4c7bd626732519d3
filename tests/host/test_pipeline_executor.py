"""The pipeline's executor on fake stages, in virtual time: logits, retransmission and errors."""

from functools import partial

import numpy as np
import pytest

from host.errors import ClusterError, ModelError
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from protocol import message_types
from protocol.auth import LAST_COUNTER
from protocol.messages import BAD_REQUEST, FAULT
from tests.host.fake_chips import FakeChip, silence
from tests.host.fake_steps import LATENCY
from tests.host.pipeline_runs import KEY, TOKENS, assert_runs, at, connected
from tests.host.tiny import TINY, random_checkpoint

OTHERS = [4, 4, 38, 12, 9, 0, 27]


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint())


@pytest.fixture(scope="module")
def expected(model):
    """The reference's logits [position, vocab] of TOKENS."""
    return Reference(model).logits([TOKENS])[0]


@pytest.fixture
def pipeline(model, clock):
    return partial(connected, model, clock)


@pytest.mark.parametrize("chips", [2, 3, 4, 5])
@pytest.mark.parametrize("key", [b"", KEY], ids=["open", "signed"])
def test_logits_are_the_references(pipeline, expected, chips, key):
    cluster = pipeline(chips=chips, key=key)
    assert_runs(cluster.executor, expected)
    assert cluster.executor.recoveries == cluster.executor.resends == 0
    assert cluster.dispatcher.dropped == 0


def test_several_sequences_are_on_their_way_at_once(pipeline, model, expected):
    cluster = pipeline()
    executor = cluster.executor
    first, second = executor.open(), executor.open()
    executor.extend(first, TOKENS)
    executor.extend(second, OTHERS)
    found = {seq: scores[-1] for seq, scores in (executor.completed() for _ in range(2))}
    np.testing.assert_array_equal(found[first], expected[-1])
    np.testing.assert_array_equal(found[second], Reference(model).logits([OTHERS])[0][-1])
    assert first.sequence_id % executor.slots == first.slot
    assert executor.activity.most_sequences == 2 and executor.activity.completions == 2


def test_greedy_answers_are_the_best_two_of_each_chip(pipeline, expected):
    executor = pipeline(chips=4).executor
    executor.greedy = True
    executor.begin()
    logits = executor.forward(TOKENS[:3])
    assert logits.argmax() == expected[2].argmax() and logits.max() == expected[2].max()
    assert (np.sort(logits)[-2:] == np.sort(expected[2])[-2:]).all()
    assert np.count_nonzero(logits >= -(1 << 15)) == 2 * len(executor.plan.stages[-1].chips)


def test_every_answer_is_acknowledged_once_it_is_there(pipeline):
    cluster = pipeline()
    cluster.executor.begin()
    cluster.executor.forward([1])
    assert cluster.acknowledged == {1}


def test_a_slot_is_free_once_its_sequence_is_closed(pipeline):
    executor = pipeline().executor
    opened = [executor.open() for _ in range(executor.slots)]
    with pytest.raises(ValueError, match=f"^all {executor.slots} slots have a sequence$"):
        executor.open()
    executor.extend(opened[0], [1, 2])
    executor.close(opened[0])
    assert executor.open().slot == 0
    with pytest.raises(ValueError, match="no sequence was extended"):
        executor.completed()


def test_the_context_is_the_end(pipeline):
    executor = pipeline().executor
    sequence = executor.open()
    with pytest.raises(ValueError, match="no tokens"):
        executor.extend(sequence, [])
    executor.extend(sequence, [3] * TINY.context)
    with pytest.raises(ModelError, match="position 16 is beyond the context of 16"):
        executor.extend(sequence, [3])


def test_a_lost_step_is_retransmitted_ever_later_up_to_a_bound(pipeline, clock):
    cluster = pipeline(lambda cluster, number, came: "lost" if came < 8 else None)
    cluster.executor.begin()
    cluster.executor.forward([1])
    times = np.diff(cluster.transport.times(message_types.STEP))
    # While nothing comes at all, a check of the chips may hold up what is due.
    expected = [0.1, 0.15, 0.225, 0.25, 0.25, 0.25, 0.25, 0.25]
    assert times == pytest.approx(expected, abs=4 * LATENCY)
    assert cluster.executor.resends == 8 and cluster.executor.recoveries == 0


def test_a_step_is_retransmitted_as_soon_as_round_trips_allow(pipeline, expected):
    cluster = pipeline(at(7, "lost"))
    executor = cluster.executor
    assert_runs(executor, expected, 1)
    times = np.diff(cluster.transport.times(message_types.STEP))
    assert times[7] == pytest.approx(0.03, abs=1e-4) and executor.resends == 1


def test_on_a_lossless_link_a_step_has_a_second_at_first(pipeline):
    cluster = pipeline(at(0, "lost"), is_lossless=True)
    cluster.executor.begin()
    cluster.executor.forward([1])
    times = np.diff(cluster.transport.times(message_types.STEP))
    assert times == pytest.approx([1.0], abs=4 * LATENCY)


@pytest.mark.parametrize("taken", ["lost", "silent"])
def test_a_dead_chip_is_seen_whether_a_step_is_taken_or_not(pipeline, clock, taken):
    """silent: the first stage takes it, and no answer ever comes."""
    started, asked = clock.now, []

    def watch():
        asked.append(clock.now)
        if len(asked) > 1:
            raise ClusterError("chip 1 died")

    cluster = pipeline(lambda *_: taken, watch=watch, is_lossless=True)
    cluster.executor.begin()
    with pytest.raises(ClusterError, match="chip 1 died"):
        cluster.executor.forward([1])
    assert clock.now - started <= 0.15


def test_round_trips_of_retransmitted_steps_do_not_count(pipeline):
    """It is unknown which transmission was acknowledged: Karn's algorithm, as RFC 6298 has it."""
    cluster = pipeline(lambda cluster, number, came: "lost" if came in (0, 2) else None)
    cluster.executor.begin()
    for _ in range(2):
        cluster.executor.forward([1])
    times = np.diff(cluster.transport.times(message_types.STEP))
    assert times[[0, 2]] == pytest.approx([0.1, 0.1], abs=1e-3)


def test_all_chips_of_the_first_stage_must_take_a_step(pipeline, expected):
    cluster = pipeline(chips=4)
    chip, lost = cluster.chips[1], iter([True])
    takes = chip.on_compute
    chip.on_compute = lambda message: silence(message) if next(lost, False) else takes(message)
    assert len(cluster.executor.plan.stages[0].chips) == 2
    cluster.executor.begin()
    np.testing.assert_array_equal(cluster.executor.forward(TOKENS), expected[-1])
    assert cluster.executor.resends == 1


@pytest.mark.parametrize(("code", "name"), [(FAULT, "FAULT"), (BAD_REQUEST, "BAD_REQUEST")])
def test_a_fault_ends_it_and_names_the_chip(pipeline, code, name):
    executor = pipeline(at(0, code)).executor
    executor.begin()
    with pytest.raises(ClusterError, match=f"^chip 1, position 1: {name}: what it says$"):
        executor.forward([7])


def test_what_comes_of_a_chip_outside_the_plan_is_dropped(pipeline, expected):
    cluster = pipeline()
    stranger = FakeChip(200)
    for kind in (message_types.LOGITS, message_types.ACK, message_types.ERROR):
        for frame in stranger.says(kind, bytes(20), 1):
            cluster.transport.arrive(frame, 0.001)
    assert_runs(cluster.executor, expected)
    assert cluster.dispatcher.dropped == 3


@pytest.mark.parametrize(
    ("kind", "payload", "error"),
    [
        (message_types.LOGITS, b"short", "a malformed answer: LOGITS payload is too short"),
        (message_types.BEST, bytes(8), "a malformed answer: BEST payload is too short"),
        (message_types.BEST, bytes(9) + b"\xff\xff\0\0" * 2, "with a token of another chip"),
        (message_types.LOGITS, bytes(6) + b"\1" + bytes(9), "with other rows of the vocabulary"),
    ],
)
def test_a_malformed_answer_is_an_error_of_its_chip(pipeline, kind, payload, error):
    cluster = pipeline()
    cluster.executor.begin()
    cluster.say(1, kind, payload, 1)
    with pytest.raises(ClusterError, match=rf"^chip 1 (sent|answered) {error}"):
        cluster.executor.forward([1])


def test_a_malformed_error_is_an_error_of_its_chip(pipeline):
    cluster = pipeline()
    cluster.executor.begin()
    cluster.say(1, message_types.ERROR, b"\1", 1)
    assert cluster.executor.forward([1]).any()
    assert cluster.dispatcher.dropped == 1


@pytest.mark.parametrize("wears", [True, False])
def test_a_session_whose_counters_are_half_used_is_replaced_between_sequences(
    pipeline, expected, wears
):
    cluster = pipeline(key=KEY)
    session = cluster.signer.announcement()
    assert_runs(cluster.executor, expected)
    if wears:
        cluster.signer.session._highest[-1] = LAST_COUNTER // 2 + 1
    assert_runs(cluster.executor, expected)
    assert (cluster.signer.announcement() != session) == wears
    assert cluster.executor.recoveries == 0


def test_stages_were_idle_while_they_were_not_busy(pipeline):
    cluster = pipeline()
    executor = cluster.executor
    assert executor.idle({0: 0, 1: 0}) is None
    executor.begin()
    executor.forward(TOKENS[:8])
    milliseconds = 1000 * executor.activity.seconds
    idle = executor.idle({0: milliseconds, 1: milliseconds / 2})
    assert idle.stages == 2 and idle.micro_batches == 8 / executor.plan.positions
    assert idle.measured == pytest.approx(0.25)
    assert idle.formula == pytest.approx(1 / (1 + idle.micro_batches))


def test_chips_that_keep_partial_sums_cannot_be_checked(pipeline):
    with pytest.raises(ClusterError, match="^--check compares partial sums"):
        pipeline().executor.check_arithmetic()
