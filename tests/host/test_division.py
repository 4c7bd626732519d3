"""Which way a run divides its model: what options name, what boards were flashed with."""

import re
from dataclasses import replace

import pytest

from host.cli.flash_job import _parallelism
from host.cli.run_options import parse_options
from host.cli.run_values import flashed_boards, simulated_chips
from host.cluster.cluster_file import change
from host.cluster.place import Place
from host.errors import ClusterError, ModelError, ParallelError
from host.flash import parsed as flash_parsed
from host.hardware.boards import load
from host.launch.choice import Choice, choose_parallelism
from host.model.checkpoint import Config
from host.model.quantization.quantize import quantize
from host.parallel.boards import BoardSet
from host.parallel.parallelism import ALL_REDUCE, HOST_REDUCE, REDUCERS, Link, hybrid, pipeline
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


def chosen(model, *options, batch=False):
    """What is chosen for these options, with the chips that it is chosen for."""
    chips = simulated_chips(parse_options(list(options)), model.config.layers)
    return chips.choose(model, batch), chips


def parallelism(model, *options, batch=False):
    return chosen(model, *options, batch=batch)[0].parallelism


def heap(model, *options):
    choice, chips = chosen(model, *options)
    return chips.boards.heaps(choice.parallelism)[0]


def test_options_name_the_parallelism(model):
    for options, expected in (
        (("--parallel", "tensor"), HOST_REDUCE),
        (("--reduce", "chips"), ALL_REDUCE),
        (("--parallel", "tensor", "--reduce", "chips"), ALL_REDUCE),
        (("--parallel", "pipeline", "--chips", "3"), pipeline(3)),
        (("--parallel", "pipeline", "--chips", "8"), pipeline(LAYERS)),
        (("--parallel", "hybrid"), hybrid(2)),
        (("--parallel", "hybrid", "--stages", "3"), hybrid(3)),
    ):
        assert parallelism(model, *options) == replace(expected, weights="auto")
        in_flash = parallelism(model, *options, "--weights", "flash")
        assert in_flash == replace(expected, weights="flash")


@pytest.mark.verify
def test_weights_are_in_flash_where_heaps_are_too_small(model):
    small = ("--board", "esp32s3", "--chips", "1", "--link", "uart")
    small += "--context", "64"
    choice, chips = chosen(quantize(random_checkpoint(HOME)), *small)
    assert choice.parallelism.weights == "auto"
    large = quantize(random_checkpoint(HOME))
    plan = chips.boards.plan(large, choice.parallelism)
    assert plan.block(0) and plan.shape.flash == (load("esp32s3").weights_room,)
    assert plan.flash_need(plan.shards[0], 16) <= load("esp32s3").weights_room
    with pytest.raises(ModelError, match="short of the model"):
        chosen(large, *small, "--weights", "heap")
    with pytest.raises(ModelError, match=r"231 KB of heap and \d+ KB of flash for weights is too"):
        chosen(large, *small[:-1], "128")
    # Where there is room in heaps, nothing is read from flash; and none is simulated unasked.
    assert not chips.boards.plan(model, parallelism(model, *small)).shape.flash
    assert parallelism(model, "--heap", "1M", "--parallel", "tensor").weights == "auto"
    with pytest.raises(ModelError, match="short of the model"):
        chosen(large, "--heap", "120K", "--chips", "1")


@pytest.mark.parametrize("auto", [(), ("--parallel", "auto")])
def test_by_default_the_planner_chooses(model, auto):
    board = (*auto, "--board", "esp32s3-psram")
    assert parallelism(model, *board, "--chips", "1") == ALL_REDUCE
    assert parallelism(model, *board, batch=True) == pipeline(LAYERS)
    # Of a simulated chip no time is known: the first that fits.
    assert parallelism(model, *auto, "--board", "simulated") == HOST_REDUCE


@pytest.mark.verify
def test_auto_has_the_heap_that_a_board_leaves_the_strategy_it_takes():
    """Machine code for stages takes more of a board's RAM."""
    model = quantize(random_checkpoint(HOME))
    board, options = load("esp32s3"), ("--board", "esp32s3")
    six = (*options, "--chips", "6", "--context", "112")
    assert parallelism(model, *six) == hybrid(2)
    assert (
        heap(model, *six) == board.planned_heap("espnow", "stages") < board.planned_heap("espnow")
    )
    # With five it does not fit, though it would with the heap that the host's leaves.
    five = (*options, "--chips", "5", "--context")
    choice, chips = chosen(model, *five, "96")
    assert choice.parallelism == ALL_REDUCE and chips.link.signed
    alone = (*five, "128", "--weights", "heap")
    assert parallelism(model, *alone) == replace(HOST_REDUCE, weights="heap")
    assert heap(model, *alone) == board.planned_heap("espnow")
    assert heap(model, *five, "64", "--heap", "2M") == 2 << 20


