"""The configuration of a chip, for simulated chips and boards."""

import pytest

from host.boards import load
from host.deploy.configuration import SIMULATED_UART, board_uart, configuration
from host.model.quantize import quantized
from host.parallel.plan import tensor_parallel
from tests.host.tiny import random_checkpoint


@pytest.fixture(scope="module")
def model():
    return quantized(random_checkpoint())


def test_a_chip_on_uart(model):
    plan = tensor_parallel(model, 3)
    share = plan.shares[1]
    assert configuration(plan, share, uart=SIMULATED_UART, key=b"\x01\xab") == {
        "chip": 1,
        "link": "uart",
        "gateway": False,
        "receives": plan.shape.request_frame,
        "sends": plan.shape.answer_frame(len(share.rows)),
        "uart": {"id": 1, "baudrate": 921600, "rxbuf": plan.shape.uart_rxbuf},
        "key": "01ab",
    }


@pytest.mark.parametrize("chip", [0, 2])
def test_a_chip_on_radio(model, chip):
    plan = tensor_parallel(model, 3, mtu=250)
    config = configuration(plan, plan.shares[chip], uart=SIMULATED_UART, rate=12)
    gateway = chip == 0
    assert (config["link"], config["gateway"], config["key"]) == ("espnow", gateway, "")
    rxbuf = plan.shape.radio_rxbuf(gateway)
    assert config["radio"] == {"channel": 1, "rxbuf": rxbuf, "mtu": 250, "rate": 12}


def test_a_radio_whose_rate_is_not_set(model):
    plan = tensor_parallel(model, 1, mtu=250)
    config = configuration(plan, plan.shares[0], uart=SIMULATED_UART)
    assert set(config["radio"]) == {"channel", "rxbuf", "mtu"}


def test_the_pins_of_a_board():
    uart = load("esp32s3").uart
    assert uart is not None
    assert board_uart(uart) == {"id": 1, "tx": 17, "rx": 18, "baudrate": 921600, "rxbuf": 4096}
