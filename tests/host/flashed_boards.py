"""Stand-in boards that hold a cluster's shards, on their REPL ports, without flashing them."""

from dataclasses import replace

from host.build.bundle import chip_files
from host.build.configuration import REPL_UART, configuration
from host.cluster.cluster_fields import FlashedChip
from host.cluster.cluster_plan import plan_cluster
from host.hardware.boards import load
from host.hardware.kernels import matrix_padding
from host.links.discovery import format_mac
from tests.standin_board.board import StandinBoard

_PROMPT_MS = 200  # a user has two seconds; tests wait less


def board_files(model, cluster, chip):
    """What is on a board that is a chip of the cluster, by path."""
    plan = plan_cluster(model, cluster)
    shard = plan.shards[chip]
    settings = {"prompt_ms": _PROMPT_MS}
    config = configuration(
        plan, shard, uart=REPL_UART, key=cluster.key, channel=cluster.channel, board=settings
    )
    padding = matrix_padding(load(cluster.chip(chip).board).chip)
    return chip_files(model, plan, shard, "x86", config, padding=padding)


def flashed_board(
    stack, folder, model, cluster, chip, hub=None, kind="esp32s3", change=lambda chip, files: None
):
    """A board that starts with its files, after `change`, and the cluster with it. stack: an
    ExitStack that it ends with; kind: what the cluster believes it to be."""
    place = folder / f"board{chip}"
    place.mkdir()
    mac = f"24000000000{chip}"
    entry = FlashedChip(chip, kind, format_mac(mac), "")
    files = board_files(model, cluster.with_chip(entry), chip)
    change(chip, files)
    board = stack.enter_context(StandinBoard(place, mac=mac, hub=hub, files=files))
    return board, cluster.with_chip(replace(entry, port=board.port))
