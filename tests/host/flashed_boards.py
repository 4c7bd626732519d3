"""Stand-in boards that hold a cluster's shards, on their REPL ports, without flashing them."""

from host.build.bundle import chip_files
from host.build.configuration import REPL_UART, configuration
from host.cluster.cluster_fields import FlashedChip
from host.cluster.cluster_plan import plan_cluster
from host.flashing.board_files import BoardFiles
from host.flashing.changes import FOLDERS
from host.hardware.board import load
from host.hardware.kernels import matrix_padding
from host.links.discovery import format_mac
from tests.standin_board.board import StandinBoard

_PROMPT_MS = 200  # a user has two seconds; tests wait less


def put_shard(board, model, cluster, chip, change=lambda chip, files: None):
    """Puts a chip's files, after `change`, onto a board and starts it anew."""
    plan = plan_cluster(model, cluster)
    shard = plan.shards[chip]
    settings = {"prompt_ms": _PROMPT_MS}
    config = configuration(
        plan, shard, uart=REPL_UART, key=cluster.key, channel=cluster.channel, board=settings
    )
    padding = matrix_padding(load(cluster.chip(chip).board).chip)
    contents = chip_files(model, plan, shard, "x86", config, padding=padding)
    change(chip, contents)
    with BoardFiles(board.port) as files:
        for folder in FOLDERS:
            files.make_folder(folder)
        for path, content in contents.items():
            files.write(path, content, lambda size: None)
        files.reset()


def flashed_board(
    stack, folder, model, cluster, chip, hub=None, kind="esp32s3", change=lambda chip, files: None
):
    """A running board, and the cluster with it. stack: an ExitStack that it ends with; kind: what
    the cluster believes it to be."""
    place = folder / f"board{chip}"
    place.mkdir()
    mac = f"24000000000{chip}"
    board = stack.enter_context(StandinBoard(place, mac=mac, hub=hub))
    cluster = cluster.with_chip(FlashedChip(chip, kind, format_mac(mac), board.port))
    put_shard(board, model, cluster, chip, change)
    return board, cluster
