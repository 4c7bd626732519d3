"""A federation at ports: simulated chips that are reached as boards are."""

import os
import re
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from host.build.bundle import chip_files
from host.build.configuration import SIMULATED_UART, configuration
from host.build.firmware_version import firmware_version
from host.cluster.cluster_fields import FlashedChip
from host.cluster.cluster_file import change
from host.cluster.cluster_plan import line_baud, plan_cluster
from host.errors import ClusterError
from host.hardware.board import load
from host.launch import FlashedBoards, open_cluster, session
from host.launch import flashed as launch_flashed
from host.launch.boards import describe_cluster, listed_ports
from host.model.checkpoint import Config
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from host.parallel import boards
from host.parallel.parallelism import HOST_REDUCE, REDUCERS, Link, Parallelism
from host.setup.micropython import native_arch
from host.simulation.chips import SimulatedCluster
from protocol.frame import MAX_FRAME
from tests.clusters import cluster_file, on_link
from tests.host.served_ports import ServedPort
from tests.host.test_ports import ESPRESSIF, ListedPort
from tests.host.tiny import random_checkpoint

KEY = bytes(range(32))
# So narrow that no frame needs fragments, which a chip on a REPL port takes and one on a UART of
# its own does not.
NARROW = Config(dim=8, hidden_dim=10, layers=2, heads=2, kv_heads=2, vocab_size=40, context=16)
WIDE = replace(NARROW, dim=64)  # a frame of four positions has 512 bytes of numbers


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint(NARROW))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def cluster_of(model, kind="uart", **changes):
    settings = {"chips": 2, "key": KEY, **changes}
    return cluster_file(kind=kind, model="narrow.bin", digest=model.sha256()[:8], **settings)


def test_first_timeouts_are_derived_from_the_line(model, monkeypatch):
    def opened(model, plan, transport, **options):
        raise LookupError(options["line_seconds"])

    monkeypatch.setattr(launch_flashed, "open_session", opened)
    monkeypatch.setattr(FlashedBoards, "_transport", lambda self: None)
    found = []
    for line in ("usb", "pins"):
        chips = tuple(FlashedChip(i, "esp32s3", f"24:00:00:00:00:0{i}", "") for i in range(2))
        boards = FlashedBoards(cluster_of(model, line=line, flashed=chips))
        with pytest.raises(LookupError) as caught, open_cluster(model, boards):
            pass
        found.append(caught.value.args[0])
    assert 0.005 < found[0] == pytest.approx(found[1] * 921_600 / 115_200)


@pytest.fixture
def board_ports(micropython, model):
    """The ports of chips that hold a cluster's shares, by id."""
    clusters = []

    def ports(cluster, model=model):
        plan = plan_cluster(model, cluster)
        arch = native_arch()
        files = {}
        for shard in plan.shards:
            config = configuration(plan, shard, uart=SIMULATED_UART, key=cluster.key)
            files[shard.chip] = chip_files(model, plan, shard, arch, config)
        radio = {"mtu": plan.shape.mtu} if plan.shape.mtu else None
        clusters.append(SimulatedCluster(files, arch=arch, heap=1 << 20, radio=radio))
        return [chip.url for chip in clusters[-1].chips.values()]

    yield ports
    for cluster in clusters:
        cluster.close()


def flashed(cluster, urls):
    chips = [
        FlashedChip(i, "esp32c3", f"00:00:00:00:00:{i:02x}", url) for i, url in enumerate(urls)
    ]
    return replace(cluster, flashed=tuple(chips))


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
        assert {line.port.baudrate for line in run.transport._lines.values()} == {921600}
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


def test_the_smallest_heap_bounds_the_plan(model, monkeypatch):
    asked = {}

    def planned(*_, **settings):
        asked.update(settings)
        raise LookupError  # there is none to look into

    monkeypatch.setattr(boards, "partition", planned)
    chips = [FlashedChip(i, name, f"{i}", "") for i, name in enumerate(["esp32s3", "esp32c3"])]
    cluster = cluster_of(model, "espnow", flashed=tuple(chips))
    with pytest.raises(LookupError):
        plan_cluster(model, cluster)
    radio, uart = (
        min(load(name).planned_heap(kind) for name in ("esp32s3", "esp32c3"))
        for kind in ("espnow", "uart")
    )
    link = Link("espnow", "usb", 250, signed=True)
    assert asked == {
        "heap": radio, "uart_heap": uart, "link": link, "parallelism": HOST_REDUCE,
    }  # fmt: skip


def test_boards_that_were_named_are_dealt_work_by_heap_and_speed(model):
    """As host.plan shows it, whatever the boards that are flashed so far."""
    kinds = ("esp32s3", "esp32c3")
    chip = FlashedChip(0, "esp32s3", "0", "")
    cluster = cluster_of(model, "espnow", boards=kinds, flashed=(chip,))
    shown = boards.BoardSet(tuple(map(load, kinds)), "espnow", 16, signed=True)
    plan = plan_cluster(model, cluster)
    assert plan == shown.plan(model, HOST_REDUCE)
    assert plan != plan_cluster(model, replace(cluster, boards=()))
    assert len(plan.shards[0].rows) > len(plan.shards[1].rows)


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


def test_what_the_file_says(model):
    cluster = change(lambda _: cluster_of(model))
    assert describe_cluster(None, NARROW) == cluster
    same = {"chips": 2, "link": "uart", "context": 16, "reduce": "host"}
    assert describe_cluster(["A"], NARROW, **same) == cluster
    contradictions = (("chips", 5), ("link", "espnow"), ("context", 8), ("reduce", "chips"))
    for name, value in contradictions:
        with pytest.raises(ClusterError, match=f"^--{name} {value}: the boards were flashed"):
            describe_cluster(None, NARROW, **{name: value})


def test_without_a_file_the_options_count():
    assert not os.path.exists("federation.toml")
    with pytest.raises(ClusterError, match="no federation.toml here, by which --ports auto finds"):
        describe_cluster(None, NARROW)
    cluster = describe_cluster(["A", "B"], NARROW)
    assert (cluster.chips, cluster.link.kind, cluster.context, cluster.key) == (2, "uart", 16, b"")
    cluster = describe_cluster(["A"], NARROW, context=8)
    assert (cluster.chips, cluster.link.kind, cluster.context) == (5, "espnow", 8)
    assert cluster.parallelism == HOST_REDUCE
    by_chips = describe_cluster(["A"], NARROW, reduce="chips")
    assert by_chips.parallelism.reduce == "chips"
    with pytest.raises(
        ClusterError, match="^chips cannot exchange partial sums over their REPL ports"
    ):
        describe_cluster(["A", "B"], NARROW, reduce="chips")
    assert listed_ports("auto") is None and listed_ports("A,B") == ["A", "B"]


def test_boards_hold_the_model_as_they_were_flashed(model):
    choice = FlashedBoards(cluster_of(model)).choose(model)
    assert choice.parallelism == HOST_REDUCE
    assert str(choice) == "parallelism: tensor, host reduce (as flashed)"
