"""Modelled times, held to figures by hand."""

import re
from dataclasses import replace

import pytest

from host.hardware.boards import load
from host.parallel.boards import BoardSet
from host.parallel.cost.chip_times import CYCLES_AN_INSTRUCTION, NotModelled
from host.parallel.cost.formula import formula
from host.parallel.cost.instructions import (
    chip_instructions,
    count_passes,
    message_instructions,
)
from host.parallel.cost.kernel_costs import KERNELS, kernel_costs
from host.parallel.cost.latency import HOST_SECONDS, USB_SECONDS, LatencyModel
from host.parallel.cost.radio import radio_rate
from host.parallel.cost.reading import FLASH, describe_reading, phase_bytes, read_weights
from host.parallel.cost.throughput import model_throughput
from host.parallel.cost.traffic import widest_sums
from host.parallel.parallelism import (
    ALL_GATHER,
    ALL_REDUCE,
    UART,
    Parallelism,
)
from host.parallel.partition import partition
from protocol.cobs import encoded_size
from protocol.messages import PHASE_VOCABULARY
from tests.host.tokens import (
    BITS,
    busiest,
    token_of,
)
from tests.plans import tensor_plan


@pytest.mark.parametrize("name", ["rv32im", "lx6", "pie"])
def test_a_long_frame_takes_more_to_sign_by_its_bytes(stories, name):
    """They are many SHA-256 blocks, of 64 bytes each."""
    sizes, plans = [], []
    for signed in (False, True):
        plans.append(tensor_plan(stories, 2, reduce="chips", mtu=1470, signed=signed))
    message = token_of(plans[1])[1].answers[0]
    for payload in (200, 840):
        one, other = (
            message_instructions(plan, 1, replace(message, payload=payload), KERNELS[name])
            for plan in plans
        )
        sizes.append(other - one)
    assert sizes[1] - sizes[0] == pytest.approx(10 * 64 * KERNELS[name].signed_byte)
    assert {"rv32im": 4_450, "lx6": 3_520, "pie": 3_520}[name] == pytest.approx(
        64 * KERNELS[name].signed_byte, rel=0.01
    )


def test_chips_take_what_their_own_kernels_take(stories):
    """An S3, an ESP32 and an S2 have one architecture, and three sets of kernels."""
    plan = tensor_plan(stories, 1)
    named = {"esp32s3": "pie", "esp32": "lx6", "esp32c3": "rv32im", "esp32s2": "xtensawin"}
    counts = []
    for name, kernels in named.items():
        board = load(name)
        costs = kernel_costs(board.mpy_arch, board.chip)
        assert costs is KERNELS[kernels]
        assert kernel_costs(board.mpy_arch, board.chip, "viper") is KERNELS[board.mpy_arch]
        counts.append(busiest(plan, 128, costs))
    assert counts == sorted(counts) and len(set(counts)) == 4


def test_several_sequences_or_rows_are_not_answered_in_one_native_call(stories):
    each = token_of(tensor_plan(stories, 1))[1]
    native = replace(KERNELS["rv32im"], passes=())
    plan = tensor_plan(stories, 1)
    one, two = (chip_instructions(plan, 0, each, 64, native, rows) for rows in (1, 2))
    assert two > 2 * one + 10_000
    several = partition(
        stories, 1, 128, parallelism=Parallelism(slots=2), link=UART, heap=1 << 20
    )
    assert several.slots == 2 and plan.slots == 1
    assert chip_instructions(several, 0, each, 64, native) > one + 25_000


def test_several_rows_read_weights_once_where_native_kernels_take_them_together(stories):
    plan = tensor_plan(stories, 1)
    feeding, scoring = token_of(plan)[1], token_of(plan)[-1]
    macs = 3 * 64 * 172
    for name, rows, together in (("rv32im", 3, 2), ("rv32im", 7, 6), ("lx6", 7, 4), ("pie", 3, 0)):
        costs = KERNELS[name]
        by_one = replace(costs, passes=())
        one, more = (
            chip_instructions(plan, 0, feeding, 9, each, rows) for each in (by_one, costs)
        )
        assert one - more == pytest.approx(together * macs * (costs.matrix - costs.passed))
        passes = rows - together + len([c for c in costs.passes if c <= rows]) * bool(together)
        assert count_passes(plan, 0, feeding, costs, rows) == (together, passes)
        assert count_passes(plan, 0, scoring, costs, rows) == (0, rows)


