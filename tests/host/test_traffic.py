"""What plans say of a token's traffic, computed by hand if possible; tests/system counts it."""

from array import array

import pytest

from host.model.checkpoint import Config
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from host.model.tokenizers.bpe import BOS
from host.parallel.cost.traffic import Count, busy_seconds, count_traffic, frame_sizes, widest_sums
from host.parallel.cost.widths import SumWidths
from host.parallel.parallelism import REDUCERS
from host.parallel.synchronization import Widths
from protocol.bitpack import bits_needed
from protocol.cobs import encoded_size
from protocol.fragment import fragments
from protocol.frame import HOST, TRAILER_SIZE, append_trailer, write_header
from protocol.message_types import ACK, BEST, CONTRIBUTION, LOGITS, PARTIAL
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD
from tests.host.tiny import TINY, random_checkpoint
from tests.plans import tensor_plan, with_positions

LAYERS = TINY.layers


@pytest.fixture(scope="module")
def tiny():
    return quantize(random_checkpoint())


def of_token(plan, bits=20, greedy=True):
    widths = Widths(lambda *_: bits, bits, lambda layer: bits)
    return plan.strategy.synchronizations(plan, greedy, widths)


@pytest.mark.parametrize("reduce", REDUCERS)
@pytest.mark.parametrize("mtu", [None, 250])
@pytest.mark.parametrize("chips", [1, 2, 5, 40])
def test_two_synchronizations_a_layer_and_one_for_the_logits(tiny, chips, mtu, reduce):
    plan = tensor_plan(tiny, chips, mtu=mtu, reduce=reduce)
    alone = chips == 1 and reduce == "chips"  # it waits for nobody in between
    expected = 2 if alone else 2 * LAYERS + 1
    assert count_traffic(plan, of_token(plan)).synchronizations == expected


def test_a_star_of_two_by_hand(tiny):
    plan = tensor_plan(tiny, 2)
    used = count_traffic(plan, of_token(plan))
    requests, asked = 2 * LAYERS + 1, 8 + 7 + 2 * 24 + 4
    sums, logits = 8 + 10 + 24 * 20 // 8 + 4, 8 + 12 + 2 * 20 + 4
    assert used.sent == Count(2 * requests, 2 * requests * asked)
    answered = Count(2 * requests, 2 * (2 * LAYERS * sums + logits))
    assert used.received == answered
    assert used.lines == used.sent + used.received and used.air == used.relayed == Count()
    assert used.chips_received == (Count(requests, requests * asked),) * 2
    assert used.chips_sent[0] + used.chips_sent[1] == answered


def test_how_long_a_request_and_its_answers_keep_a_line_busy(tiny):
    plan = with_positions(tensor_plan(tiny, 2), 2)
    shape = plan.shape
    asked = plan.strategy.request_frame(shape)
    answers = [plan.strategy.answer_frame(shape, len(shard.rows)) for shard in plan.shards]
    seconds = busy_seconds(plan, 115_200)
    assert seconds == (encoded_size(asked) + encoded_size(max(answers))) * 10 / 115_200
    assert seconds == pytest.approx(8 * busy_seconds(plan, 921_600))
    # Behind a gateway all answers come over one line.
    assert busy_seconds(tensor_plan(tiny, 5, mtu=250), 115_200) > 1.5 * seconds


def test_on_the_radio_the_line_has_all_and_the_air_what_is_not_the_gateways(tiny):
    plan = tensor_plan(tiny, 2, mtu=250)
    used = count_traffic(plan, of_token(plan))
    requests = 2 * LAYERS + 1
    assert used.sent.frames == requests and used.received.frames == 2 * requests
    assert used.lines == used.sent + used.received
    assert used.air == used.sent + used.chips_sent[1]
    alone = tensor_plan(tiny, 1, mtu=250)
    assert count_traffic(alone, of_token(alone)).air == Count()


def test_chips_that_reduce_by_hand(tiny):
    step, best = 8 + 10 + 24 * 20 // 8 + 4, 8 + 17 + 4
    part = 8 + 9 + 24 * 20 // 8 + 4
    exchanges = 2 * LAYERS
    star = tensor_plan(tiny, 2, reduce="chips")
    used = count_traffic(star, of_token(star))
    assert used.sent == Count(2, 2 * step) and used.received == Count(2, 2 * best)
    assert used.relayed == Count(2 * exchanges, 2 * exchanges * part)
    assert used.lines == used.sent + used.received + used.relayed * 2
    radio = tensor_plan(tiny, 2, mtu=250, reduce="chips")
    used = count_traffic(radio, of_token(radio))
    assert used.lines == Count(3, step + 2 * best) and used.relayed == Count()
    assert used.air == Count(2 * exchanges + 2, 2 * exchanges * part + step + best)


