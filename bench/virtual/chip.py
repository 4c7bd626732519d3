"""A virtual chip: the firmware's links, node and role, as firmware/startup.py makes them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.virtual.world import ChipUart, World
from firmware.compute.shard import load_weights
from firmware.links import line_speed, ring
from firmware.links.espnow import RadioLink
from firmware.links.gateway import Gateway
from firmware.links.uart import UartLink
from firmware.node import Node
from firmware.outbox import CONTROL_PAYLOAD, Outbox
from firmware.roles.all_gather import make_gathering
from firmware.roles.all_reduce import AllReduce
from firmware.roles.host_reduce import HostReduce
from firmware.roles.pipeline import Pipeline
from host.build.firmware_version import firmware_version
from host.model.quantized import QuantizedModel
from host.simulation.in_process import InProcessAir
from host.simulation.standins._peers import error
from host.simulation.standins.espnow import ESPNow
from protocol.frame import HEADER_SIZE, MAX_FRAME, TRAILER_SIZE
from protocol.session import ChipAuthenticator
from tests.firmware.plain import PlainKernels, PlainResidual

_RESTART_MS = 600  # of a program that has failed
_POLLS = 200  # frames that a chip handles in a turn, at most


class FailingESPNow(ESPNow):
    """An ESPNow that, after its driver has failed, has no room for any frame until it is
    restarted."""

    fails = False

    def send(self, *arguments: Any) -> Any:
        """Does what ESPNow's does, unless the driver has failed."""
        if self.fails:
            raise error("NO_MEM")
        return super().send(*arguments)


class VirtualChip:
    """One chip, which can be stopped, restarted and hung, and whose radio can fail.

    node: None while it is off; is_hung: whether its program has stopped running; fails_for_good:
    whether its radio fails again after each restart; radio_restarts: their number.
    """

    def __init__(
        self,
        world: World,
        model: QuantizedModel,
        config: Mapping[str, Any],
        shard: bytes,
        send: Callable[[bytes], object],
    ) -> None:
        """config: as host.build.configuration gives it; shard: its file; send: takes each frame
        on the way to the host's end of the chip's line."""
        self.world, self.chip = world, int(config["chip"])
        self.config = config
        self.mac = bytes.fromhex(f"0242{self.chip:08x}")
        self.node: Any = None
        self.is_hung = False
        self.fails_for_good = False
        self.radio_restarts = 0
        self.restarts = 0
        self._model, self._shard, self._send = model, shard, send
        self._ready_at: int | None = None
        self.start()

    def start(self) -> None:
        """Starts the program, without any memory of earlier runs."""
        self._ready_at = None
        self.uart = ChipUart(self._send)
        link = self._link()
        key = bytes.fromhex(str(self.config["key"]))
        signer = None
        random = self._random
        if key:
            signer = ChipAuthenticator(key, self.chip, self.config["chips"], random)
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(self._shard)
            weights = load_weights(file.name, self.chip)
        boot_id = int.from_bytes(random(2), "little")
        sizes = weights.request_size, weights.answer_size
        outbox = Outbox(self.chip, link, boot_id, signer, *sizes)
        kernels, norms = PlainKernels(self._model.config.head_dim), PlainResidual()
        role: Any
        if self.config["role"] == "host_reduce":
            role = HostReduce(outbox, weights, kernels)
        elif self.config["role"] == "all_reduce":
            role = AllReduce(outbox, weights, kernels, norms)
        elif self.config["role"] == "all_gather":
            role = make_gathering(outbox, weights, kernels, norms)
        else:
            role = Pipeline(outbox, weights, kernels, norms)
        self.node = Node(outbox, role, weights.request_size)
        self.node.firmware = firmware_version()
        if hasattr(link, "radio"):
            link.radio.report = self.node.report
        if "baudrate" in self.config:
            line_speed.install(self.node, getattr(link, "_uart", link), self.config["baudrate"])

    def stop(self) -> None:
        """Turns the power off."""
        self.node = self._ready_at = None
        self.world.radio.leave(self.mac)

    def restart(self, milliseconds: int) -> None:
        """Turns the power off and on; the chip is ready after the given time."""
        self.stop()
        self.restarts += 1
        self._ready_at = self.world.now_ms + milliseconds

    def arrive(self, frame: bytes) -> None:
        """Takes a frame from the line, if the program runs."""
        if self.node is not None:
            self.uart.put(frame)

    def turn(self, now_ms: int) -> bool:
        """Polls the node until nothing is left to do; returns whether there was anything."""
        if self._ready_at is not None and now_ms >= self._ready_at:
            self.start()
        if self.node is None or self.is_hung:
            return False
        try:
            for polled in range(_POLLS):
                if not self.node.poll():
                    return polled > 0
        except Exception as failure:  # as firmware/main.py does
            self.node.report(f"{type(failure).__name__}: {failure}")
            self.restart(_RESTART_MS)
        return True

    def start_radio(self) -> None:
        """Does what firmware/links/wifi.py does."""
        self.radio_restarts += 1
        self.esp.active(False)
        self.esp.fails = self.fails_for_good
        self.esp.active(True)

    def _random(self, count: int) -> bytes:
        return self.world.chance.randbytes(count)

    def _link(self) -> Any:
        radio = self.config.get("radio")
        if radio is None:
            control = HEADER_SIZE + CONTROL_PAYLOAD + TRAILER_SIZE[3]
            line = UartLink(self.uart, MAX_FRAME, max(int(self.config["sends"]), control))
            return ring.open_link(self.config, line) if self.config["link"] == "ring" else line
        mtu = min(radio["mtu"], self.world.mtus.get(self.chip, radio["mtu"]))
        self.esp = FailingESPNow(InProcessAir(self.world.radio, self.mac, mtu=mtu))
        self.esp.fails = self.fails_for_good
        self.esp.config(rxbuf=radio["rxbuf"])
        self.esp.active(True)
        link = RadioLink(self.esp, mtu, {"start": self.start_radio})
        if not self.config["gateway"]:
            return link
        return Gateway(self.chip, UartLink(self.uart, mtu, mtu, 4), link)
