"""Chips that fail while they start say why to the host, or to their console, and start anew."""

import time
from contextlib import ExitStack

import pytest

from host.build.bundle import KERNELS
from host.build.compilation import chip_module
from host.build.kernels import kernel_source
from host.build.packages import chip_path
from host.errors import ClusterError
from host.launch import SimulatedChips, open_cluster
from host.links.access import REPL_BAUD
from host.links.transport import open_port
from host.model.checkpoint import Config
from host.model.quantization.quantize import quantize
from tests.clusters import cluster_file
from tests.deployed import ARCH
from tests.host.flashed_boards import flashed_board
from tests.host.tiny import random_checkpoint
from tests.system.changed_firmware import append_source, change_files

NARROW = Config(dim=8, hidden_dim=10, layers=2, heads=2, kv_heads=2, vocab_size=40, context=16)
# Each makes a step of the start fail: in the file, the function, each time or the first.
ALWAYS = """
def {function}(*_):
    raise OSError(257, "ESP_ERR_NO_MEM")
"""
ONCE = """
_whole = {function}
def {function}(*arguments):
    import os
    if "failed" not in os.listdir():
        open("failed", "w").close()
        raise OSError(257, "ESP_ERR_NO_MEM")
    return _whole(*arguments)
"""
WORDS = "OSError: (257, 'ESP_ERR_NO_MEM')"


@pytest.fixture(scope="module")
def narrow():
    return quantize(random_checkpoint(NARROW))


def settings(link):
    return SimulatedChips.alike(2, link, heap=1 << 20)


@pytest.mark.parametrize(
    ("chip", "link", "path", "change"),
    [
        (0, "espnow", "firmware/links/wifi.py", ALWAYS.format(function="start")),
        # The buffers of the link, or of the node, have no room beside the share.
        (1, "uart", "firmware/devices.py", ONCE.format(function="_link")),
        (1, "espnow", "firmware/devices.py", ONCE.format(function="_link")),
        (1, "uart", "firmware/outbox.py", ONCE.format(function="make_answer_buffer")),
        (1, "uart", "firmware/compute/model.py", ALWAYS.format(function="FeedForward")),
    ],
)
def test_the_host_is_told_what_failed(narrow, monkeypatch, chip, link, path, change):
    append_source(monkeypatch, path, change, only=chip)
    with pytest.raises(ClusterError) as raised, open_cluster(narrow, settings(link)):
        pass
    assert str(raised.value) == f"chip {chip}, at the start: FAULT: {WORDS}"


@pytest.mark.parametrize("link", ["uart", "espnow"])
def test_kernels_of_another_model_are_told(narrow, monkeypatch, link):
    """As when flashing was interrupted between firmware and shard."""
    kernels = chip_module(kernel_source([-64, 8], 4), KERNELS, ARCH)

    def mix(chip, content):
        if chip == 1:
            content[chip_path(KERNELS)] = kernels

    change_files(monkeypatch, mix)
    with pytest.raises(ClusterError) as raised, open_cluster(narrow, settings(link)):
        pass
    assert str(raised.value) == (
        "chip 1, at the start: FAULT: KeyError: 4: the firmware is not of this shard, flash this"
        " chip again"
    )


def test_a_chip_with_no_link_tells_its_console_and_starts_anew(narrow, monkeypatch):
    append_source(
        monkeypatch, "firmware/links/wifi.py", ONCE.format(function="start"), only=1
    )
    with open_cluster(narrow, settings("espnow")) as cluster:
        cluster.executor.forward([1, 2, 3])
        printed = (cluster.simulation.chips[1].folder / "output.txt").read_text()
    assert printed.count("Traceback") == 1 and printed.endswith(f"{WORDS}\n")


def test_ctrl_c_reaches_the_prompt_of_a_chip_with_no_link(micropython, tmp_path, narrow):
    """Between two attempts to start, the reason of which its USB port tells."""

    def without_configuration(chip, files):
        files["config.json"] = b"{"

    cluster = cluster_file(1, model="narrow.bin", digest=narrow.sha256()[:8])
    with ExitStack() as stack:
        board, _ = flashed_board(
            stack, tmp_path, narrow, cluster, 0, change=without_configuration
        )
        said, end = b"", time.monotonic() + 60
        with open_port(board.port, REPL_BAUD) as port:
            while said.count(b"Traceback") < 2 and time.monotonic() < end:
                said += port.read(4096)
                time.sleep(0.01)
            while b">>> " not in said and time.monotonic() < end:
                port.write(b"\r\x03")
                time.sleep(0.3)
                said += port.read(4096)
    assert said.count(b"in start") >= 2 and said.rstrip().endswith(b">>>")


def test_the_radio_has_its_memory_before_the_share_fills_the_heap(narrow, monkeypatch):
    shown = "import espnow\nprint(espnow.ESPNow().active())\n"
    append_source(monkeypatch, "firmware/compute/shard.py", shown)
    with open_cluster(narrow, settings("espnow")) as cluster:
        for chip in cluster.simulation.chips.values():
            assert (chip.folder / "output.txt").read_text() == "True\n"
