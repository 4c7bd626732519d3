"""Groups of chips that combine: they answer as the whole model does, whatever is lost between."""

from host.wire.payloads import decode_best, decode_logits
from host.wire.reports import decode_error
from protocol import message_types
from protocol.frame import BROADCAST, HOST, TYPE
from protocol.message import FederationMessage
from protocol.message_types import ACK, BEST, CONTRIBUTION, ERROR, LOGITS
from protocol.messages import (
    BAD_REQUEST,
    MISSING,
    NEED_KV,
    NEED_STEP,
    WANTS_BEST,
    WANTS_LOGITS,
    WANTS_NOTHING,
)
from tests.firmware.clock import CLOCK
from tests.firmware.groups import Group, embedded, expected_logits
from tests.firmware.nodes import BOOT_ID
from tests.firmware.requests import int16s
from tests.firmware.tiny import TinyModel


def logits_in(messages):
    """The logits of all rows, put together, and the chips that gave them."""
    parts = [decode_logits(m.payload) for m in messages]
    parts.sort(key=lambda part: part.first_row)
    return [value for part in parts for value in int16s(part.data)]


def check_sequence(model, group):
    """Steps of one and two positions, each answered by all chips as the whole model does."""
    position = 0
    for count in (2, 1, 2, 1, 1):
        residual = embedded(model, count)
        group.step(residual, WANTS_LOGITS, position)
        messages = group.answers()
        assert [m.kind for m in messages] == [LOGITS] * len(group.nodes)
        assert logits_in(messages) == expected_logits(model, residual, position)
        group.done()
        position += count


def test_groups_of_one_to_five_chips_compute_the_whole_model():
    for chips, kv_heads in ((1, 2), (2, 2), (3, 4), (5, 4)):  # of five chips, one has no heads
        model = TinyModel(seed=chips, kv_heads=kv_heads)
        check_sequence(model, Group(model, chips))


def test_sums_wider_than_a_frame_go_in_pieces():
    model = TinyModel(seed=7, kv_heads=4)
    check_sequence(model, Group(model, 3, mtu=80))


def test_the_best_tokens_are_those_of_the_logits():
    model = TinyModel(seed=8, kv_heads=4)
    group = Group(model, 3)
    residual = embedded(model)
    group.step(residual, WANTS_BEST)
    expected = expected_logits(model, residual, 0)
    messages = group.answers()
    assert [m.kind for m in messages] == [BEST] * 3
    for message, part in zip(messages, group.parts):
        best = decode_best(message.payload)
        assert best.boot_id == BOOT_ID + part.chip
        assert best.logits[0] == max(expected[row] for row in part.rows)
        assert best.tokens[0] == [row for row in part.rows if expected[row] == best.logits[0]][0]


def test_positions_before_the_last_are_acknowledged():
    model = TinyModel(seed=9)
    group = Group(model, 2)
    first, second = embedded(model, 2), embedded(model)
    group.step(first, WANTS_NOTHING)
    assert [m.kind for m in group.answers()] == [ACK] * 2
    group.done()
    expected_logits(model, first, 0)
    group.step(second, WANTS_LOGITS, position=2)
    assert logits_in(group.answers()) == expected_logits(model, second, 2)


def test_a_step_that_comes_again_is_answered_again_and_not_computed():
    model = TinyModel(seed=10)
    group = Group(model, 2)
    residual = embedded(model)
    group.step(residual, WANTS_LOGITS)
    before = [m.payload for m in group.answers()]
    for link in group.links:
        link.broadcasts = 0
    group.step(residual, WANTS_LOGITS, again=True)
    assert [m.payload for m in group.answers()] == before
    assert [link.broadcasts for link in group.links] == [0, 0]  # nobody contributes anything


def test_a_step_that_comes_again_while_it_is_worked_on_changes_nothing():
    model = TinyModel(seed=11)
    group = Group(model, 2)
    residual = embedded(model)
    group.step(residual, WANTS_LOGITS, to=0)
    assert group.nodes[0].poll()  # and now waits for chip 1
    group.step(residual, WANTS_LOGITS, again=True)
    assert logits_in(until_answered(group, 2)) == expected_logits(model, residual, 0)


def lose(group, every):
    """Has every n-th contribution on its way to a member be lost."""
    sent = [0]

    def lost(frame):
        sent[0] += frame[TYPE] == CONTRIBUTION
        return frame[TYPE] == CONTRIBUTION and sent[0] % every == 0

    for link in group.links:
        link.lost = lost


