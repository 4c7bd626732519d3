"""A chip whose partial sums the host adds up: its answers, and its KV cache in order."""

from firmware.outbox import BadRequest, NeedKV
from firmware.roles.host_reduce import HostReduce
from host.wire.payloads import decode_logits, decode_partial
from protocol.frame import HEADER_SIZE, TYPE
from protocol.message_types import LOGITS, PARTIAL
from protocol.messages import make_answer_buffer
from tests.dual import raises
from tests.firmware.nodes import BOOT_ID, MemoryLink, outbox_of
from tests.firmware.requests import (
    ATTENTION,
    FEED_FORWARD,
    VOCABULARY,
    compute,
    expected_sums,
    int16s,
    opened_frame,
    unpacked,
)
from tests.firmware.shards import Part, kernels_of, weights_of
from tests.firmware.tiny import TinyModel


class Asked:
    """The role and the buffer that it answers into."""

    def __init__(self, model, part):
        weights = weights_of(model, part)
        outbox = outbox_of(0, MemoryLink(), weights)
        self.role = HostReduce(outbox, weights, kernels_of(model))
        self.frame = make_answer_buffer(weights.answer_size)

    def payload(self, request):
        """The payload of the answer, b"" where there is none."""
        length = self.role.answer(opened_frame(request), len(request), self.frame)
        return bytes(self.frame[HEADER_SIZE : HEADER_SIZE + length])

    def lacking(self, request):
        """Layer and positions held, as the role says where the request goes beyond them."""
        return raises(NeedKV, self.payload, request).args


def one_chip(seed=1):
    model = TinyModel(seed=seed)
    part = Part(model)
    return model, part, Asked(model, part)


def fill(asked, model, count, layers=2, sequence_id=1):
    """Has `count` positions of all layers computed."""
    for position in range(count):
        for layer in range(layers):
            asked.payload(compute(model.activations(), layer, ATTENTION, position, sequence_id))


def test_partial_sums_of_one_and_of_two_positions():
    model = TinyModel(seed=1)
    for chip in (0, 1):
        part = Part(model, chip, 2)
        asked = Asked(model, part)
        for layer in (0, 1):
            for phase in (ATTENTION, FEED_FORWARD):
                for position, count in ((0, 2), (2, 1), (3, 2)):
                    inputs = model.activations(count)
                    request = compute(inputs, layer, phase, position)
                    partial = decode_partial(asked.payload(request))
                    assert partial[:5] == (1, layer, phase, position, count)
                    assert partial.boot_id == BOOT_ID
                    expected = expected_sums(model, part, inputs, layer, phase, position)
                    assert unpacked(partial, count * model.dim) == expected


def test_sums_are_packed_in_as_few_bits_as_they_need():
    model, part, asked = one_chip()
    inputs = model.activations()
    partial = decode_partial(asked.payload(compute(inputs, 0, FEED_FORWARD)))
    sums = expected_sums(model, part, inputs, 0, FEED_FORWARD)
    half = 1 << (partial.bits - 1)
    assert min(sums) >= -half and max(sums) < half
    assert min(sums) < -half // 2 or max(sums) >= half // 2
    assert len(partial.data) == (len(sums) * partial.bits + 7) // 8


def test_logits_of_a_chips_rows():
    model = TinyModel(seed=2)
    part = Part(model, 1, 2)
    asked = Asked(model, part)
    x = model.activations()[0]
    logits = decode_logits(asked.payload(compute([x], 1, VOCABULARY, 3)))
    assert logits[:5] == (1, 1, VOCABULARY, 3, 1)
    assert (logits.boot_id, logits.first_row) == (BOOT_ID, part.rows[0])
    assert logits.shift == model.logit_exponent
    assert int16s(logits.data) == model.logits(x, part.rows)


def test_logits_come_in_a_message_of_their_own_type():
    model, _, asked = one_chip()
    for phase, kind in ((VOCABULARY, LOGITS), (ATTENTION, PARTIAL), (FEED_FORWARD, PARTIAL)):
        asked.payload(compute(model.activations(), 0, phase))
        assert asked.frame[TYPE] == kind


def test_a_part_that_a_chip_does_not_have_is_no_answer():
    model = TinyModel(seed=3, units=2, rows=2, kv_heads=4)
    for chip in range(5):
        part = Part(model, chip, 5)
        asked = Asked(model, part)
        x = model.activations()
        assert bool(asked.payload(compute(x, 0, ATTENTION))) == bool(part.heads)
        assert bool(asked.payload(compute(x, 0, FEED_FORWARD))) == bool(len(part.units))
        assert bool(asked.payload(compute(x, 0, VOCABULARY))) == bool(len(part.rows))