def test_times_are_vipers_where_native_kernels_are_not_to_run(stories):
    plan, boards = tensor_plan(stories, 2), [load("esp32s3")] * 2
    token = token_of(plan)
    native, viper = (LatencyModel(plan, boards, of).latency(token, 64) for of in ("auto", "viper"))
    assert native.compute < viper.compute / 2 and native.links == viper.links
    rates = [
        model_throughput(LatencyModel(plan, boards, of), token, 64) for of in ("auto", "viper")
    ]
    assert rates == [native.tokens_per_second, viper.tokens_per_second]


def test_work_is_dealt_by_the_kernels_of_chips():
    speeds = BoardSet(tuple(map(load, ("esp32s3", "esp32", "esp32c3"))), "uart").speeds
    assert speeds[0] > 2 * speeds[1] > 2 * speeds[2]


def test_signing_relaying_and_xtensa_take_more(stories):
    plain = tensor_plan(stories, 5, mtu=250)
    signed = tensor_plan(stories, 5, mtu=250, signed=True)
    assert busiest(plain, 64) < busiest(signed, 64)
    assert busiest(plain, 64) < busiest(plain, 64, KERNELS["xtensawin"])
    first = token_of(plain)[1]
    gateway, other = (chip_instructions(plain, c, first, 64, KERNELS["rv32imc"]) for c in (0, 3))
    assert gateway > other + 4 * 21_000


def test_one_chip_on_a_line_by_hand(stories):
    """All of it is computing, and the line there and back."""
    board, plan = load("esp32c3"), tensor_plan(stories, 1)
    token = token_of(plan)
    times = LatencyModel(plan, [board]).latency(token, 64)
    cycles = CYCLES_AN_INSTRUCTION * busiest(plan, 64, KERNELS["rv32im"])
    assert times.compute == pytest.approx(cycles / 160e6)
    requests, answers = 147, 8 + 10 + 64 * BITS // 8 + 4
    logits = 8 + 12 + 1024 + 4
    on_line = 11 * (requests + 2) + 10 * (answers + 2) + logits + 2 + logits // 254
    assert times.links == pytest.approx(on_line * 10 / 921_600)
    assert times.waits == pytest.approx(11 * (2 * USB_SECONDS + HOST_SECONDS))
    assert times.airtime == 0 and times.total == times.compute + times.links + times.waits
    assert times.tokens_per_second == pytest.approx(1 / times.total)


def test_published_packets_take_their_published_time():
    fast, slow = radio_rate([load("esp32s3")]), radio_rate([load("esp32s3"), load("esp32c6")])
    assert fast.airtime(250, is_broadcast=True) == pytest.approx(250 / 963_000)
    assert slow.airtime(250, is_broadcast=False) == pytest.approx(250 / 89_250)
    assert 2 * fast.airtime(60, is_broadcast=False) + fast.turnaround == pytest.approx(0.7e-3)
    assert slow.turnaround > fast.turnaround > 0


