"""Plans and files of chips that map their weights: what they take, and what the page says."""

import json
import re
from dataclasses import replace

import pytest

from host.build.bundle import chip_files, split_files
from host.cli.plan_report import describe_readings
from host.hardware.board import FILESYSTEM, PAGE
from host.hardware.boards import load, names
from host.hardware.mmu import MMUS, map_settings, mapped_room
from host.model.checkpoint import Config
from host.model.outline import Outline
from host.model.quantization.quantize import quantize
from host.parallel.assessment import Assessment
from host.parallel.boards import BoardSet
from host.parallel.cost.chip_times import ChipTimes
from host.parallel.cost.estimate import estimate, find_fastest
from host.parallel.cost.reading import (
    FLASH,
    MAPPED,
    PSRAM,
    has_addresses,
    phase_bytes,
    read_weights,
    time_reading,
)
from host.parallel.cost.traffic import widest_sums
from host.parallel.fitting import find_plans
from host.parallel.flash import ahead_bytes
from host.parallel.parallelism import ALL_REDUCE, HOST_REDUCE
from protocol.messages import PHASE_VOCABULARY
from tests.host.tiny import random_checkpoint
from tests.simulation.launch import REPOSITORY

# Of SmolLM2-135M and stories15M, with the widest sums that there can be.
SMOLLM2 = Outline(Config(576, 1536, 30, 9, 3, 49_152, 8192), 32)
STORIES15M = Outline(Config(288, 768, 6, 6, 6, 32_000, 256), 32)
# With 32 copies of units, as quantize makes them.
IN_GROUPS = replace(SMOLLM2.config, hidden_dim=1568, groups="wq wk wv wo w1 w2 w3")
PAGE_TEXT = (REPOSITORY / "docs" / "large-models.md").read_text()


def boards(name, count, weights, link="uart", mtu=None, context=256):
    board = load(name).with_mtu(mtu) if mtu else load(name)
    return BoardSet((board,) * count, link, context, False, "pins", weights=weights)


def plan_of(of, model, parallelism=HOST_REDUCE):
    return of.plan(model, replace(parallelism, weights=of.weights))


@pytest.mark.parametrize(
    ("weights", "row"),
    [
        ("auto", "as they are: read ahead"),
        ("flash-mapped", "flash mapped into memory"),
        ("auto", "as they are, with int8 caches"),
        ("auto", "as they are, with weights in groups"),
        ("flash-mapped", "flash mapped, with weights in groups"),
    ],
)
def test_the_page_says_what_is_modelled_of_ten_boards(weights, row):
    """Sums are as wide as they can be."""
    of = boards("esp32s3-n16r8", 10, weights, "espnow", 1470)
    model = replace(SMOLLM2, config=replace(SMOLLM2.config, int8_kv="int8" in row))
    if "groups" in row:
        model = replace(model, config=IN_GROUPS)
    estimated = estimate(plan_of(of, model, ALL_REDUCE), of)
    modelled, cells = estimated.latency, r" \| (\S+)" + r" \| (\S+) s" * 4
    found = re.search(rf"^\| {re.escape(row)}.*?{cells} \|$", PAGE_TEXT, re.M)
    rate, compute, reading, links, first = map(float, found.groups())
    assert first == round(estimated.first_token)
    assert compute == pytest.approx(modelled.compute, abs=0.005)
    assert reading == pytest.approx(modelled.reading, abs=0.005)
    assert links == pytest.approx(modelled.links + modelled.waits, abs=0.005)
    assert rate == pytest.approx(modelled.tokens_per_second, abs=0.01)


# Of the page's table of boards, context, and tokens per second by what weights are in.
_RATE = r"([\d.]+|does not fit)"
SPEED = re.compile(rf"^\| (\d+) \| ([\d,]+) \| {_RATE} \| {_RATE} \|$", re.M)


@pytest.mark.verify
def test_the_page_says_how_fast_boards_are_with_weights_in_groups():
    """With int8 caches, signed frames and sums as wide as the real model's."""
    rows = SPEED.findall(PAGE_TEXT)
    assert len(rows) == 8
    models = [replace(SMOLLM2.config, hidden_dim=1560), IN_GROUPS]
    for count, context, *said in rows:
        of = boards("esp32s3-n16r8", int(count), "auto", "espnow", 1470)
        of = replace(of, context=int(context.replace(",", "")), signed=True)
        for config, rate in zip(models, said, strict=True):
            plans, _ = find_plans(Outline(replace(config, int8_kv=True), 31), of)
            found = find_fastest(plans, of) if plans else None
            modelled = f"{found.latency.tokens_per_second:.2f}" if found else "does not fit"
            assert modelled == rate, (count, context, config)


def test_matrices_stay_in_psram_that_is_faster_and_all_others_are_mapped():
    of = boards("esp32s3-n16r8", 10, "flash-mapped")
    plan = plan_of(of, SMOLLM2)
    in_blocks = plan_of(replace(of, weights="auto"), SMOLLM2)
    assert plan.shards == in_blocks.shards
    for chip in (0, 9):
        resident, mapped = read_weights(plan, chip, of.boards[chip])
        assert (resident.place, mapped.place, mapped.rate) == (PSRAM, MAPPED, 27_000_000)
        before = read_weights(in_blocks, chip, of.boards[chip])
        assert resident.bytes + mapped.bytes == sum(each.bytes for each in before)
        # What is read in blocks needs buffers, which take the room of half a megabyte of them.
        kept = before[0].bytes + ahead_bytes(in_blocks.block(chip))
        assert resident.bytes == pytest.approx(kept, rel=0.02)
    assert not any(map(plan_of(replace(of, weights="flash"), SMOLLM2).resident_room, range(10)))


