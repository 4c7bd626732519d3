"""A chip of a cluster and the board that shall become it: its plan and its files."""

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
from host.build.machine_code.registry import kernel_set
from host.cluster.cluster_plan import plan_boards
from host.errors import FlashError, ModelError
from host.flashing.firmware_image import Version
from host.hardware.board import Board
from host.hardware.kernels import matrix_padding
from host.hardware.mmu import map_settings
from host.model.quantized import QuantizedModel
from host.parallel.boards import make_link
from host.parallel.parallelism import HOST_REDUCE, Link, Parallelism, check_reachable
from host.parallel.plan import Plan

# MicroPython 1.26 refuses to set any rate: see boards/esp32.toml.
_OLDEST_WITH_RATE = (1, 27)


@dataclass(frozen=True)
class Place:
    """Which chip a board becomes, in a cluster with this link and parallelism.

    link: its MTU and whether it is signed follow from the boards and the key; key: of the cluster,
    empty if frames are not signed; channel: of Wi-Fi; boards: those of all chips, as the user
    names them, or empty; others: the boards of the cluster's other chips, as far as they are
    known; kernels: those that the chip runs, one of host.build.configuration.KERNELS.
    """

    board: Board
    port: str
    chip: int
    chips: int
    link: Link
    parallelism: Parallelism = HOST_REDUCE
    context: int | None = None
    key: bytes = b""
    channel: int = CHANNEL
    boards: tuple[Board, ...] = ()
    others: tuple[Board, ...] = ()
    kernels: str = "auto"

    def __post_init__(self) -> None:
        """Raises BoardError if the board does not have the link."""
        signed = bool(self.key)
        given = self.link
        link = make_link(
            given.kind, self.known, line=given.line, signed=signed, baud=given.baud
        )
        object.__setattr__(self, "link", link)

    @property
    def known(self) -> tuple[Board, ...]:
        """The boards of the cluster that are known."""
        return (self.board, *self.others, *self.boards)

    def check(self) -> None:
        """Raises FlashError for an impossible board or chip, ClusterError for such a cluster."""
        if self.board.flash is None or self.board.uart is None:
            raise FlashError(f"{self.board.name} cannot be flashed: its chips are processes")
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
        check_reachable(self.link, self.parallelism, self.chips)

    def plan(self, model: QuantizedModel) -> Plan:
        """Returns the plan that the host will make of the model among the chips; raises ModelError
        if it does not fit."""
        return plan_boards(
            model, self.chips, self.context, self.link, self.parallelism, self.boards, self.known
        )

    def files(self, model: QuantizedModel, version: Version) -> dict[str, bytes]:
        """Returns all files of the chip, content by path, for a board that runs this MicroPython.

        Raises BuildError, ModelError.
        """
        assert self.board.uart is not None
        plan = self.plan(model)
        shard = plan.shards[self.chip]
        radio = self.board.espnow
        config = configuration(
            plan,
            shard,
            uart=REPL_UART if self.link.line == "usb" else board_uart(self.board.uart),
            rate=radio.rate if radio and version[:2] >= _OLDEST_WITH_RATE else None,
            key=self.key,
            channel=self.channel,
            board=board_settings(self.board),
            kernels=self.kernels,
            fast=True,
        )
        kernels = kernel_set(self.board.chip)
        if kernels and kernels.mpy_arch != self.board.mpy_arch:
            kernels = None
        if model.config.qk_norm:  # programs of native kernels do not compute this norm
            if self.kernels == "native":
                raise ModelError(
                    "--kernels native: none of them normalizes queries and keys, as this model"
                    " does: leave it out, for viper's"
                )
            kernels = None
        padding = matrix_padding(self.board.chip)
        mapping = map_settings(self.board)
        arch, lacks_psram = self.board.mpy_arch, not self.board.psram_kb
        return chip_files(
            model, plan, shard, arch, config, kernels, padding, mapping, lacks_psram=lacks_psram
        )
