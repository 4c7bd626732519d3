"""What is planned for boards at ports, by the cluster's file, their heaps and options."""

import os
from dataclasses import replace

import pytest

from host.cluster.cluster_fields import FlashedChip
from host.cluster.cluster_file import change
from host.cluster.cluster_plan import plan_cluster
from host.errors import ClusterError
from host.hardware.boards import load
from host.launch import FlashedBoards, open_cluster
from host.launch import flashed as launch_flashed
from host.launch.boards import describe_cluster, listed_ports
from host.launch.flashed import _boards
from host.model.quantization.quantize import quantize
from host.parallel import boards
from host.parallel.parallelism import HOST_REDUCE, Link
from tests.host.attached_clusters import NARROW, cluster_of
from tests.host.tiny import random_checkpoint


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint(NARROW))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


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
    code = max(load(name).gateway_code() for name in ("esp32s3", "esp32c3"))
    link = Link("espnow", "usb", 250, signed=True, gateway_code=code)
    assert asked == {
        "heap": radio, "uart_heap": uart, "link": link, "parallelism": HOST_REDUCE, "flash": (),
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


def test_what_the_file_says(model):
    cluster = change(lambda _: cluster_of(model))
    assert describe_cluster(None, NARROW) == cluster
    same = {"chips": 2, "link": "uart", "context": 16, "reduce": "host"}
    assert describe_cluster(["A"], NARROW, **same) == cluster
    contradictions = (("chips", 5), ("link", "espnow"), ("context", 8), ("reduce", "chips"))
    for name, value in contradictions:
        with pytest.raises(ClusterError, match=f"^--{name} {value}: the boards were flashed"):
            describe_cluster(None, NARROW, **{name: value})


def test_the_speed_of_lines_is_that_of_a_ring(model):
    with pytest.raises(ClusterError, match="^--line-baud 921600: lines to boards are as fast"):
        describe_cluster(["A", "B"], NARROW, line_baud=921_600)
    ring = describe_cluster(["A"], NARROW, link="ring", chips=2, line_baud=921_600)
    assert ring.link.baud == 921_600
    change(lambda _: cluster_of(model))
    with pytest.raises(ClusterError, match="^--line-baud 921600: lines to boards are as fast"):
        describe_cluster(None, NARROW, line_baud=921_600)
    change(lambda _: replace(cluster_of(model), link=ring.link, parallelism=ring.parallelism))
    assert describe_cluster(None, NARROW, line_baud=921_600).link.baud == 921_600
    with pytest.raises(ClusterError, match="^--line-baud 115200: the boards were flashed with"):
        describe_cluster(None, NARROW, line_baud=115_200)


def test_boards_are_timed_with_the_speed_that_their_lines_carry(model):
    chips = tuple(FlashedChip(id, "esp32s3", str(id), "") for id in range(2))
    cluster = replace(cluster_of(model), flashed=chips)
    for baud in (None, 2_000_000):
        of = _boards(replace(cluster, baud=baud))
        assert [board.uart.baud for board in of] == [baud or 921_600] * 2


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
