"""The configuration of a chip, for simulated chips and boards."""

import pytest

from host.build.configuration import (
    REPL_MTU,
    REPL_UART,
    SIMULATED_UART,
    board_settings,
    board_uart,
    configuration,
)
from host.build.firmware_version import firmware_version
from host.hardware.boards import load
from host.model.quantization.quantize import quantize
from host.parallel.cost.radio import RATE_54M
from host.parallel.parallelism import Link, pipeline
from host.parallel.partition import partition
from protocol.cobs import encoded_size
from tests.host.tiny import random_checkpoint
from tests.plans import tensor_plan


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint())


def test_a_chip_on_uart(model):
    plan = tensor_plan(model, 3)
    shard = plan.shards[1]
    assert configuration(plan, shard, uart=SIMULATED_UART, key=b"\x01\xab") == {
        "chip": 1,
        "chips": 3,
        "firmware": firmware_version(),
        "role": "host_reduce",
        "link": "uart",
        "gateway": False,
        "receives": plan.strategy.received_frame(plan.shape),
        "sends": plan.strategy.sent_frame(plan.shape, len(shard.rows)),
        "uart": {"id": 1, "baudrate": 921600, "rxbuf": plan.strategy.uart_rxbuf(plan.shape)},
        "key": "01ab",
    }


@pytest.mark.parametrize(("baud", "configured"), [(0, 3_000_000), (921_600, 921_600)])
def test_a_chip_in_a_ring_has_the_ring_s_speed_and_keeps_it(model, baud, configured):
    link = Link("ring", baud=baud)
    plan = partition(model, 2, parallelism=pipeline(2), link=link)
    for shard in plan.shards:
        config = configuration(
            plan, shard, uart=board_uart(load("esp32s3").uart), key=bytes(32), fast=True
        )
        assert (config["link"], config["role"]) == ("ring", "pipeline")
        assert config["uart"]["baudrate"] == configured and "baudrate" not in config
        assert config["uart"]["rxbuf"] >= plan.strategy.uart_rxbuf(plan.shape)
    assert (link.line, Link("uart", baud=baud).baud) == ("pins", 0)


@pytest.mark.parametrize("chip", [0, 2])
def test_a_chip_on_radio(model, chip):
    plan = tensor_plan(model, 3, mtu=250)
    config = configuration(plan, plan.shards[chip], uart=SIMULATED_UART, rate=12)
    gateway = chip == 0
    assert (config["link"], config["gateway"], config["key"]) == ("espnow", gateway, "")
    rxbuf = plan.strategy.radio_rxbuf(plan.shape, gateway)
    assert config["radio"] == {"channel": 1, "rxbuf": rxbuf, "mtu": 250, "rate": 12}


def test_a_radio_whose_rate_is_not_set(model):
    plan = tensor_plan(model, 1, mtu=250)
    config = configuration(plan, plan.shards[0], uart=SIMULATED_UART)
    assert set(config["radio"]) == {"channel", "rxbuf", "mtu"}


def test_the_pins_of_a_board():
    uart = load("esp32s3").uart
    assert uart is not None
    assert board_uart(uart) == {"id": 1, "tx": 17, "rx": 18, "baudrate": 921600, "rxbuf": 4096}


@pytest.mark.parametrize("mtu", [None, 250])
def test_a_line_that_is_the_repl_has_short_frames_and_no_buffer(model, mtu):
    plan = tensor_plan(model, 2, mtu=mtu)
    config = configuration(plan, plan.shards[0], uart=REPL_UART)
    assert config["uart"] == {"id": "repl", "mtu": REPL_MTU}
    # MicroPython's ports/esp32/mphalport.c: a ring of 260 bytes, of which it keeps one free.
    assert encoded_size(REPL_MTU) < 260


@pytest.mark.parametrize(
    ("name", "clock", "button", "led"),
    [
        ("esp32", 240, 0, {"pin": 2, "kind": "gpio"}),
        ("esp32s3", 240, 0, {"pin": 48, "kind": "ws2812"}),
        ("esp32c3", 160, 9, {"pin": 8, "kind": "ws2812"}),
        ("esp32c6", 160, 9, {"pin": 8, "kind": "ws2812"}),
    ],
)
def test_what_a_board_has_beside_its_links(model, name, clock, button, led):
    plan = tensor_plan(model, 1)
    board = board_settings(load(name))
    config = configuration(plan, plan.shards[0], uart=REPL_UART, board=board)
    assert config["board"] == {
        "clock_mhz": clock, "button": button, "led": led, "prompt_ms": 2000, "watchdog_ms": 8000,
    }  # fmt: skip


def test_a_simulated_chip_has_nothing_beside_its_links(model):
    plan = tensor_plan(model, 1)
    assert "board" not in configuration(plan, plan.shards[0], uart=SIMULATED_UART)
    assert set(board_settings(load("simulated"))) == {"prompt_ms", "watchdog_ms"}


@pytest.mark.parametrize(
    ("chips", "reduce", "link", "waits"),
    [(3, "chips", 250, True), (2, "chips", 250, False), (3, "host", 250, False),
     (3, "chips", None, False)],
)  # fmt: skip
def test_boards_that_exchange_on_the_radio_wait_for_their_turn(model, chips, reduce, link, waits):
    """For as long as a contribution takes at the board's rate; simulated chips wait for nobody."""
    plan = tensor_plan(model, chips, mtu=link, reduce=reduce)
    slots = {}
    for rate in (None, RATE_54M):
        config = configuration(plan, plan.shards[1], uart=SIMULATED_UART, rate=rate, board={})
        slots[rate] = config.get("radio", {}).get("slot")
    if waits:
        assert 200 < slots[RATE_54M] < 300 and 600 < slots[None] < 2600  # microseconds
    else:
        assert slots == {None: None, RATE_54M: None}
    assert "slot" not in configuration(plan, plan.shards[1], uart=SIMULATED_UART).get("radio", {})
