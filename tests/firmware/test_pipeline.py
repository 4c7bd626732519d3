"""Pipelines of stages: they answer as the whole model does, in order, whatever is lost between."""

from firmware.roles.handover import (
    GIVE_UP_MS,
    LONGEST_TIMEOUT_MS,
    SHORTEST_TIMEOUT_MS,
    TIMEOUT_STEPS,
)
from host.wire.payloads import decode_best
from host.wire.reports import decode_error, decode_statistics
from protocol import message_types
from protocol.frame import BROADCAST, HOST, TYPE
from protocol.message import FederationMessage
from protocol.message_types import ACK, BEST, ERROR, LOGITS, STATISTICS, STEP
from protocol.messages import BAD_REQUEST, NEED_KV, WANTS_BEST, WANTS_LOGITS, WANTS_NOTHING
from tests.firmware.clock import CLOCK
from tests.firmware.groups import embedded, expected_logits
from tests.firmware.samples import between
from tests.firmware.stages import Pipeline
from tests.firmware.test_all_reduce import logits_in
from tests.firmware.tiny import TinyModel


def answers(messages):
    """Those of the last stage."""
    return [m for m in messages if m.kind in (LOGITS, BEST)]


def through(pipeline, residual, position=0, sequence_id=1):
    """The logits of one step, which the host acknowledges."""
    pipeline.step(residual, WANTS_LOGITS, position, sequence_id)
    came = answers(pipeline.answers())
    for message in came:
        pipeline.acknowledge(message)
    pipeline.answers()
    return logits_in(came)


def test_stages_of_one_and_more_chips_compute_the_whole_model():
    for groups in ((1,), (1, 1), (1, 1, 1), (2, 1), (1, 3), (2, 2)):
        model = TinyModel(seed=len(groups), kv_heads=4, layers=len(groups))
        pipeline = Pipeline(model, groups)
        position = 0
        for count in (2, 1, 1):
            residual = embedded(model, count)
            expected = expected_logits(model, residual, position)
            assert through(pipeline, residual, position) == expected
            position += count


def test_sequences_have_caches_of_their_own():
    models = [TinyModel(seed=21, layers=2) for _ in range(2)]  # the same, with a cache each
    pipeline = Pipeline(models[0], (1, 1))
    for position in range(3):
        for sequence_id, model in zip((4, 5), models):
            residual = embedded(model)
            expected = expected_logits(model, residual, position)
            assert through(pipeline, residual, position, sequence_id) == expected
    residual = embedded(models[0])
    expected = expected_logits(models[0], residual, 0)
    assert through(pipeline, residual, 0, 6) == expected  # in the place of 4
    assert through(pipeline, residual, 0, 4) == []  # which is older


def test_the_best_tokens_are_those_of_the_logits():
    model = TinyModel(seed=22, kv_heads=4)
    pipeline = Pipeline(model, (1, 2))
    residual = embedded(model)
    pipeline.step(residual, WANTS_BEST)
    expected = expected_logits(model, residual, 0)
    bests = [decode_best(m.payload) for m in answers(pipeline.answers())]
    assert len(bests) == 2 and max(best.logits[0] for best in bests) == max(expected)


def test_what_nobody_wants_to_know_is_not_answered():
    model = TinyModel(seed=23)
    pipeline = Pipeline(model, (1, 1))
    first, second = embedded(model, 2), embedded(model)
    pipeline.step(first, WANTS_NOTHING)
    assert [(m.kind, m.src) for m in pipeline.answers()] == [(ACK, 0)]
    expected_logits(model, first, 0)
    assert through(pipeline, second, 2) == expected_logits(model, second, 2)


