"""A federation at ports: simulated chips that are reached as boards are."""

import re
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from host.build.bundle import chip_files
from host.build.configuration import SIMULATED_UART, configuration
from host.build.firmware_version import firmware_version
from host.cluster import cluster_file
from host.cluster.cluster_fields import FlashedChip
from host.cluster.cluster_plan import line_baud, plan_cluster
from host.cluster.line_speed import FAST_BAUDS
from host.errors import ClusterError
from host.hardware.boards import load
from host.launch import FlashedBoards, open_cluster, session
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from host.parallel.parallelism import REDUCERS, RING_BAUD, Parallelism, pipeline
from host.setup.micropython import native_arch
from host.simulation.chips import SimulatedCluster
from protocol.frame import MAX_FRAME
from tests.clusters import on_link
from tests.host.attached_clusters import NARROW, WIDE, cluster_of, flashed
from tests.host.served_ports import ServedPort
from tests.host.test_ports import ESPRESSIF, ListedPort
from tests.host.tiny import random_checkpoint


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint(NARROW))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def board_ports(micropython, model):
    """The ports of chips that hold a cluster's shares, by id."""
    clusters = []

    def ports(cluster, model=model):
        plan = plan_cluster(model, cluster)
        arch = native_arch()
        files = {}
        for shard in plan.shards:
            config = configuration(
                plan, shard, uart=SIMULATED_UART, key=cluster.key, fast=cluster.link.line == "pins"
            )
            files[shard.chip] = chip_files(model, plan, shard, arch, config)
        media = {
            "radio": {} if plan.link.has_radio else None, "ring": {} if plan.link.is_ring else None
        }  # fmt: skip
        clusters.append(SimulatedCluster(files, arch=arch, heap=1 << 20, **media))
        return [chip.url for chip in clusters[-1].chips.values()]

    yield ports
    for cluster in clusters:
        cluster.close()


def open_boards(model, cluster, urls, on_ready=lambda chip: None, **settings):
    return open_cluster(model, FlashedBoards(cluster, urls, **settings), on_ready)


def assert_equals_reference(model, run):
    run.executor.begin()
    tokens = [1, 7, 30, 2]
    logits = [run.executor.forward([token]) for token in tokens]
    assert np.array_equal(logits, Reference(model).logits([tokens])[0])


def test_the_ports_of_a_cluster_with_a_key(model, board_ports):
    cluster = cluster_of(model)
    first, second = board_ports(cluster)
    arrived = []
    with open_boards(model, cluster, [second, first], arrived.append) as run:
        assert sorted(arrived) == [0, 1] and run.shard_bytes[0] > 1000
        assert_equals_reference(model, run)
    with open_boards(model, flashed(cluster, [first, second]), None, list_ports=list) as run:
        assert_equals_reference(model, run)


def test_boards_on_another_machine(model, board_ports):
    """Their ports are sockets, and one is found where it was when it was flashed."""
    cluster = cluster_of(model)
    with ExitStack() as stack:
        served = [stack.enter_context(ServedPort(url)) for url in board_ports(cluster)]
        urls = [port.url for port in served]
        with open_boards(model, cluster, urls[::-1]) as run:
            assert_equals_reference(model, run)
        with open_boards(model, flashed(cluster, urls), None, list_ports=list) as run:
            assert_equals_reference(model, run)


def test_the_gateway_of_a_cluster_on_the_air(model, board_ports):
    cluster = cluster_of(model, "espnow", key=b"", chips=3)
    gateway, *others = board_ports(cluster)
    with open_boards(model, cluster, [gateway]) as run:
        assert_equals_reference(model, run)
    with (
        pytest.raises(ClusterError, match=r"^2 ports for 3 chips on espnow: .* the gateway"),
        open_boards(model, cluster, others),
    ):
        pass


def test_a_ring_is_reached_at_its_adapter(model, board_ports):
    cluster = cluster_of(model, "ring", parallelism=pipeline(2))
    adapter = board_ports(cluster)[0]
    boards = flashed(cluster, ["/dev/own0", "/dev/own1"])
    listed = [ListedPort("/dev/own0"), ListedPort(adapter)]
    for urls, settings in (([adapter], {}), (None, {"list_ports": lambda: listed})):
        with open_boards(model, boards, urls, **settings) as run:
            assert_equals_reference(model, run)
            assert run.transport._lines[1].port.baudrate == RING_BAUD
    with (
        pytest.raises(ClusterError, match=r"^2 ports for 2 chips on ring: .* the adapter to"),
        open_boards(model, boards, [adapter, "/dev/own0"]),
    ):
        pass


