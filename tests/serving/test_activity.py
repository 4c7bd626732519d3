"""What each chip does, from messages as a dispatcher passes them."""

from host.cluster.dispatcher import Message
from host.serving.activity import COMPUTING, IDLE, MOST_SPANS, SENDING, WAITING, Activity, Span
from protocol import message_types
from protocol.frame import BROADCAST
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def compute(layer, phase):
    return bytes([0, 0, layer, phase, 0, 0, 1])


def watch(chips=2):
    clock = Clock()
    return Activity(list(range(chips)), clock), clock


def says(activity, kind, chip):
    activity.received(Message(kind, chip, 0, b""))


def test_chips_compute_send_wait_and_rest():
    activity, clock = watch()
    activity.sent(message_types.COMPUTE, BROADCAST, compute(2, PHASE_ATTENTION))
    assert activity.states == {0: COMPUTING, 1: COMPUTING}
    clock.now = 1.0
    says(activity, message_types.FRAGMENT, 0)
    assert activity.states == {0: SENDING, 1: COMPUTING}
    activity.sent(message_types.COMPUTE, 1, compute(2, PHASE_ATTENTION))  # again
    clock.now = 2.0
    says(activity, message_types.PARTIAL, 0)
    assert activity.states == {0: WAITING, 1: COMPUTING}
    clock.now = 3.0
    says(activity, message_types.ERROR, 1)
    says(activity, message_types.PARTIAL, 1)
    says(activity, message_types.PARTIAL, 1)  # a second answer, of the request that was repeated
    activity.complete_token()
    assert activity.last.spans == [
        Span(0, "attention 2", 0.0, 2.0), Span(1, "attention 2", 0.0, 3.0),
    ]  # fmt: skip
    assert (activity.last.start, activity.last.seconds) == (0.0, 3.0)
    activity.rest()
    assert activity.states == {0: IDLE, 1: IDLE}


def test_each_phase_has_its_name_and_a_token_its_own_spans():
    activity, clock = watch(1)
    for phase in (PHASE_FEED_FORWARD, PHASE_VOCABULARY):
        activity.sent(message_types.COMPUTE, 0, compute(5, phase))
        says(activity, message_types.PARTIAL, 0)
    activity.complete_token()
    assert [span.label for span in activity.last.spans] == ["feed-forward 5", "vocabulary"]
    clock.now = 4.0
    activity.rest()
    activity.begin()
    clock.now = 5.0
    activity.sent(message_types.STEP, 0, bytes(7))
    says(activity, message_types.BEST, 0)
    activity.complete_token()
    assert activity.last.spans == [Span(0, "step", 5.0, 5.0)]
    assert (activity.last.start, activity.last.seconds) == (4.0, 1.0)


def test_a_token_for_which_chips_did_nothing_leaves_the_timeline():
    activity, clock = watch(1)
    activity.sent(message_types.STEP, 0, bytes(7))
    says(activity, message_types.BEST, 0)
    activity.complete_token()
    seen, clock.now = activity.last, 1.0
    activity.complete_token()
    assert activity.last is seen
    activity.sent(message_types.STEP, 0, bytes(7))
    says(activity, message_types.BEST, 0)
    activity.complete_token()
    assert (activity.last.start, activity.last.seconds) == (1.0, 0.0)


def test_the_last_stage_answers_without_being_asked_by_the_host():
    activity, clock = watch(2)
    activity.sent(message_types.STEP, 0, bytes(7))
    says(activity, message_types.ACK, 0)
    clock.now = 2.0
    says(activity, message_types.LOGITS, 1)
    activity.complete_token()
    assert activity.last.spans == [Span(0, "step", 0.0, 0.0), Span(1, "step", 0.0, 2.0)]


def test_counters_and_strangers_are_no_work_and_spans_are_bounded():
    activity, _ = watch(1)
    activity.sent(message_types.STATISTICS, BROADCAST, b"\0")
    activity.sent(message_types.COMPUTE, 7, compute(0, 0))
    says(activity, message_types.PARTIAL, 7)
    assert activity.states == {0: IDLE}
    for _ in range(MOST_SPANS + 5):
        activity.sent(message_types.COMPUTE, 0, compute(0, 0))
        says(activity, message_types.PARTIAL, 0)
    activity.complete_token()
    assert len(activity.last.spans) == MOST_SPANS