def test_a_gateway_has_a_request_before_it_repeats_it_and_relays_answers_meanwhile(stories):
    """Towards the chips line and air add up; from them the longer one counts."""
    plan = tensor_plan(stories, 2, mtu=250)
    boards = [load("esp32s3")] * 2
    compute = token_of(plan)[1]
    line = [(encoded_size(size) * 10 / 921_600) for size in (147, 8 + 10 + 64 * BITS // 8 + 4)]
    model = LatencyModel(plan, boards)
    there = model.latency([replace(compute, answers=())], 64)
    assert there.airtime > 0
    assert there.links == pytest.approx(line[0] + there.airtime)
    back = model.latency([replace(compute, requests=())], 64)
    assert back.links == pytest.approx(max(2 * line[1], back.airtime))


@pytest.mark.parametrize("reduce", ["host", "chips"])
@pytest.mark.parametrize("chips", [2, 5])
def test_the_air_carries_one_frame_after_another(stories, chips, reduce):
    plan = tensor_plan(stories, chips, mtu=250, reduce=reduce)
    boards = [load("esp32s3")] * chips
    times = LatencyModel(plan, boards).latency(token_of(plan, greedy=True), 64)
    assert 0 < times.airtime <= times.links
    more = tensor_plan(stories, chips + 1, mtu=250, reduce=reduce)
    model = LatencyModel(more, [*boards, boards[0]])
    assert model.latency(token_of(more), 64).airtime > times.airtime


def test_the_slowest_chip_counts_in_each_phase(stories):
    plan = tensor_plan(stories, 2)
    fast, slow = load("esp32s3"), load("esp32c3")
    times = [LatencyModel(plan, boards).latency(token_of(plan), 64).compute
             for boards in ([fast, fast], [fast, slow], [slow, slow])]  # fmt: skip
    assert times[0] < times[1] <= times[2]


def test_times_of_simulated_chips_are_not_modelled(stories):
    plan = tensor_plan(stories, 1)
    with pytest.raises(NotModelled, match="board simulated has no clock or UART"):
        LatencyModel(plan, [load("simulated")]).latency(token_of(plan), 0)


def test_the_formula_names_its_constants(stories):
    plan = tensor_plan(stories, 2, mtu=250)
    text = " ".join(formula(plan, [load("esp32s3"), load("esp32c3")]))
    for constant in ("1.5 cycles", "921,600", "963,000", "778,500", "240 MHz", "160 MHz"):
        assert constant in text
    wired = " ".join(formula(tensor_plan(stories, 2), [load("esp32c3")] * 2))
    assert "air" not in wired


def test_reading_weights_takes_its_time(stories):
    """From flash and from PSRAM; in internal RAM it is among the instructions."""
    token = None
    seconds = {}
    for name, weights in (("esp32s3", "heap"), ("esp32s3-psram", "heap"), ("esp32s3", "flash")):
        boards = BoardSet((load(name),) * 3, "uart", 128)
        plan = boards.plan(stories, Parallelism(weights=weights))
        token = token_of(plan)
        seconds[name, weights] = LatencyModel(plan, boards.boards).latency(token, 64)
        shard = plan.shards[0]
        (read,) = read_weights(plan, 0, load(name))
        of_layer = 2 * 8 * (len(shard.heads) + len(shard.kv_heads)) + 3 * len(shard.units)
        assert read.bytes == 64 * (5 * of_layer + len(shard.rows))
        assert read.bytes == sum(phase_bytes(plan, 0, each) for each in token)
    ram, psram, flash = seconds.values()
    assert ram.reading == 0 and flash.compute > ram.compute == psram.compute
    # While a chip waits, it reads a block ahead.
    assert 0 < flash.reading < read.bytes / 11_480_000
    chips = LatencyModel(plan, boards.boards).chips
    assert sum(chips.read(0, each) for each in token) == pytest.approx(read.bytes / 11_480_000)
    assert psram.reading == pytest.approx(read.bytes / 58_000_000)
    assert flash.total == pytest.approx(flash.compute + flash.reading + flash.links + flash.waits)
    assert sum(flash.percent.values()) == 100 and flash.percent["reading"] > 0
    assert read.place == FLASH
    text = describe_reading([read])
    assert re.fullmatch(r"flash, \d+ KB a token at 11.5 MB/s \(modelled\)", text)


@pytest.mark.parametrize("parallelism", [Parallelism(), ALL_REDUCE, ALL_GATHER])
def test_flash_is_read_once_for_the_positions_of_a_request(stories, parallelism):
    boards = BoardSet((load("esp32s3"),) * 3, "uart", 128)
    plan = boards.plan(stories, replace(parallelism, weights="flash"))
    assert plan.shape.together  # there is room for buffers of all positions
    chips = LatencyModel(plan, boards.boards).chips
    for each in plan.strategy.synchronizations(plan, True, widest_sums(plan), 3):
        one, three = (chips.read(0, each, rows) for rows in (1, 3))
        assert 0 < three == one * (3 if each.phase == PHASE_VOCABULARY else 1)
        one, three = (chips.compute(0, each, 64, rows) for rows in (1, 3))
        assert one < three < 3 * one
    apart = replace(plan.stages[0], shape=replace(plan.shape, together=False))
    chips = LatencyModel(replace(plan, stages=(apart,)), boards.boards).chips
    one, three = (chips.read(0, each, rows) for rows in (1, 3))
    assert three == pytest.approx(3 * one)
    shard = plan.shards[0]
    alone = plan.strategy.heap_need(apart.shape, 0, plan.local_sizes(shard), len(shard.rows))
    assert alone.total + 4_000 < plan.heap_need(shard).total


def test_formulas_tell_at_what_rates_weights_are_read(stories):
    boards = BoardSet((load("esp32s3"), load("esp32s3-psram"), load("esp32p4")), "uart", 128)
    mixed = boards.plan(stories, Parallelism())
    lines = "\n".join(formula(mixed, boards.boards))
    assert "PSRAM 58 MB/s (esp32s3-psram), PSRAM at a rate that is not known, not counted" in lines
    plan = boards.plan(stories, Parallelism(weights="flash"))
    lines = "\n".join(formula(plan, boards.boards))
    assert "compute + reading + links" in lines
    assert "flash 11.48 MB/s (esp32s3, esp32s3-psram), flash 6.676 MB/s (esp32p4)" in lines
    alone = BoardSet((load("esp32s3"),) * 2, "uart", 128)
    plan = alone.plan(stories, Parallelism(weights="flash"))
    assert "(published); flash 11.48 MB/s" in formula(plan, alone.boards)[-1]
    assert "reading" not in "\n".join(formula(tensor_plan(stories, 2), [load("esp32s3")] * 2))