def test_lines_at_pins_go_faster_and_the_file_remembers_how_fast(model, board_ports):
    cluster = cluster_of(model, line="pins")
    urls = board_ports(cluster)
    cluster = flashed(cluster, urls)
    base, fastest = line_baud(cluster, [0, 1]), FAST_BAUDS[0]

    def speeds(cluster, found):
        with open_boards(model, cluster, urls) as run:
            assert_equals_reference(model, run)
            lines = [run.transport._lines[chip].port.baudrate for chip in (0, 1)]
        assert lines == [found] * 2

    speeds(cluster, fastest)
    assert cluster_file.read() is None  # there was none
    cluster_file.change(lambda _: cluster)
    speeds(cluster, fastest)
    assert cluster_file.read().baud == fastest
    slow = replace(cluster, baud=base)
    speeds(slow, base)  # faster ones were tried in vain before
    assert cluster_file.read().baud == fastest
    assert slow.with_chip(slow.flashed[0]).baud is None


@pytest.mark.parametrize("reduce", REDUCERS)
def test_lines_at_pins_take_whole_messages(board_ports, reduce):
    """And hang on adapters, at any port but the boards' own."""
    wide = quantize(random_checkpoint(WIDE))
    cluster = cluster_of(wide, line="pins", parallelism=Parallelism(reduce=reduce))
    first, second = board_ports(cluster, wide)
    cluster = flashed(cluster, ["/dev/own0", "/dev/own1"])
    listed = [
        ListedPort("/dev/own0"), ListedPort("/dev/acm", ESPRESSIF, "000000000001"),
        ListedPort(second), ListedPort(first),
    ]  # fmt: skip
    with open_boards(wide, cluster, None, list_ports=lambda: listed) as run:
        assert run.transport.mtu == MAX_FRAME
        bauds = {line.port.baudrate for line in run.transport._lines.values()}
        assert bauds == {FAST_BAUDS[0]}
        assert_equals_reference(wide, run)
    with open_boards(wide, cluster, [second, first]) as run:
        assert_equals_reference(wide, run)


def test_lines_at_pins_have_one_baud(model, monkeypatch):
    cluster = flashed(cluster_of(model, line="pins"), ["a", "b"])
    with pytest.raises(ClusterError, match=r"^chip 1 of 2 has not been flashed"):
        line_baud(replace(cluster, flashed=cluster.flashed[:1]), [0, 1])
    first = replace(cluster.flashed[0], board="esp32s3")
    cluster = replace(cluster, flashed=(first, cluster.flashed[1]))
    assert line_baud(cluster, [0, 1]) == 921600
    slow = replace(load("esp32c3"), uart=replace(load("esp32c3").uart, baud=115200))
    kinds = {"esp32s3": load("esp32s3"), "esp32c3": slow}
    monkeypatch.setattr("host.cluster.cluster_plan.boards.load", kinds.get)
    with pytest.raises(ClusterError, match="^the boards of federation.toml have no baud in"):
        line_baud(cluster, [0, 1])
    assert line_baud(on_link(cluster, "espnow"), [1]) == 115200


def test_another_version_model_or_share_is_named(model, board_ports, monkeypatch):
    cluster = cluster_of(model, key=b"")
    urls = board_ports(cluster)
    other = quantize(random_checkpoint(NARROW, seed=1))
    with (
        pytest.raises(ClusterError, match=r"^chip \d holds model .*: flash it again"),
        open_boards(other, replace(cluster, model_hash=b""), urls),
    ):
        pass
    with (
        pytest.raises(ClusterError, match="the shard of another plan: flash it again"),
        open_boards(model, replace(cluster, context=8), urls),
    ):
        pass
    found = re.escape(firmware_version())
    monkeypatch.setattr(session, "firmware_version", lambda: "9.9")
    with (
        pytest.raises(ClusterError, match=rf"^chip 0 runs firmware {found}, this is 9.9: flash"),
        open_boards(model, cluster, urls),
    ):
        pass


def test_a_chip_that_is_yet_to_be_flashed(model):
    cluster = flashed(cluster_of(model), ["/dev/none"])
    with (
        pytest.raises(ClusterError, match=r"^chip 1 of 2 has not been flashed: make flash"),
        open_boards(model, cluster, None),
    ):
        pass
    with (
        pytest.raises(ClusterError, match="^1 port for 2 chips on uart: give one of each chip"),
        open_boards(model, cluster, ["/dev/none"]),
    ):
        pass


def test_another_model_than_was_flashed(model):
    other = quantize(random_checkpoint(NARROW, seed=1))
    with (
        pytest.raises(ClusterError, match="give --model narrow.bin, or flash the boards again"),
        open_boards(other, cluster_of(model), ["/dev/none"]),
    ):
        pass


def test_boards_that_were_flashed_with_more_than_fits_by_now():
    model = quantize(random_checkpoint(replace(NARROW, vocab_size=2000, context=4000)))
    chips = tuple(FlashedChip(i, "esp32c3", f"{i}", "") for i in range(2))
    cluster = cluster_of(model, flashed=chips, context=4000)
    with (
        pytest.raises(ClusterError, match=r"^2 chips with 1\d\d KB of heap are \d+ KB short of .*"
                      r"\. That is how the boards were flashed \(federation.toml\): flash them all"
                      r" again, so that they fit$"),
        open_boards(model, cluster, ["A", "B"]),
    ):  # fmt: skip
        pass
