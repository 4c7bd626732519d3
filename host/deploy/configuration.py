"""What firmware/main.py reads: a chip's place in the cluster, and how its links are set up."""

from __future__ import annotations

from collections.abc import Mapping

from host.boards import Uart
from host.parallel.plan import Plan, Share

CHANNEL = 1  # of Wi-Fi, on which all chips of a cluster meet
SIMULATED_UART = {"id": 1, "baudrate": 921600}


def board_uart(uart: Uart) -> dict[str, int]:
    """Settings of machine.UART for a board."""
    return {
        "id": uart.number,
        "tx": uart.tx,
        "rx": uart.rx,
        "baudrate": uart.baud,
        "rxbuf": uart.rxbuf,
    }


def configuration(
    plan: Plan,
    share: Share,
    *,
    uart: Mapping[str, int],
    rate: int | None = None,
    key: bytes = b"",
) -> dict[str, object]:
    """The configuration of the chip that owns `share`.

    uart: settings of its machine.UART, whose buffer is made long enough; rate: for
    `ESPNow.config`, None where it is not to be set; key: of the cluster, empty for frames that
    are not signed.
    """
    mtu = plan.shape.mtu
    gateway = share.chip == 0
    config: dict[str, object] = {
        "chip": share.chip,
        "link": "uart" if mtu is None else "espnow",
        "gateway": gateway,
        "receives": plan.shape.request_frame,
        "sends": plan.shape.answer_frame(len(share.rows)),
        "uart": {**uart, "rxbuf": max(uart.get("rxbuf", 0), plan.shape.uart_rxbuf)},
        "key": key.hex(),
    }
    if mtu is not None:
        radio = {"channel": CHANNEL, "rxbuf": plan.shape.radio_rxbuf(gateway), "mtu": mtu}
        config["radio"] = radio if rate is None else {**radio, "rate": rate}
    return config
