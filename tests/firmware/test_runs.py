"""Positions of several sequences in one request, and several that are scored: chips answer as the
whole model does for each sequence alone."""

from firmware.outbox import BadRequest, NeedKV
from firmware.roles.host_reduce import HostReduce
from host.wire.payloads import (
    decode_best,
    decode_logits,
    decode_partial,
    encode_compute_runs,
    want_scores,
)
from host.wire.reports import decode_error
from protocol.frame import HEADER_SIZE
from protocol.message_types import BEST, ERROR, LOGITS
from protocol.messages import BAD_REQUEST, NEED_KV, make_answer_buffer
from tests.dual import raises
from tests.firmware.groups import Group, embedded, expected_logits
from tests.firmware.nodes import MemoryLink, outbox_of
from tests.firmware.requests import (
    ATTENTION,
    VOCABULARY,
    compute,
    expected_sums,
    int16_bytes,
    int16s,
    opened_frame,
    unpacked,
)
from tests.firmware.shards import Part, kernels_of, weights_of
from tests.firmware.tiny import TinyModel

SLOTS, POSITIONS = 3, 6
FIRST, SECOND, THIRD = 3, 4, 5  # sequences, of slots 0, 1 and 2


def model_of(sequences=1):
    """The same model so many times, for each has one sequence's cache."""
    models = [TinyModel(seed=11, kv_heads=2, positions=POSITIONS) for _ in range(sequences)]
    return models if sequences > 1 else models[0]


class Asked:
    """A chip that the host adds up, and the buffer that it answers into."""

    def __init__(self, model, part):
        weights = weights_of(model, part, slots=SLOTS)
        outbox = outbox_of(0, MemoryLink(), weights)
        self.role = HostReduce(outbox, weights, kernels_of(model))
        self.frame = make_answer_buffer(weights.answer_size)

    def payload(self, request):
        length = self.role.answer(opened_frame(request), len(request), self.frame)
        return bytes(self.frame[HEADER_SIZE : HEADER_SIZE + length])


def attention(inputs, runs, layer=0):
    """A COMPUTE of activations [rows][dim]."""
    data = b"".join(int16_bytes(x) for x in inputs)
    return encode_compute_runs(layer, ATTENTION, runs, data)


def test_rows_of_several_sequences_attend_each_to_its_own():
    first, second, third = model_of(3)
    part = Part(first, 1, 2)
    asked = Asked(first, part)
    own = {FIRST: first, SECOND: second, THIRD: third}
    for runs in (
        [(FIRST, 0, 2), (SECOND, 0, 1)],
        [(THIRD, 0, 3), (FIRST, 2, 1), (SECOND, 1, 2)],
        [(SECOND, 3, 1)],
        [(FIRST, 1, 1), (THIRD, 3, 1), (FIRST, 2, 2)],  # some of them anew
    ):
        for layer in range(2):
            inputs = first.activations(sum(run[2] for run in runs))
            partial = decode_partial(asked.payload(attention(inputs, runs, layer)))
            expected, at = [], 0
            for sequence, position, count in runs:
                rows = inputs[at : at + count]
                expected += expected_sums(own[sequence], part, rows, layer, ATTENTION, position)
                at += count
            assert unpacked(partial, len(inputs) * first.dim) == expected


def test_a_run_beyond_its_sequences_cache_is_lacking():
    model = model_of()
    asked = Asked(model, Part(model))
    asked.payload(attention(model.activations(2), [(FIRST, 0, 2)]))
    request = attention(model.activations(2), [(FIRST, 2, 1), (SECOND, 1, 1)])
    assert raises(NeedKV, asked.payload, request).args == (0, 0)


def test_a_run_of_an_older_sequence_is_no_answer():
    model = model_of()
    asked = Asked(model, Part(model))
    asked.payload(attention(model.activations(), [(SECOND + SLOTS, 0, 1)]))
    request = attention(model.activations(2), [(FIRST, 0, 1), (SECOND, 0, 1)])
    assert asked.payload(request) == b""


