"""A chip of a cluster and the board that is to be it: the division of the model, and its files."""

from __future__ import annotations

from dataclasses import dataclass

from host.build.bundle import chip_files
from host.build.configuration import (
    CHANNEL,
    REPL_UART,
    board_settings,
    board_uart,
    configuration,
)
from host.cluster.cluster_file import check_reach, make_parallelism
from host.errors import FlashError
from host.flashing.firmware_image import Version
from host.hardware.board import Board
from host.model.quantized import QuantizedModel
from host.parallel.boards import BoardSet, make_link, plan_alike
from host.parallel.plan import Plan

# MicroPython 1.26 refuses to set any: see boards/esp32.toml.
_OLDEST_WITH_RATE = (1, 27)


@dataclass(frozen=True)
class Place:
    """Which chip a board is to be. key: of the cluster, empty for frames that are not signed;
    others: the boards that the cluster's other chips are, as far as they are known; link, line,
    combine, channel, boards, stages: as host.cluster.cluster_file.Cluster has them."""

    board: Board
    port: str
    chip: int
    chips: int
    link: str = "espnow"
    context: int | None = None
    key: bytes = b""
    line: str = "usb"
    combine: str = "host"
    channel: int = CHANNEL
    stages: int = 0
    others: tuple[Board, ...] = ()
    boards: tuple[Board, ...] = ()

    def check(self) -> None:
        """Raises FlashError for a board or chip that cannot be, ClusterError for a cluster."""
        if self.board.flash is None or self.board.uart is None:
            raise FlashError(f"{self.board.name} is no board to flash: its chips are processes")
        if not 0 <= self.chip < self.chips:
            raise FlashError(
                f"no chip {self.chip}: {self.chips} chips have the ids 0 to {self.chips - 1}"
            )
        if self.boards and len(self.boards) != self.chips:
            raise FlashError(f"{len(self.boards)} boards are named for {self.chips} chips")
        if self.boards and self.boards[self.chip].name != self.board.name:
            raise FlashError(
                f"chip {self.chip} is to be an {self.boards[self.chip].name}, by the boards that"
                f" were named for all chips, and this is an {self.board.name}"
            )
        check_reach(self.link, self.line, self.combine, self.chips)

    def plan(self, model: QuantizedModel) -> Plan:
        """The division of the model among the chips, as the host will plan it. Raises ModelError
        where it does not fit."""
        parallelism = make_parallelism(
            self.combine, self.stages, self.chips, model.config.layers
        )
        signed = bool(self.key)
        if self.boards:
            boards = BoardSet(self.boards, self.link, self.context, signed, self.line)
            return boards.plan(model, parallelism)
        known = (self.board, *self.others)
        link = make_link(self.link, known, line=self.line, signed=signed)
        return plan_alike(model, self.chips, self.context, parallelism, link, known)

    def files(self, model: QuantizedModel, plan: Plan, version: Version) -> dict[str, bytes]:
        """All files of the chip, content by path, for a board that runs this MicroPython.

        Raises BuildError.
        """
        assert self.board.uart is not None
        shard = plan.shards[self.chip]
        radio = self.board.espnow
        config = configuration(
            plan,
            shard,
            uart=REPL_UART if self.line == "usb" else board_uart(self.board.uart),
            rate=radio.rate if radio and version[:2] >= _OLDEST_WITH_RATE else None,
            key=self.key,
            channel=self.channel,
            board=board_settings(self.board),
        )
        return chip_files(model, plan, shard, self.board.mpy_arch, config)
