"""The discrete-event model of a ring: times by hand, frames as planned, and losses."""

from dataclasses import replace

import pytest

from bench.ring_model import RingModel, RingScenario
from bench.virtual.model import CONFIG, small_model
from host.hardware.boards import load
from host.parallel.boards import BoardSet
from host.parallel.cost.chip_times import CYCLES_AN_INSTRUCTION
from host.parallel.cost.kernel_costs import kernel_costs
from host.parallel.cost.latency import HOST_SECONDS, USB_SECONDS, LatencyModel
from host.parallel.cost.throughput import model_throughput
from host.parallel.cost.traffic import BITS_A_BYTE, count_traffic, frame_sizes, widest_sums
from host.parallel.parallelism import RING_BAUD, pipeline
from protocol.cobs import encoded_size
from protocol.frame import HOST

LAYERS = 5
MODEL = small_model(replace(CONFIG, dim=64, hidden_dim=88, layers=LAYERS))
S3 = load("esp32s3")
COSTS = kernel_costs(S3.mpy_arch, S3.chip)
HERTZ = S3.clock_mhz * 1e6 / CYCLES_AN_INSTRUCTION


def boards(chips, signed=False, baud=0):
    return BoardSet((S3,) * chips, "ring", signed=signed, baud=baud)


def scenario(chips, signed=False, baud=0, **settings):
    plan = boards(chips, signed, baud).plan(MODEL, pipeline(chips))
    return RingScenario(plan, (COSTS,) * chips, (HERTZ,) * chips, 30, **settings)


def token_of(plan):
    return tuple(plan.strategy.synchronizations(plan, True, widest_sums(plan)))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("chips", [1, 2, 5])
def test_frames_and_bytes_are_those_that_are_planned(chips, signed):
    of = scenario(chips, signed)
    lines = count_traffic(of.plan, token_of(of.plan)).lines
    outcome = RingModel(of).outcome(8)
    assert (outcome.frames, outcome.bytes) == (lines.frames, lines.bytes)
    assert lines.frames == (chips + 1) ** 2


def test_one_chip_that_computes_at_once_takes_what_lines_and_host_do():
    of = scenario(1)
    of = replace(of, hertz=(1e15,))
    ring = RingModel(of)
    messages = ring.find(HOST, 0), ring.find(0, HOST, acknowledges=True), ring.find(0, HOST)
    sizes = [frame_sizes(of.plan, message.payload) for message in messages]
    on_lines = BITS_A_BYTE * sum(encoded_size(each) for size in sizes for each in size)
    seconds = on_lines / RING_BAUD + 2 * USB_SECONDS + HOST_SECONDS
    assert ring.outcome(5).seconds == pytest.approx(seconds)


@pytest.mark.parametrize("signed", [False, True])
def test_the_model_of_plans_agrees_for_one_sequence_and_for_many(signed):
    of = scenario(5, signed)
    times, token = LatencyModel(of.plan, boards(5).boards), token_of(of.plan)
    one = RingModel(of).outcome(20).seconds
    many = RingModel(replace(of, sequences=of.plan.slots)).outcome(60).seconds
    assert one == pytest.approx(times.latency(token, of.position).total, rel=0.1)
    assert many == pytest.approx(1 / model_throughput(times, token, of.position), rel=0.2)
    assert many < 0.5 * one


@pytest.mark.parametrize("chips", [2, 3, 5])
@pytest.mark.parametrize("baud", [115_200, 921_600])
def test_so_it_does_at_other_speeds_without_a_frame_sent_again(chips, baud):
    """Many sequences keep lines busy, where an acknowledgement comes late."""
    of = scenario(chips, baud=baud)
    times, token = LatencyModel(of.plan, boards(chips).boards), token_of(of.plan)
    outcome = RingModel(replace(of, sequences=of.plan.slots)).outcome(40)
    rate = model_throughput(times, token, of.position)
    assert outcome.seconds == pytest.approx(1 / rate, rel=0.25)
    assert outcome.frames == pytest.approx((chips + 1) ** 2, rel=0.01)


def test_what_is_lost_is_sent_again():
    of = scenario(3)
    plain, lossy = RingModel(of).outcome(40), RingModel(replace(of, loss=0.1), 1).outcome(40)
    assert lossy.seconds > 1.5 * plain.seconds
    assert lossy.frames > plain.frames


def test_a_faster_line_takes_less_time():
    slow, fast = (RingModel(scenario(3, baud=baud)).outcome(5) for baud in (921_600, 0))
    assert slow.seconds > fast.seconds and slow.frames == fast.frames


def test_there_is_no_model_of_other_links_or_more_sequences_than_caches():
    of = scenario(3)
    for wrong in (
        replace(of, sequences=of.plan.slots + 1),
        replace(of, plan=replace(boards(3), kind="uart").plan(MODEL, pipeline(3))),
    ):
        with pytest.raises(ValueError, match="no ring"):
            RingModel(wrong)
