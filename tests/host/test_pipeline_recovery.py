"""The pipeline's executor where steps are lost for good: what is replayed, and given up."""

from functools import partial

import numpy as np
import pytest

from host.errors import ClusterError
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from protocol import message_types
from protocol.messages import FAULT, MISSING, NEED_KV, encode_error
from tests.host.fake_steps import LATENCY, STEP_SECONDS
from tests.host.pipeline_runs import KEY, MOST_RECOVERIES, TOKENS, assert_runs, at, connected
from tests.host.tiny import TINY, random_checkpoint

# Seconds without progress: until chips are checked, until all is replayed.
CHECKED, REPLAYED = 0.6, 10


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


def test_a_chip_that_restarted_is_noticed_by_its_boot_id_and_all_is_replayed(
    pipeline, expected, clock
):
    def restart(cluster, number, came):
        if came == 3:
            cluster.chips[1].restart()
            return "silent"
        return None

    cluster = pipeline(restart)
    assert_runs(cluster.executor, expected)
    assert cluster.executor.recoveries == 1
    assert CHECKED < clock.now - 1000 < CHECKED + 20 * STEP_SECONDS


@pytest.mark.parametrize("code", [NEED_KV, MISSING])
@pytest.mark.parametrize("call", [0, 1, 2, 4])
def test_what_a_chip_cannot_do_is_replayed_at_once(pipeline, expected, clock, code, call):
    cluster = pipeline(at(call, code), key=KEY)
    session = cluster.signer.announcement()
    assert_runs(cluster.executor, expected)
    assert cluster.executor.recoveries == 1
    assert cluster.signer.announcement() != session
    assert clock.now - 1000 < CHECKED


def test_what_was_still_to_be_sent_is_sent_once_more_and_counted_anew(pipeline, expected):
    cluster = pipeline(lambda cluster, number, came: [NEED_KV, "lost", None][min(came, 2)])
    executor = cluster.executor
    executor.begin()
    np.testing.assert_array_equal(executor.forward(TOKENS), expected[-1])
    steps = -(-len(TOKENS) // executor.plan.positions)
    assert executor.recoveries == 1 and executor.activity.steps == steps
    assert cluster.came == 2 + steps


def test_answers_to_steps_that_were_given_up_are_ignored(pipeline, expected):
    cluster = pipeline(at(0, NEED_KV))
    executor = cluster.executor
    executor.begin()
    rows = executor.plan.shards[1].rows
    late = bytes(6) + b"\1\0\0" + rows.start.to_bytes(2, "little") + bytes(1 + 2 * len(rows))
    cluster.say(1, message_types.LOGITS, late, 1, STEP_SECONDS + 3 * LATENCY)
    np.testing.assert_array_equal(executor.forward([TOKENS[0]]), expected[0])
    assert executor.recoveries == 1


def test_chips_are_not_checked_while_anything_comes(pipeline, clock):
    cluster = pipeline(latency=0.25)
    cluster.executor.begin()
    checks = len(cluster.transport.times(message_types.DISCOVERY))
    cluster.executor.forward([1] * TINY.context)
    assert clock.now - 1000 > CHECKED + 0.1
    assert len(cluster.transport.times(message_types.DISCOVERY)) == checks


def test_errors_of_steps_that_were_given_up_are_ignored(pipeline, expected):
    cluster = pipeline(at(1, NEED_KV))
    cluster.executor.begin()
    cluster.executor.forward(TOKENS[:4])
    cluster.executor.forward(TOKENS[4:8])
    assert cluster.executor.recoveries == 1
    cluster.say(1, message_types.ERROR, encode_error(FAULT, 0, 0, "old"), 2)
    cluster.say(1, message_types.ERROR, encode_error(FAULT, 0, 0, "as it restarts"), 0)
    np.testing.assert_array_equal(cluster.executor.forward(TOKENS[8:9]), expected[8])
    assert cluster.coordinator.last_errors[1] == "as it restarts"


def test_chips_that_dropped_a_step_are_given_time_and_then_all_is_replayed(
    pipeline, expected, clock
):
    cluster = pipeline(at(0, "silent"))
    cluster.executor.begin()
    logits = cluster.executor.forward(TOKENS[:1])
    np.testing.assert_array_equal(logits, expected[0])
    assert cluster.executor.recoveries == 1
    assert REPLAYED < clock.now - 1000 < REPLAYED + CHECKED + 10 * STEP_SECONDS
    # Until then a handshake each time that nothing has come for so long.
    checks = [time for time in cluster.transport.times(message_types.DISCOVERY) if time > 1000.1]
    assert len(checks) == pytest.approx(REPLAYED / CHECKED, abs=2)


@pytest.mark.parametrize(("what", "times"), [("silent", 1 + MOST_RECOVERIES), ("lost", 1.5)])
def test_chips_that_never_answer_are_given_up(pipeline, clock, what, times):
    cluster = pipeline(lambda *_: what)
    cluster.executor.begin()
    with pytest.raises(ClusterError, match=r"^chips keep losing their caches \(position 1\)$"):
        cluster.executor.forward([1])
    assert cluster.executor.recoveries == MOST_RECOVERIES
    assert clock.now - 1000 == pytest.approx(times * REPLAYED, rel=0.1)
    # It waits, and does not ask in a circle.
    assert cluster.transport.receives < 30 * (clock.now - 1000)


@pytest.mark.parametrize("call", [1, 2])
def test_an_error_again_and_again_is_given_up_although_steps_are_taken(pipeline, call):
    cluster = pipeline(lambda cluster, number, came: NEED_KV if came >= call else None)
    cluster.executor.begin()
    with pytest.raises(ClusterError, match=r"^chips keep losing their caches \(position "):
        cluster.executor.forward(TOKENS)
    assert cluster.executor.recoveries == MOST_RECOVERIES


def test_completed_tokens_earn_recoveries(pipeline):
    failures = []
    cluster = pipeline(lambda *_: failures.pop() if failures else None)
    cluster.executor.begin()
    for _ in range(3):
        for _ in range(4):
            failures += [NEED_KV]
            cluster.executor.forward([1])
            cluster.executor.forward([1])
        cluster.executor.begin()
    assert cluster.executor.recoveries == 12 > MOST_RECOVERIES