def test_malformed_runs_are_refused():
    model = model_of()
    asked = Asked(model, Part(model))
    x = model.activations(3)
    good = attention(x, [(FIRST, 0, 2), (SECOND, 0, 1)])
    for at, value in (
        (7, 2),  # more runs than there are
        (12, 3),  # more positions than in all
        (12, 200),
        (10, 99),  # a position beyond the context
    ):
        wrong = bytearray(good)
        wrong[at] = value
        raises(BadRequest, asked.payload, bytes(wrong))
    for length in range(7, 13):
        raises(BadRequest, asked.payload, good[:length])


def test_logits_of_several_positions():
    model = model_of()
    part = Part(model, 1, 2)
    asked = Asked(model, part)
    x = model.activations(4)
    logits = decode_logits(asked.payload(compute(x, 0, VOCABULARY, 3)))
    assert int16s(logits.data) == [v for one in x for v in model.logits(one, part.rows)]


def logits_of(messages, scored):
    """The logits [scored][rows] in the answers of all chips."""
    parts = [decode_logits(m.payload) for m in messages]
    parts.sort(key=lambda part: part.first_row)
    found = [[] for _ in range(scored)]
    for part in parts:
        values = int16s(part.data)
        size = len(values) // scored
        for at in range(scored):
            found[at] += values[at * size : (at + 1) * size]
    return found


RUNS = [(FIRST, 0, 2), (SECOND, 0, 1), (FIRST, 2, 2)]


def scores_of(models, residual):
    """The logits after each row of RUNS."""
    first, second = models
    return [
        expected_logits(first, residual[:1], 0),
        expected_logits(first, residual[1:2], 1),
        expected_logits(second, residual[2:3], 0),
        expected_logits(first, residual[3:4], 2),
        expected_logits(first, residual[4:5], 3),
    ]


def test_a_step_of_several_sequences_scores_its_last_rows():
    for chips in (1, 2):
        for greedy in (False, True):
            models = model_of(2)
            group = Group(models[0], chips, slots=SLOTS)
            residual = embedded(models[0], 5)
            group.step_runs(residual, want_scores(3, greedy), RUNS)
            expected = scores_of(models, residual)[2:]
            messages = group.answers()
            assert {m.kind for m in messages} == {BEST if greedy else LOGITS}
            if not greedy:
                assert logits_of(messages, 3) == expected
                continue
            for message, part in zip(messages, group.parts):
                best = decode_best(message.payload)
                for i, row in enumerate(expected):
                    own = [row[at] for at in part.rows]
                    at = own.index(max(own))
                    assert (best.tokens[i], best.logits[i]) == (part.rows[at], max(own))
                    own[at] = -(1 << 15)
                    at = own.index(max(own))
                    assert (best.next_tokens[i], best.next_logits[i]) == (part.rows[at], own[at])


def test_drafts_that_were_wrong_are_computed_anew():
    models = model_of(2)
    group = Group(models[0], 2, slots=SLOTS)
    wrong, right = embedded(models[1], 4), embedded(models[0], 4)
    group.step(right[:2] + wrong[2:], want_scores(3, False))
    group.answers()
    group.done()
    group.step(right[2:], want_scores(2, False), 2)
    expected = [expected_logits(models[0], right[at : at + 1], at) for at in range(4)]
    assert logits_of(group.answers(), 2) == expected[2:]


def test_a_step_that_chips_cannot_do_is_refused():
    model = model_of()
    for runs, wants, code in (
        ([(FIRST, 0, 1), (SECOND, 1, 1)], want_scores(1, True), NEED_KV),
        ([(FIRST, 0, 1), (SECOND, 99, 1)], want_scores(1, True), BAD_REQUEST),
        ([(FIRST, 0, 1), (SECOND, 0, 1)], want_scores(3, True), BAD_REQUEST),
    ):
        group = Group(model, 1, slots=SLOTS)
        group.step_runs(embedded(model, 2), wants, runs)
        (message,) = group.answers()
        assert message.kind == ERROR and decode_error(message.payload).code == code