def until_answered(group, count):
    messages = []
    turns = 0
    while len(messages) < count:
        messages += group.answers(1)
        CLOCK.pass_ms(20)
        turns += 1
        assert turns < 300
    return messages


def test_lost_contributions_are_asked_for():
    model = TinyModel(seed=12, kv_heads=4)
    group = Group(model, 3)
    lose(group, 3)
    for position in range(3):
        residual = embedded(model)
        group.step(residual, WANTS_LOGITS, position)
        messages = until_answered(group, 3)
        assert logits_in(messages) == expected_logits(model, residual, position)
        group.done()


def test_a_chip_that_missed_a_step_hears_of_it_and_asks_for_it():
    model = TinyModel(seed=13, kv_heads=4)
    group = Group(model, 3)
    residual = embedded(model)
    group.step(residual, WANTS_LOGITS, to=0)
    CLOCK.pass_ms(20)
    (said,) = [m for m in group.answers(1) if m.src == 1]
    assert said.kind == ERROR and decode_error(said.payload).code == NEED_STEP
    group.step(residual, WANTS_LOGITS, again=True)
    assert logits_in(until_answered(group, 3)) == expected_logits(model, residual, 0)


def test_a_member_that_stays_silent_is_named_to_the_host():
    model = TinyModel(seed=14, kv_heads=4)
    group = Group(model, 3)
    group.step(embedded(model), WANTS_LOGITS, to=0)
    group.step(embedded(model), WANTS_LOGITS, to=2, again=True)
    group.nodes.pop(1)
    said = []
    while not said:
        said = [m for m in group.answers(1) if decode_error(m.payload).code == MISSING]
        CLOCK.pass_ms(50)
    error = decode_error(said[0].payload)
    assert error.text == "nothing comes from chip 1" and said[0].sequence == group.sequence


def test_a_position_without_its_past_is_refused():
    model = TinyModel(seed=15)
    group = Group(model, 2)
    group.step(embedded(model), WANTS_LOGITS, position=3)
    for message in group.answers():
        error = decode_error(message.payload)
        assert (message.kind, error.code, error.position) == (ERROR, NEED_KV, 0)


def test_another_sequence_begins_anew_and_older_ones_are_left():
    model = TinyModel(seed=16)
    group = Group(model, 2)
    residual = embedded(model)
    group.step(residual, WANTS_LOGITS, sequence_id=5)
    group.answers()
    group.done()
    group.step(residual, WANTS_LOGITS, sequence_id=6)
    assert logits_in(group.answers()) == expected_logits(model, residual, 0)
    group.step(residual, WANTS_LOGITS, sequence_id=5)
    assert group.answers() == []


def test_steps_that_contradict_the_share_are_refused():
    model = TinyModel(seed=17, context=8)
    group = Group(model, 2)
    for residual, position in (
        (embedded(model, 3), 0),  # more positions than planned
        ([[1] * (model.dim - 4)], 0),
        (embedded(model), 8),
    ):
        group.step(residual, WANTS_LOGITS, position)
        messages = group.answers()
        assert [decode_error(m.payload).code for m in messages] == [BAD_REQUEST] * 2


def test_other_messages_are_handled_as_in_every_node():
    model = TinyModel(seed=18)
    group = Group(model, 2)
    frame = FederationMessage(message_types.STATISTICS, 254, 1, 9, b"\0").encode()
    group.links[1].inbox.append(frame)
    (message,) = group.answers()
    assert (message.kind, message.src, message.sequence) == (message_types.STATISTICS, 1, 9)


def test_what_a_broken_off_run_contributed_is_not_added_to_the_next():
    model = TinyModel(seed=14, kv_heads=4)
    group = Group(model, 2)
    for link in group.links:
        link.lost = lambda frame: True  # so that the first run's first step stands still
    group.step(embedded(model), WANTS_LOGITS)
    group.answers()
    for link in group.links:
        link.lost = lambda frame: False
        link.inbox.append(discovery(b"the second run"))
    residual = embedded(model)
    group.step(residual, WANTS_LOGITS, to=0)  # and chip 1 misses it
    for _ in range(5):
        # Chip 0 has nothing to go on with until chip 1 begins too.
        assert LOGITS not in [m.kind for m in group.answers(1)]
        CLOCK.pass_ms(20)
    group.step(residual, WANTS_LOGITS, to=1, again=True)
    assert logits_in(until_answered(group, 2)) == expected_logits(model, residual, 0)


def discovery(nonce):
    """The host's frame to all with which a run begins."""
    return FederationMessage(message_types.DISCOVERY, HOST, BROADCAST, 1, nonce).encode()