def test_a_chip_without_heads_needs_no_cache():
    model = TinyModel(seed=4, kv_heads=4)
    asked = Asked(model, Part(model, 4, 5))
    assert asked.payload(compute(model.activations(), 1, ATTENTION, 7)) == b""


def test_a_gap_in_the_cache_names_the_positions_held():
    model, _, asked = one_chip()
    assert asked.lacking(compute(model.activations(), 1, ATTENTION, 1)) == (1, 0)
    fill(asked, model, 3)
    assert asked.lacking(compute(model.activations(), 0, ATTENTION, 4)) == (0, 3)
    assert asked.lacking(compute(model.activations(2), 1, ATTENTION, 9)) == (1, 3)
    assert asked.payload(compute(model.activations(2), 0, ATTENTION, 3))
    assert asked.lacking(compute(model.activations(), 0, ATTENTION, 6)) == (0, 5)


def test_positions_are_held_by_each_layer_for_itself():
    model, _, asked = one_chip()
    asked.payload(compute(model.activations(2), 0))
    assert asked.lacking(compute(model.activations(), 1, ATTENTION, 2)) == (1, 0)


def test_going_back_does_not_shorten_the_cache():
    model, _, asked = one_chip()
    fill(asked, model, 4)
    asked.payload(compute(model.activations(), 0, ATTENTION, 1))
    assert asked.payload(compute(model.activations(), 0, ATTENTION, 4))


def test_a_newer_sequence_empties_the_cache():
    model, part, asked = one_chip()
    fill(asked, model, 3, sequence_id=7)
    request = compute(model.activations(), 0, ATTENTION, 3, sequence_id=8)
    assert asked.lacking(request) == (0, 0)
    inputs = model.activations()
    partial = decode_partial(asked.payload(compute(inputs, 0, ATTENTION, 0, sequence_id=8)))
    assert partial.sequence_id == 8
    assert unpacked(partial, model.dim) == expected_sums(model, part, inputs)


def test_an_older_sequence_is_not_answered_and_changes_nothing():
    model, _, asked = one_chip()
    fill(asked, model, 3, sequence_id=7)
    for older in (6, 0, 65535, 40000):
        for phase in (ATTENTION, FEED_FORWARD, VOCABULARY):
            assert asked.payload(compute(model.activations(), 0, phase, 0, older)) == b""
    assert asked.payload(compute(model.activations(), 0, ATTENTION, 3, 7))


def test_sequence_ids_wrap():
    model, _, asked = one_chip()
    fill(asked, model, 1, sequence_id=65535)
    assert asked.payload(compute(model.activations(), 0, ATTENTION, 0, 0))
    assert asked.payload(compute(model.activations(), 0, ATTENTION, 0, 65535)) == b""


def test_a_chip_that_forgets_takes_any_sequence():
    model, _, asked = one_chip()
    fill(asked, model, 3, sequence_id=7)
    asked.role.forget()
    request = compute(model.activations(), 0, ATTENTION, 3, 7)
    assert asked.lacking(request) == (0, 0)
    asked.role.forget()
    assert asked.payload(compute(model.activations(), 0, ATTENTION, 0, 3))


def test_requests_that_contradict_the_shard_are_refused():
    model, _, asked = one_chip()
    x = model.activations()[0]
    for request, message in (
        (compute([x], layer=2), "layer 2"),
        (compute([x], position=40), "context of 40"),
        (compute([x, x], position=39), "position 40"),
        (compute([x] * 3), "3 positions"),
        (compute([x[:-1]]), "15 values"),
        (compute([x + [1]]), "17 values"),
        (compute([x])[:-1], "no positions"),
        (compute([x])[:6] + b"\0", "no positions"),
        (compute([x])[:3] + b"\3" + compute([x])[4:], "no positions"),
    ):
        assert message in str(raises(BadRequest, asked.payload, request)), message


def test_a_refused_request_does_not_select_its_sequence():
    model, _, asked = one_chip()
    fill(asked, model, 2, sequence_id=7)
    x = model.activations()
    raises(BadRequest, asked.payload, compute(x, layer=9, sequence_id=8))
    assert asked.payload(compute(x, 0, ATTENTION, 2, sequence_id=7))


def test_the_last_position_of_the_context_is_taken():
    model = TinyModel(seed=5, context=4, layers=1)
    part = Part(model)
    asked = Asked(model, part)
    fill(asked, model, 3, layers=1)
    assert asked.payload(compute(model.activations(), 0, ATTENTION, 3))