@pytest.mark.parametrize("weights", ["auto", "flash-mapped"])
def test_a_place_from_which_nothing_is_read_is_not_named(weights):
    """All matrices of a small model stay in PSRAM."""
    board = load("esp32s3-n16r8")
    plan = plan_of(boards(board.name, 4, "flash-mapped"), STORIES15M)
    plan = replace(plan, parallelism=replace(plan.parallelism, weights=weights))
    assert plan.block(0)
    assert [read.place for read in read_weights(plan, 0, board)] == [PSRAM]
    assert has_addresses(plan, 0, board)


def test_what_is_beyond_the_window_is_read_in_blocks():
    """Of a 16 MB flash behind an ESP32, whose window is short; the vocabulary lies last."""
    board = load("esp32")
    board = replace(board, flash=replace(board.flash, size=0x1000000))
    of = BoardSet((board,) * 6, "uart", 24, False, "pins", weights="flash-mapped")
    plan = plan_of(of, STORIES15M)
    mapped, flash = read_weights(plan, 0, board)
    assert (mapped.place, flash.place) == (MAPPED, FLASH)
    need = plan.flash_need(plan.shards[0], 2)
    assert mapped.bytes + flash.bytes <= need
    # A matrix of which a part is beyond it is read as a whole.
    assert need - mapped_room(board) <= flash.bytes + 32
    assert flash.bytes == 288 * len(plan.shards[0].rows)
    assert not has_addresses(plan, 0, board)
    for each in plan.strategy.synchronizations(plan, True, widest_sums(plan)):
        times = time_reading(plan, 0, board, each)
        if each.phase == PHASE_VOCABULARY:
            assert times.buffered == pytest.approx(flash.bytes / board.flash.read_rate)
        else:
            passed = phase_bytes(plan, 0, each)
            assert times.buffered == 0
            assert times.direct == pytest.approx(passed / board.flash.map_rate)


def test_a_chip_whose_mmu_is_not_known_reads_in_blocks():
    of = boards("esp32c6", 14, "flash-mapped", context=32)
    plan = plan_of(of, STORIES15M)
    (flash,) = read_weights(plan, 0, of.boards[0])
    assert (flash.place, flash.rate) == (FLASH, of.boards[0].flash.read_rate)
    assert mapped_room(of.boards[0]) == 0
    assert not has_addresses(plan, 0, of.boards[0])
    assert map_settings(of.boards[0]) == "the MMU of an esp32c6 is not known"
    lines = describe_readings(Assessment(of, plan, None, 0, None, None, None))
    assert lines[0].startswith("weights of chips 0-13: in flash, ")
    assert lines[1:] == [
        "weights of chips 0-13, not mapped: the MMU of an esp32c6 is not known"
    ]
    known = replace(of, boards=(load("esp32c3"),) * 14)
    lines = describe_readings(Assessment(known, plan, None, 0, None, None, None))
    assert len(lines) == 1 and lines[0].startswith("weights of chips 0-13: in flash, mapped, ")


@pytest.mark.parametrize("parallelism", [HOST_REDUCE, ALL_REDUCE])
def test_native_kernels_use_mapped_weights_as_those_in_the_heap(parallelism):
    """In programs, with no bytecode in between; two positions of SmolLM2's read them once."""
    of = boards("esp32s3-n16r8", 10, "flash-mapped")
    plan, in_blocks = (
        plan_of(replace(of, weights=weights), SMOLLM2, parallelism)
        for weights in (of.weights, "auto")
    )
    assert all(has_addresses(plan, chip, board) for chip, board in enumerate(of.boards))
    assert not any(has_addresses(in_blocks, chip, of.boards[0]) for chip in range(10))
    mapped, read = (ChipTimes(each, of.boards, "auto") for each in (plan, in_blocks))
    viper = ChipTimes(plan, of.boards, "viper")
    for each in plan.strategy.synchronizations(plan, True, widest_sums(plan)):
        is_scoring = each.phase == PHASE_VOCABULARY
        assert mapped.compute(0, each, 9) < read.compute(0, each, 9)
        assert mapped.compute(0, each, 9) < 0.5 * viper.compute(0, each, 9)
        passes = [times.reading_times(0, each, 2)[1] for times in (mapped, read, viper)]
        assert passes == ([2, 2, 2] if is_scoring else [1, 1, 1])
    assert not mapped.start_reading_ahead().is_used and read.start_reading_ahead().is_used


def test_partitions_begin_with_a_page_and_fit_the_window():
    """Those of all boards that come with the program, beside what their programs take."""
    for board in map(load, names()):
        if board.flash:
            begin = board.flash.size - board.weights_room
            assert begin % PAGE == 0
            assert begin >= board.flash.filesystem_offset + FILESYSTEM or not board.weights_room
        if board.chip in MMUS:
            assert board.weights_room <= mapped_room(board)
            assert board.flash.map_rate > board.flash.read_rate


@pytest.mark.parametrize(("weights", "maps"), [("flash", False), ("flash-mapped", True)])
def test_only_chips_that_map_have_the_code_and_the_addresses(weights, maps):
    model, board = quantize(random_checkpoint()), load("esp32s3")
    of = BoardSet((board,) * 2, "uart", 16, False, "pins", weights=weights)
    plan = plan_of(of, model)
    files = chip_files(model, plan, plan.shards[0], "xtensawin", {}, mapping=map_settings(board))
    assert ("firmware/mapping.mpy" in files) == maps
    settings = json.loads(files["config.json"])["weights"]
    assert settings.get("map") == (MMUS["esp32s3"].settings if maps else None)
    assert split_files(files)[1] == files["shard.bin"]