def test_a_line_says_what_was_chosen_and_why():
    model = quantize(random_checkpoint(HOME))

    def line(*options, batch=False):
        return str(chosen(model, *options, batch=batch)[0])

    six = ("--board", "esp32s3", "--chips", "6", "--context", "112")
    assert line(*six) == (
        "parallelism: hybrid in 2 stages (modelled as fastest of 4 for 6 esp32s3 over"
        " ESP-NOW)"
    )
    psram = ("--board", "esp32s3-psram", "--chips", "2", "--link", "uart")
    assert line(*psram, batch=True) == (
        "parallelism: pipeline in 2 stages (modelled as fastest for many sequences of"
        " 3 for 2 esp32s3-psram over UART at 921,600 baud)"
    )
    assert line("--chips", "2") == (
        "parallelism: tensor, host reduce (not modelled: simulated chips have no clock)"
    )
    assert line("--reduce", "chips") == "parallelism: tensor, all-reduce (as given)"


def test_boards_that_differ_are_counted_by_kind(model):
    kinds = map(load, ("esp32s3-psram", "esp32s3", "esp32s3-psram"))
    boards = BoardSet(tuple(kinds), "uart").with_line_baud(9_600)
    choice = choose_parallelism(model, boards, False)
    assert choice.reason.endswith("for 2 esp32s3-psram and 1 esp32s3 over UART at 9,600 baud")


def test_the_only_way_that_fits_is_called_so(model, monkeypatch):
    def refusing(self, divided, parallelism, plan=BoardSet.plan):
        if parallelism != ALL_REDUCE:
            raise ModelError("too small")
        return plan(self, divided, parallelism)

    monkeypatch.setattr(BoardSet, "plan", refusing)
    boards = BoardSet((load("esp32s3"),) * 2, "espnow")
    reason = "the only one that fits, for 2 esp32s3 over ESP-NOW"
    assert choose_parallelism(model, boards, False) == Choice(ALL_REDUCE, reason)
    monkeypatch.setattr(BoardSet, "plan", lambda *_: refusing(*_[:2], None))
    with pytest.raises(ModelError, match="^too small$"):
        choose_parallelism(model, boards, False)


@pytest.mark.parametrize("reduce", REDUCERS)
def test_a_boards_heap_is_what_its_strategy_leaves(model, reduce):
    for name in ("esp32c3", "esp32s3-psram", "simulated"):
        found = heap(model, "--board", name, "--reduce", reduce)
        assert found == load(name).planned_heap("espnow", reduce)
    staged = heap(model, "--board", "esp32c3", "--parallel", "pipeline")
    assert staged == load("esp32c3").planned_heap("espnow", "stages")


def boards(*options, ports="/dev/a"):
    return flashed_boards(parse_options(["--ports", ports, *options]), MODEL).cluster


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
    message = "^--parallel hybrid --stages 2: the boards were flashed with --parallel pipeline"
    with pytest.raises(ClusterError, match=message):
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
        found, message = flashed_for(model, "--parallel", "auto", before=kept)
        assert found.reduce == "chips"
        assert re.fullmatch(
            r"--parallel .*: chosen for 4 chips over espnow \(modelled; --parallel auto\)", message
        )


def test_the_first_board_of_a_cluster_is_flashed_for_what_is_best(model):
    best = flashed_for(model, "--parallel", "auto")
    assert flashed_for(model) == best
    # And so is one of a cluster that is linked otherwise, or has another number of chips.
    for other in (cluster_file(4, "uart"), cluster_file(3, "espnow")):
        assert flashed_for(model, before=other) == best
    # Over its REPL's port a board can have nothing else.
    found, message = flashed_for(model, kind="uart")
    assert found == HOST_REDUCE and message.endswith(": all that REPL ports allow")


def test_later_boards_of_a_cluster_are_flashed_as_the_first(model):
    for parallelism in (HOST_REDUCE, hybrid(2)):
        before = cluster_file(4, "espnow", parallelism=parallelism)
        assert flashed_for(model, before=before) == (parallelism, "")