def test_a_chip_without_a_part_says_so_and_one_without_rows_acknowledges(tiny):
    chips = 41  # of 40 rows
    plan = tensor_plan(tiny, chips, reduce="chips")
    token = of_token(plan)
    parts = [message.payload for message in token[0].answers]
    assert len(parts) == chips and parts[0] > 9 and set(parts[6:]) == {9}
    kinds = [message.kind for message in token[-1].answers]
    assert kinds == [BEST] * 40 + [ACK]
    assert [m.kind for m in of_token(plan, greedy=False)[-1].answers] == [LOGITS] * 40 + [ACK]
    by_host = tensor_plan(tiny, chips)
    assert [len(each.answers) for each in of_token(by_host)] == [6, 10] * LAYERS + [40]


def test_without_widths_sums_are_as_wide_as_they_can_be(tiny):
    plan = tensor_plan(tiny, 2)
    widest = plan.strategy.synchronizations(plan, True, widest_sums(plan))
    assert widest == of_token(plan, plan.shape.bits)
    kinds = {message.kind for each in widest for message in each.answers}
    assert kinds == {PARTIAL, LOGITS}


@pytest.mark.parametrize("mtu", [100, 250])
@pytest.mark.parametrize("payload", [0, 76, 77, 88, 89, 200, 238, 239, 500, 1000])
def test_frames_are_those_that_are_made(tiny, payload, mtu):
    plan = tensor_plan(tiny, 2, mtu=mtu)
    message, frame = bytearray(2100), bytearray(mtu)
    write_header(message, 2, PARTIAL, 1, HOST, 7, payload)
    whole = append_trailer(message, payload)
    made = [whole] if whole <= mtu else list(fragments(message, payload, mtu, frame))
    assert list(frame_sizes(plan, payload)) == made
    signed = tensor_plan(tiny, 2, mtu=mtu, signed=True)
    assert frame_sizes(signed, 10) == (8 + 10 + TRAILER_SIZE[3],)


def test_contributions_are_cut_by_the_bits_that_they_have():
    config = Config(120, hidden_dim=8, layers=1, heads=4, kv_heads=4, vocab_size=8, context=8)
    plan = tensor_plan(quantize(random_checkpoint(config)), 2, mtu=250, reduce="chips")
    room = 250 - 8 - 4 - 9
    for bits, counts in ((4, [120]), (15, [120]), (16, [114, 6]), (20, [91, 29])):
        answers = of_token(plan, bits)[0].answers
        pieces = [m.payload for m in answers if m.kind == CONTRIBUTION and m.source == 1]
        assert pieces == [9 + -(-bits * count // 8) for count in counts]
        assert max(pieces) - 9 <= room


def test_widths_are_those_of_the_sums_that_chips_compute(tiny):
    plan = tensor_plan(tiny, 5)
    widths, reference = SumWidths(tiny, plan), Reference(tiny)
    token, seen = BOS, {}
    for _ in range(4):
        likeliest = widths.run(token)
        assert likeliest == int(reference.step([token])[0].argmax())
        embedding = array("i", tiny.embedding[token].tolist())
        assert widths.residual_bits == bits_needed(embedding, TINY.dim)
        for phase in (PHASE_ATTENTION, PHASE_FEED_FORWARD):
            for chip in range(5):
                width = widths.widths.partial_sum(1, phase, chip, range(TINY.dim))
                halves = [
                    widths.widths.partial_sum(1, phase, chip, range(at, at + 12)) for at in (0, 12)
                ]
                assert width == max(halves) <= plan.shape.bits
                seen[phase, chip] = max(width, seen.get((phase, chip), 0))
        token = likeliest
    typical = SumWidths(tiny, plan)
    typical.run_typical(4)
    for (phase, chip), width in seen.items():
        assert typical.widths.partial_sum(1, phase, chip, range(TINY.dim)) == width
    assert widths.widths.partial_sum(0, PHASE_ATTENTION, 4, range(1)) >= 1