def test_a_stage_hands_over_nothing_before_what_it_made_was_taken():
    model = TinyModel(seed=24, layers=2)
    pipeline = Pipeline(model, (1, 1), slots=5)
    residuals = [embedded(model) for _ in range(5)]
    for sequence_id, residual in enumerate(residuals):
        pipeline.step(residual, WANTS_LOGITS, 0, sequence_id)
        said = pipeline.answers()
        # Of five steps the last stage holds what it made of one and another that it has worked on,
        # so does the first; the fifth waits.
        taken = [m.sequence for m in said if m.kind == ACK]
        assert taken == ([sequence_id + 1] if sequence_id < 4 else [])
        assert len(answers(said)) == (sequence_id == 0)
        if sequence_id == 0:
            answer = answers(said)
    for sequence_id, residual in enumerate(residuals[1:], 1):
        pipeline.acknowledge(answer[0])
        said = pipeline.answers()
        assert [m.sequence for m in said if m.kind == ACK] == ([5] if sequence_id == 1 else [])
        answer = answers(said)
        assert logits_in(answer) == expected_logits(model, residual, 0)


def test_what_waits_to_be_handed_over_is_dropped_with_its_session():
    model = TinyModel(seed=34, layers=1)
    pipeline = Pipeline(model, (1,), slots=2)
    for sequence_id in (1, 2):
        pipeline.step(embedded(model), WANTS_LOGITS, 0, sequence_id)
    (answer,) = answers(pipeline.answers())
    pipeline.links[0].inbox.append(
        FederationMessage(message_types.DISCOVERY, HOST, BROADCAST, 1, b"another").encode()
    )
    pipeline.answers()
    pipeline.acknowledge(answer)
    pipeline.send_again()
    assert answers(pipeline.answers()) == []
    residual = embedded(model)
    assert through(pipeline, residual, 0, 3) == expected_logits(model, residual, 0)


def test_answers_come_again_until_they_are_acknowledged():
    model = TinyModel(seed=25)
    pipeline = Pipeline(model, (1, 1))
    pipeline.step(embedded(model), WANTS_LOGITS)
    (first,) = answers(pipeline.answers())
    assert answers(pipeline.answers()) == []
    pipeline.send_again()
    assert answers(pipeline.answers()) == [first]
    pipeline.acknowledge(first)
    pipeline.answers()
    pipeline.send_again()
    assert pipeline.answers() == []


def test_a_step_that_comes_again_is_acknowledged_again_and_not_computed():
    model = TinyModel(seed=26)
    pipeline = Pipeline(model, (1, 1))
    residual = embedded(model)
    pipeline.step(residual, WANTS_LOGITS)
    assert len(pipeline.answers()) == 2
    pipeline.step(residual, WANTS_LOGITS, again=True)
    assert [(m.kind, m.src) for m in pipeline.answers()] == [(ACK, 0)]


def test_nothing_is_missing_where_a_third_of_messages_is_lost():
    model = TinyModel(seed=27, kv_heads=4, layers=3)
    pipeline = Pipeline(model, (1, 2, 1))
    for link in pipeline.links:
        link.lost = lambda frame: frame[TYPE] in (STEP, ACK) and between(0, 2) == 0
    for position in range(4):
        residual = embedded(model)
        pipeline.step(residual, WANTS_LOGITS, position)
        came = []
        while not came:
            came = answers(pipeline.answers(1))
            pipeline.send_again()
        pipeline.acknowledge(came[0])
        assert logits_in(came) == expected_logits(model, residual, position)


def test_a_position_without_its_past_is_told_to_the_host_by_any_stage():
    model = TinyModel(seed=28)
    pipeline = Pipeline(model, (1, 1))
    through(pipeline, embedded(model))
    pipeline.roles[1].step.forget()
    number = pipeline.step(embedded(model), WANTS_LOGITS, position=1)
    (error,) = [m for m in pipeline.answers() if m.kind == ERROR]
    assert (error.src, error.sequence) == (1, number)
    assert decode_error(error.payload).code == NEED_KV
    pipeline.send_again()
    assert pipeline.answers() == []  # nobody is held up by it


def test_a_step_that_contradicts_the_share_is_refused():
    model = TinyModel(seed=29, context=8)
    pipeline = Pipeline(model, (1, 1))
    pipeline.step(embedded(model), WANTS_LOGITS, position=8)
    (error,) = [m for m in pipeline.answers() if m.kind == ERROR]
    assert decode_error(error.payload).code == BAD_REQUEST


