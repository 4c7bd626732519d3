"""The model of links and chips: times that can be worked out by hand, losses, and frames."""

from dataclasses import astuple, replace

import pytest

from bench import frame_sizes
from bench.air import BOARD, PlannedWork, run_on_air
from bench.chip_combined_model import ChipCombined, ChipGathered
from bench.federation_model import Scenario
from bench.host_combined_model import HostCombined
from bench.link_figures import (
    BAUD,
    RADIO_SEND,
    RATES,
    line_time,
)
from bench.work import PART, Work
from host.hardware.boards import load
from host.model.quantization.quantize import quantize
from host.parallel.cost.latency import HOST_SECONDS, USB_SECONDS, LatencyModel
from host.parallel.cost.radio import RATE_54M
from host.parallel.cost.traffic import count_traffic, widest_sums
from host.parallel.cost.turns import slot_seconds
from host.parallel.parallelism import ALL_GATHERED
from host.parallel.synchronization import FINISHED_ATTENTION, FINISHED_FEED_FORWARD, Widths
from protocol.messages import PHASE_VOCABULARY
from tests.host.tiny import random_checkpoint
from tests.plans import tensor_plan

MODEL = quantize(random_checkpoint())
WORK = Work({0: (1000.0, 100.0, 10.0), 1: (1000.0, 1.0), 2: (1000.0, 1.0), PART: (500.0,)}, 0.0)
HERTZ = 1e9
MODELS = {"host": HostCombined, "chips": ChipCombined}


def scenario(chips, combine="host", rate=None, loss=0.0):
    mtu = None if rate is None else 250
    plan = tensor_plan(MODEL, chips, mtu=mtu, reduce=combine)
    return Scenario(plan, WORK, HERTZ, rate, loss)


def outcome(*arguments, tokens=1, seed=0, **options):
    of = scenario(*arguments, **options)
    return MODELS[of.plan.parallelism.reduce](of, seed).outcome(tokens)


def test_one_chip_on_a_wire_takes_the_sum_of_everything():
    of = scenario(1)
    plan, shard = of.plan, of.plan.shards[0]
    layers = plan.config.layers
    seconds = frames = 0
    for task, count in ((0, layers), (1, layers), (PHASE_VOCABULARY, 1)):
        (request,) = frame_sizes.request_frames(plan)
        (answer,) = frame_sizes.answer_frames(plan, shard, task, of.sum_bits)
        each = HOST_SECONDS + 2 * USB_SECONDS + line_time(request) + line_time(answer)
        seconds += count * (each + WORK.instructions(task, shard) / HERTZ)
        frames += 2 * count
    modelled = outcome(1)
    assert modelled.seconds == pytest.approx(seconds)
    assert (modelled.line_frames, modelled.air_frames) == (frames, 0)


def test_chips_that_combine_wait_for_each_other_not_for_the_host():
    """On the radio, between a step and its answers the host's line is idle."""
    modelled = outcome(3, "chips", RATES[0])
    assert modelled.line_frames == 4  # a step down, an answer of each chip up
    layers = MODEL.config.layers
    assert modelled.air_frames == 3 * 2 * layers + 1 + 2
    # The line is used at both ends of a token, and the air for each contribution.
    assert modelled.seconds > 2 * USB_SECONDS + 3 * 2 * layers * RATES[0].airtime(30, True)


def test_a_part_costs_its_instructions():
    cheap, dear = (
        replace(scenario(3, "chips"), work=Work({**WORK.coefficients, PART: (cost,)}, 0.0))
        for cost in (0.0, 400.0)
    )
    slower = ChipCombined(dear).outcome(1).seconds - ChipCombined(cheap).outcome(1).seconds
    # Of two parts a sum the last is in the work that follows.
    assert 0 <= slower <= 2 * 2 * MODEL.config.layers * 400 / HERTZ


@pytest.mark.parametrize("combine", ["host", "chips"])
@pytest.mark.parametrize("rate", [None, RATES[0]])
def test_losses_cost_time_and_never_an_end(combine, rate):
    lossless = outcome(3, combine, rate, tokens=4).seconds
    lossy = outcome(3, combine, rate, loss=0.2, tokens=4)
    assert lossy.seconds > 1.2 * lossless
    assert lossy == outcome(3, combine, rate, loss=0.2, tokens=4)
    assert lossy != outcome(3, combine, rate, loss=0.2, tokens=4, seed=1)


def test_without_losses_each_token_is_like_the_one_before():
    for combine in MODELS:
        for rate in (None, *RATES):
            once, thrice = (outcome(4, combine, rate, tokens=n) for n in (1, 3))
            assert astuple(once) == pytest.approx(astuple(thrice))


