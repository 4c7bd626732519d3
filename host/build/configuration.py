"""What firmware/startup.py reads: a chip's place in the cluster, its role, and its links."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from host.build.firmware_version import firmware_version
from host.hardware.board import Board, Uart
from host.parallel.cost.radio import find_rate
from host.parallel.cost.traffic import around_seconds
from host.parallel.cost.turns import slot_seconds
from host.parallel.parallelism import FEWEST_IN_TURN, Link
from host.parallel.plan import Plan, Shard
from host.parallel.shape import LONGEST_RXBUF

CHANNEL = 1  # of Wi-Fi, on which all chips of a cluster meet, unless federation.toml says another
SIMULATED_UART = {"id": 1, "baudrate": 921600}

# The line that is the board's REPL port, its only one where it hangs on one USB cable.
REPL_UART: dict[str, int | str] = {"id": "repl"}
# Frames to and from such a chip: MicroPython's ring for stdin holds 260 bytes and loses what comes
# beyond while the chip computes, so a frame fits it whole as it is on the line (COBS adds two).
REPL_MTU = 250

KERNELS = ("auto", "viper", "native")  # what a user may ask of a chip's kernels

# How long BOOT or Ctrl-C keep a board that starts at its prompt.
_PROMPT_MS = 2000
# Longer than any turn of a chip's loop, garbage collection in 8 MB included.
_WATCHDOG_MS = 8000


def board_uart(uart: Uart) -> dict[str, int]:
    """Settings of machine.UART for a board whose link is a UART of its own, on pins."""
    return {
        "id": uart.number,
        "tx": uart.tx,
        "rx": uart.rx,
        "baudrate": uart.baud,
        "rxbuf": uart.rxbuf,
    }


def board_settings(board: Board) -> dict[str, object]:
    """Returns what firmware/board.py makes use of on a board: clock, BOOT button, LED, times."""
    settings: dict[str, object] = {"prompt_ms": _PROMPT_MS, "watchdog_ms": _WATCHDOG_MS}
    if board.clock_mhz:
        settings["clock_mhz"] = board.clock_mhz
    if board.button is not None:
        settings["button"] = board.button
    if board.led:
        settings["led"] = {"pin": board.led.pin, "kind": board.led.kind}
    return settings


def configuration(
    plan: Plan,
    shard: Shard,
    *,
    uart: Mapping[str, int | str],
    rate: int | None = None,
    key: bytes = b"",
    channel: int = CHANNEL,
    board: Mapping[str, object] | None = None,
    kernels: str = "auto",
    fast: bool = False,
) -> dict[str, object]:
    """Returns the configuration of the chip that owns `shard`.

    uart: settings of its machine.UART, whose buffer is made long enough, or REPL_UART; rate: for
    `ESPNow.config`, None if it is not to be set; key: of the cluster, empty for frames that
    are not signed; channel: of Wi-Fi; board: its board_settings, None for a simulated chip;
    kernels: one of KERNELS; fast: whether the host may have the serial line go faster.
    """
    shape, strategy = plan.stage_of(shard.chip).shape, plan.strategy
    mtu = shape.mtu
    gateway = shard.chip == 0
    config: dict[str, object] = {
        "chip": shard.chip,
        "chips": plan.chips,
        "firmware": firmware_version(),
        "role": strategy.role,
        "link": plan.link.kind,
        "gateway": gateway,
        "receives": strategy.received_frame(shape),
        "sends": strategy.sent_frame(shape, len(shard.rows)),
        "uart": _line(uart, plan.link, min(strategy.uart_rxbuf(shape), LONGEST_RXBUF)),
        "key": key.hex(),
    }
    if kernels != "auto":
        config["kernels"] = kernels
    has_line = uart["id"] != REPL_UART["id"] and (gateway or mtu is None)
    if fast and has_line and not plan.link.is_ring:  # in which no line can change alone
        config["baudrate"] = uart["baudrate"]
    if plan.link.is_ring:
        config["timeout"] = ceil(1e3 * around_seconds(plan))
    if board is not None:
        config["board"] = dict(board)
    if mtu is not None:
        rxbuf = min(strategy.radio_rxbuf(shape, gateway), LONGEST_RXBUF)
        radio = {"channel": channel, "rxbuf": rxbuf, "mtu": mtu}
        if rate is not None:
            radio["rate"] = rate
        # On the simulated air nothing collides.
        slot = slot_seconds(plan, find_rate(rate)) if board is not None else 0
        if slot and len(plan.stage_of(shard.chip).chips) >= FEWEST_IN_TURN:
            radio["slot"] = round(1e6 * slot)
        config["radio"] = radio
    return config


def _line(uart: Mapping[str, int | str], link: Link, rxbuf: int) -> dict[str, int | str]:
    if uart["id"] == REPL_UART["id"]:
        return {**uart, "mtu": REPL_MTU}
    baud = {"baudrate": link.baud} if link.is_ring else {}
    return {**uart, **baud, "rxbuf": max(int(uart.get("rxbuf", 0)), rxbuf)}