def test_another_session_forgets_what_was_under_way():
    model = TinyModel(seed=30, kv_heads=4)
    pipeline = Pipeline(model, (2, 1))
    for link in pipeline.links:
        link.lost = lambda frame: True
    pipeline.step(embedded(model), WANTS_LOGITS)
    pipeline.answers()
    for link in pipeline.links:
        link.lost = lambda frame: False
        discovery = FederationMessage(message_types.DISCOVERY, HOST, BROADCAST, 1, b"another")
        link.inbox.append(discovery.encode())
    pipeline.answers()
    fresh = TinyModel(seed=30, kv_heads=4)
    residual = embedded(model)
    assert through(pipeline, residual, 0, 2) == expected_logits(fresh, residual, 0)


def test_statistics_tell_how_long_a_stage_was_at_work():
    """Where the clock stands still but for 5 ms in each step and a second after it."""
    model = TinyModel(seed=31)
    pipeline = Pipeline(model, (1, 1))
    take(pipeline, 0, 5)
    for position in range(8):
        through(pipeline, embedded(model), position)
        CLOCK.pass_ms(1000)
    assert busy_ms(pipeline, 0) == 8 * 5
    assert busy_ms(pipeline, 1) == 0


def take(pipeline, chip, milliseconds):
    """Has each step of a chip take so long."""
    step = pipeline.roles[chip].step
    begin = step.begin

    def slow(*arguments):
        CLOCK.pass_ms(milliseconds)
        return begin(*arguments)

    step.begin = slow


def busy_ms(pipeline, chip):
    """What a chip says of it."""
    pipeline.links[chip].inbox.append(
        FederationMessage(message_types.STATISTICS, HOST, chip, 9, b"\0").encode()
    )
    (said,) = [m for m in pipeline.answers() if m.kind == STATISTICS]
    return decode_statistics(said.payload).busy_ms


def sent_again_at(pipeline, until):
    """The milliseconds after an answer at which it is sent again."""
    began, times = CLOCK.now, []
    while CLOCK.now - began < until:
        CLOCK.pass_ms(1)
        times += [CLOCK.now - began] * len(answers(pipeline.answers(1)))
    return times


def test_an_answer_is_sent_again_after_a_timeout_that_grows():
    for step_ms, first in (
        (0, SHORTEST_TIMEOUT_MS),
        (4, SHORTEST_TIMEOUT_MS),
        (20, TIMEOUT_STEPS * 20),
        (1000, LONGEST_TIMEOUT_MS),
    ):
        model = TinyModel(seed=32, layers=1)
        pipeline = Pipeline(model, (1,))
        take(pipeline, 0, step_ms)
        pipeline.step(embedded(model), WANTS_LOGITS)
        assert len(answers(pipeline.answers(1))) == 1
        expected, timeout = [first], first
        while expected[-1] < 1500:
            timeout = min(timeout + timeout // 4, LONGEST_TIMEOUT_MS)
            expected.append(expected[-1] + timeout)
        assert timeout == LONGEST_TIMEOUT_MS
        assert sent_again_at(pipeline, expected[-1]) == expected, step_ms


def test_an_answer_that_nobody_takes_is_given_up_and_the_next_step_begun():
    model = TinyModel(seed=33, layers=1)
    pipeline = Pipeline(model, (1,))
    first, second = embedded(model), embedded(model)
    pipeline.step(first, WANTS_LOGITS)
    (answer,) = answers(pipeline.answers())
    pipeline.step(second, WANTS_LOGITS, position=1)
    assert [m.kind for m in pipeline.answers()] == [ACK]  # what comes of it waits
    CLOCK.pass_ms(GIVE_UP_MS)
    assert answers(pipeline.answers()) == [answer]  # a last time
    CLOCK.pass_ms(1)
    said = pipeline.answers()
    assert [m.kind for m in said] == [LOGITS]
    expected_logits(model, first, 0)
    assert logits_in(answers(said)) == expected_logits(model, second, 1)