def test_the_air_is_shared_and_a_slower_rate_takes_longer():
    few, many = outcome(2, "host", RATES[1]), outcome(8, "host", RATES[1])
    assert many.seconds > few.seconds  # the work is no burden here, the answers take turns
    assert outcome(8, "host", RATES[1]).seconds > outcome(8, "host", RATES[0]).seconds


def test_frames_of_250_bytes_take_what_was_published():
    for rate in RATES:
        assert 250 / rate.airtime(250, True) == pytest.approx(rate.figures.broadcast)
        assert 250 / rate.airtime(250, False) == pytest.approx(rate.figures.unicast)
        assert 0 < rate.airtime(20, True) < rate.airtime(250, True) < rate.airtime(250, False)
    assert line_time(100) == 102 * 10 / BAUD


def test_the_gateway_pays_for_relaying():
    assert outcome(2, "host", RATES[0]).seconds - outcome(2).seconds > RADIO_SEND / HERTZ


def test_a_radio_needs_a_plan_for_it():
    with pytest.raises(ValueError, match="MTU and a rate"):
        replace(scenario(2), rate=RATES[0])


def test_a_contribution_is_cut_by_the_widest_sum_and_packed_by_its_own():
    plan = scenario(3, "chips", RATES[0]).plan
    narrow, wide = (frame_sizes.contribution_frames(plan, bits) for bits in (8, 16))
    dim, fields = plan.config.dim, 8 + 9 + 4
    assert len(narrow) == len(wide)
    assert sum(narrow) == len(narrow) * fields + dim
    assert sum(wide) == len(wide) * fields + 2 * dim


def test_best_tokens_take_less_of_the_gateways_line_than_logits() -> None:
    """Of greedy text no chip sends its logits: as many frames, and shorter."""
    logits = outcome(3, "chips", RATES[0])
    arguments = scenario(3, "chips", RATES[0])
    greedy = ChipCombined(replace(arguments, greedy=True)).outcome(1)
    assert greedy.air_frames == logits.air_frames
    assert greedy.air_bytes < logits.air_bytes
    assert greedy.seconds < logits.seconds


def test_collisions_cost_time_and_change_nothing_else():
    """The same frames come, some of them again; of one chip beside its gateway hardly any."""
    for combine in MODELS:
        takes_turns = scenario(5, combine, RATES[0])
        plain = MODELS[combine](takes_turns, 1).outcome(20)
        colliding = MODELS[combine](replace(takes_turns, collides=True), 1)
        outcome = colliding.outcome(20)
        assert outcome.seconds > plain.seconds
        assert outcome.air_frames >= plain.air_frames
        air = colliding.medium.shared_air
        assert 0.03 < air.collided / air.frames < 0.3


@pytest.mark.parametrize("rate", [None, RATES[0]])
@pytest.mark.parametrize("chips", [2, 3, 5])
def test_all_gather_takes_the_frames_that_are_planned(chips, rate):
    mtu = None if rate is None else 250
    plan = tensor_plan(MODEL, chips, mtu=mtu, reduce="chips", exchange=ALL_GATHERED)
    of = Scenario(plan, PlannedWork(plan), HERTZ, rate, greedy=True)

    def width(layer, phase, chip, elements):
        is_stream = phase in (FINISHED_ATTENTION, FINISHED_FEED_FORWARD)
        return of.residual_bits if is_stream else 16

    widths = Widths(width, of.residual_bits, lambda layer: of.residual_bits)
    planned = count_traffic(plan, plan.strategy.synchronizations(plan, True, widths))
    modelled = ChipGathered(of).outcome(1)
    assert (modelled.air_frames, modelled.air_bytes) == (planned.air.frames, planned.air.bytes)
    assert modelled.line_frames == planned.lines.frames
    assert modelled.line_bytes == planned.lines.bytes
    assert ChipGathered(replace(of, loss=0.1), 1).outcome(2).seconds > modelled.seconds


@pytest.mark.parametrize("rate", RATES, ids=lambda rate: rate.name)
def test_chips_that_send_by_rank_hardly_collide_and_plans_say_how_fast_they_are(rate):
    chips = 5
    plan = tensor_plan(MODEL, chips, mtu=250, reduce="chips")
    slot = slot_seconds(plan, rate.figures)
    collided, by_rank = (run_on_air(plan, "chips", rate, True, wait) for wait in (0.0, slot))
    assert by_rank[0] > 1.2 * collided[0] and by_rank[1] < 4 < collided[1]
    boards = (with_rate(load(BOARD).with_mtu(250), rate),) * chips
    token = plan.strategy.synchronizations(plan, False, widest_sums(plan))
    planned = LatencyModel(plan, boards).latency(token, plan.context // 2)
    assert planned.tokens_per_second == pytest.approx(by_rank[0], rel=0.2)


def with_rate(board, rate):
    is_fast = rate is RATES[0]
    return replace(board, espnow=replace(board.espnow, rate=RATE_54M if is_fast else None))
