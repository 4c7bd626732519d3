"""Which way a run divides its model: what options name, what boards were flashed with."""

import re
from types import SimpleNamespace

import pytest

from host.cli.flash_job import _parallelism
from host.cluster.cluster_file import change
from host.cluster.place import Place
from host.errors import ClusterError, ParallelError
from host.flash import parsed as flash_parsed
from host.hardware.board import load
from host.launch.choice import boards_of, choose_settings
from host.model.checkpoint import Config
from host.model.quantization.quantize import quantize
from host.parallel.parallelism import ALL_REDUCE, HOST_REDUCE, REDUCERS, Link, hybrid, pipeline
from host.run import parsed, settings_for
from tests.clusters import cluster_file
from tests.host.tiny import random_checkpoint

LAYERS = 5
MODEL = Config(
    dim=16, hidden_dim=24, layers=LAYERS, heads=4, kv_heads=2, vocab_size=40, context=64
)
# Of the shipped model's shapes.
HOME = Config(dim=60, hidden_dim=160, layers=6, heads=5, kv_heads=5, vocab_size=512, context=128)


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint(MODEL))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder, in which federation.toml is looked for."""
    monkeypatch.chdir(tmp_path)


def settings(model, *options, many=False):
    found = parsed(list(options))
    return choose_settings(settings_for(found), found, model, many)


def test_options_name_the_parallelism(model):
    assert settings(model, "--parallel", "tensor").parallelism == HOST_REDUCE
    assert settings(model, "--reduce", "chips").parallelism == ALL_REDUCE
    assert settings(model, "--parallel", "tensor", "--reduce", "chips").parallelism == ALL_REDUCE
    assert settings(model, "--parallel", "pipeline", "--chips", "3").parallelism == pipeline(3)
    assert settings(model, "--parallel", "pipeline", "--chips", "8").parallelism == (
        pipeline(LAYERS)
    )
    assert settings(model, "--parallel", "hybrid").parallelism == hybrid(2)
    assert settings(model, "--parallel", "hybrid", "--stages", "3").parallelism == hybrid(3)


@pytest.mark.parametrize("auto", [(), ("--parallel", "auto")])
def test_by_default_the_planner_chooses(model, auto):
    board = (*auto, "--board", "esp32s3-psram")
    assert settings(model, *board, "--chips", "1").parallelism == ALL_REDUCE
    assert settings(model, *board, many=True).parallelism == pipeline(LAYERS)
    # Of a simulated chip no time is known: the first that fits.
    assert settings(model, *auto, "--board", "simulated").parallelism == HOST_REDUCE


def test_auto_has_the_heap_that_a_board_leaves_the_strategy_it_takes():
    """Machine code for chips that add up partial sums takes more of a board's RAM."""
    model = quantize(random_checkpoint(HOME))
    board, options = load("esp32s3"), ("--board", "esp32s3")
    found = settings(model, *options, "--chips", "6", "--context", "64")
    assert found.parallelism == hybrid(2)
    assert found.heap == board.planned_heap("espnow", "chips") < board.planned_heap("espnow")
    # With five it does not fit, though it would with the heap that the host's leaves.
    found = settings(model, *options, "--chips", "5", "--context", "64")
    assert found.parallelism == ALL_REDUCE and found.key
    found = settings(model, *options, "--chips", "5", "--context", "128")
    assert (found.parallelism, found.heap) == (HOST_REDUCE, board.planned_heap("espnow"))
    found = settings(model, *options, "--chips", "5", "--context", "64", "--heap", "2M")
    assert found.heap == 2 << 20


@pytest.mark.parametrize("reduce", REDUCERS)
def test_a_boards_heap_is_what_its_strategy_leaves(model, reduce):
    for name in ("esp32c3", "esp32s3-psram", "simulated"):
        found = settings(model, "--board", name, "--reduce", reduce)
        assert found.heap == load(name).planned_heap("espnow", reduce)
    staged = settings(model, "--board", "esp32c3", "--parallel", "pipeline")
    assert staged.heap == load("esp32c3").planned_heap("espnow", "chips")


def boards(*options, ports="/dev/a"):
    found = parsed(["--ports", ports, *options])
    return boards_of(found, SimpleNamespace(config=MODEL))


def test_boards_without_a_file_are_as_options_say():
    assert boards().parallelism == HOST_REDUCE
    cluster = boards("--parallel", "pipeline", "--chips", "4")
    assert (cluster.parallelism, cluster.link.kind) == (pipeline(4), "espnow")
    with pytest.raises(
        ClusterError, match="^chips cannot exchange partial sums over their REPL ports"
    ):
        boards("--parallel", "pipeline", ports="/dev/a,/dev/b")
    with pytest.raises(ParallelError, match="^--stages is for --parallel hybrid"):
        boards("--parallel", "pipeline", "--stages", "2")


def test_boards_that_were_flashed_otherwise():
    flashed = cluster_file(4, "espnow", context=64, parallelism=pipeline(4))
    change(lambda _: flashed)
    for options in ([], ["--parallel", "auto"], ["--parallel", "pipeline"]):
        assert boards(*options) == flashed
    told = "^--parallel hybrid --stages 2: the boards were flashed with --parallel pipeline"
    with pytest.raises(ClusterError, match=told):
        boards("--parallel", "hybrid")


def flashed_for(model, *options, before=None, board="esp32s3-psram", kind="espnow"):
    """The parallelism that a board is flashed for, and what is said of it."""
    found = flash_parsed(["--board", board, "--chip-id", "1", *options])
    place = Place(load(board), "", 1, 4, Link(kind))
    return _parallelism(found, place, model, before, signed=True)


def test_options_say_what_a_board_is_flashed_for(model):
    assert flashed_for(model, "--parallel", "pipeline") == (pipeline(4), "")
    assert flashed_for(model, "--parallel", "hybrid", "--stages", "3") == (hybrid(3), "")
    assert flashed_for(model, "--parallel", "tensor") == (HOST_REDUCE, "")
    assert flashed_for(model, "--reduce", "chips") == (ALL_REDUCE, "")
    for kept in (None, cluster_file(4, "espnow", parallelism=HOST_REDUCE)):
        found, told = flashed_for(model, "--parallel", "auto", before=kept)
        assert found.reduce == "chips"
        assert re.fullmatch(
            r"--parallel .*: chosen for 4 chips over espnow \(modelled; --parallel auto\)", told
        )


def test_the_first_board_of_a_cluster_is_flashed_for_what_is_best(model):
    best = flashed_for(model, "--parallel", "auto")
    assert flashed_for(model) == best
    # And so is one of a cluster that is linked otherwise, or has another number of chips.
    for other in (cluster_file(4, "uart"), cluster_file(3, "espnow")):
        assert flashed_for(model, before=other) == best
    # Over its REPL's port a board can have nothing else.
    found, told = flashed_for(model, kind="uart")
    assert found == HOST_REDUCE and told.endswith(": all that REPL ports allow")


def test_later_boards_of_a_cluster_are_flashed_as_the_first(model):
    for parallelism in (HOST_REDUCE, hybrid(2)):
        before = cluster_file(4, "espnow", parallelism=parallelism)
        assert flashed_for(model, before=before) == (parallelism, "")
