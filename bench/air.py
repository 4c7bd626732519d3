"""Compares the models of links with others' measurements, and models what collisions cost.

Throughput is that of two boards, of which one sends 250 bytes to the other, or to all, as fast as
it can: one frame after another, each with the times of bench/contention.py and the instructions of
ESP-NOW's driver. It shares no figure with the published airtimes with which tokens are modelled.

Collisions: federations at the published airtimes with stations that take turns, with stations that
may collide, and with chips that send by rank (firmware/roles/turns.py), so that they seldom
collide.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import simpy

from bench.chip_combined_model import ChipCombined
from bench.contention import MODULATIONS, SharedAir, airtime
from bench.federation_model import Model, Scenario
from bench.host_combined_model import HostCombined
from bench.link_figures import RADIO_SEND, RATES, Rate
from bench.plans import tensor_plan
from bench.results import Label, Row
from host.hardware.boards import load
from host.model.quantized import QuantizedModel
from host.parallel.cost.chip_times import CYCLES_AN_INSTRUCTION
from host.parallel.cost.instructions import chip_instructions
from host.parallel.cost.kernel_costs import kernel_costs
from host.parallel.cost.traffic import BITS_A_BYTE, widest_sums
from host.parallel.cost.turns import slot_seconds
from host.parallel.plan import Plan, Shard
from host.parallel.synchronization import Synchronization

# Bytes per second in 250-byte packets at one metre, to all and to one, measured by others.
PUBLISHED = {1: (101_000, 89_250), 11: (497_000, 349_250), 54: (963_000, 778_500)}
# A language model of 15 million parameters, its layers on two ESP32-S3 with a UART between them
# (the project esp32-llm-pipeline, 2026): bits per second; bytes and tokens of both ways.
_UART_BAUD, _UART_BYTES, _UART_TOKENS_A_SECOND = 460_800, 1_200, 1.4
UART_SHARE = 3.0  # percent of a token's time, by its author
BOARD = "esp32s3"
CHIPS = (2, 5, 8)
_SIZE, _SECONDS = 250, 2.0
_TOKENS, _POSITION = 40, 128
MODES: dict[str, type[Model]] = {"host": HostCombined, "chips": ChipCombined}


def throughput(mbit: int, to_all: bool) -> float:
    """Returns the bytes per second between two boards."""
    env = simpy.Environment()
    air = SharedAir(env, Random(0))
    board = load(BOARD)
    assert board.clock_mhz
    driver = RADIO_SEND * CYCLES_AN_INSTRUCTION / (board.clock_mhz * 1e6)

    def send() -> Generator[simpy.Event, Any, None]:
        while True:
            yield env.timeout(driver)
            yield from air.carry(airtime(mbit, _SIZE, to_all), to_all)

    env.process(send())
    env.run(_SECONDS)
    return air.frames * _SIZE / _SECONDS


def throughput_rows() -> Iterator[Row]:
    """Yields rows of modelled and published throughput, and of the UART's part in a token of two
    boards that others have published."""
    for mbit in MODULATIONS:
        for to_all, published in zip((True, False), PUBLISHED[mbit], strict=True):
            name, target = f"throughput {'to all' if to_all else 'to one'}", f"{mbit} Mbit/s"
            modelled = round(throughput(mbit, to_all))
            for whose, value in (("modelled", modelled), ("published", published)):
                yield Row(name, target, whose, value, "bytes/s", Label.MODELLED)
    seconds = _UART_BYTES * BITS_A_BYTE / _UART_BAUD
    share = round(100 * seconds * _UART_TOKENS_A_SECOND, 1)
    for whose, of_token in (("modelled", share), ("published", UART_SHARE)):
        yield Row("share of a token", "UART", whose, of_token, "%", Label.MODELLED)


class PlannedWork:
    """The instructions of chips as host.plan counts them, without those for links, which the model
    adds."""

    def __init__(self, plan: Plan) -> None:
        board = load(BOARD)
        costs = kernel_costs(board.mpy_arch, board.chip)
        assert costs is not None
        token = plan.strategy.synchronizations(plan, False, widest_sums(plan))

        def executed(chip: int, each: Synchronization) -> float:
            return chip_instructions(plan, chip, each, _POSITION, costs)

        self._tasks = {
            (each.phase, chip): executed(chip, replace(each, requests=(), answers=()))
            for each in token  # of all layers alike
            for chip in range(plan.chips)
        }
        # To add another chip's contribution.
        first = token[0]
        alone = replace(first, answers=first.answers[:1])
        more = executed(0, first) - executed(0, alone)
        self._part = more / max(1, len(first.answers) - 1)

    def instructions(self, task: int, shard: Shard | None = None) -> float:
        """Does what bench.federation_model.Instructions says."""
        return self._part if shard is None else self._tasks[task, shard.chip]


def collision_rows(model: QuantizedModel, name: str) -> Iterator[Row]:
    """Yields rows of tokens per second if stations take turns, if they collide, and if chips that
    add up send by rank; and of the frames that collide."""
    for rate in RATES:
        for reduce in MODES:
            for chips in CHIPS:
                shape = f"{name} {rate.name}, {reduce} adds, {chips} chips"
                plan = _plan(model, chips, reduce)
                ways = {"taking turns": (False, 0.0), "with collisions": (True, 0.0)}
                if slot := slot_seconds(plan, rate.figures) if reduce == "chips" else 0.0:
                    ways["by rank"] = True, slot
                for words, (collides, slot) in ways.items():
                    speed, part = run_on_air(plan, reduce, rate, collides, slot)
                    yield _row(f"speed {words}", shape, speed, "tokens/s")
                    if words == "with collisions":
                        yield _row("frames that collide", shape, part, "%")
                    if words == "by rank":
                        yield _row("frames that collide by rank", shape, part, "%")


def _plan(model: QuantizedModel, chips: int, reduce: str) -> Plan:
    context = min(2 * _POSITION, model.config.context)
    return tensor_plan(model, chips, context, mtu=_SIZE, reduce=reduce)


def run_on_air(
    plan: Plan, reduce: str, rate: Rate, collides: bool, slot: float
) -> tuple[float, float]:
    """Returns tokens per second, and the percentage of frames on the air that collide; slot: as
    for Scenario."""
    board = load(BOARD)
    assert board.clock_mhz
    hertz = board.clock_mhz * 1e6 / CYCLES_AN_INSTRUCTION
    running = MODES[reduce](
        Scenario(plan, PlannedWork(plan), hertz, rate, collides=collides, slot=slot), seed=1
    )
    outcome = running.outcome(_TOKENS if collides else 2)
    air = running.medium.shared_air
    return 1 / outcome.seconds, 100 * air.collided / np.maximum(air.frames, 1)


def _row(what: str, shape: str, value: float, unit: str) -> Row:
    return Row(what, BOARD, shape, round(value, 1), unit, Label.MODELLED)
