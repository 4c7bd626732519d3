"""Makes a chip's configuration, which firmware/startup.py reads: its place, role and links."""

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

CHANNEL = 1  # of Wi-Fi, for all chips of a cluster, unless federation.toml has another one
SIMULATED_UART = {"id": 1, "baudrate": 921600}

# The line at the board's REPL port, the only one for a board on a single USB cable.
REPL_UART: dict[str, int | str] = {"id": "repl"}
# The longest frame to and from such a chip: MicroPython's ring for stdin holds 260 bytes, and
# loses more that arrives while the chip computes. So a whole frame fits, as it is on the line
# (COBS adds two bytes).
REPL_MTU = 250

KERNELS = ("auto", "viper", "native")  # the user's choices of kernels

# For how long BOOT or Ctrl-C keep a starting board at its prompt.
_PROMPT_MS = 2000
# Longer than any turn of a chip's loop, garbage collection in 8 MB included.
_WATCHDOG_MS = 8000


def board_uart(uart: Uart) -> dict[str, int]:
    """Returns the settings of machine.UART for a board with its link on the pins of a second
    UART."""
    return {
        "id": uart.number,
        "tx": uart.tx,
        "rx": uart.rx,
        "baudrate": uart.baud,
        "rxbuf": uart.rxbuf,
    }


def board_settings(board: Board) -> dict[str, object]:
    """Returns what firmware/board.py uses of a board: clock, BOOT button, LED, times."""
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

    uart: settings of its machine.UART, with a buffer that is made long enough, or REPL_UART; rate:
    for `ESPNow.config`, None if it is not to be set; key: of the cluster, empty for unsigned
    frames; channel: of Wi-Fi; board: its board_settings, None for a simulated chip; kernels: one
    of KERNELS; fast: whether the host may raise the speed of the serial line.
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
    if fast and has_line and not plan.link.is_ring:  # lines of a ring cannot change one by one
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
        # Frames do not collide on the simulated air.
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
