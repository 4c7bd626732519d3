"""`python -m host.plan`: what it prints, as text and as an object, and what it refuses."""

import json
from contextlib import nullcontext

import pytest

from host import plan
from host.cli.console import Console
from host.cli.plan_options import parse_boards, parse_options
from host.cli.run_options import parse_options as parse_run_options
from host.errors import BoardError, ModelError
from host.hardware.boards import load
from host.model.checkpoint import Config
from host.model.formats import quantized_file
from host.model.quantization.quantize import quantize
from host.parallel.assessment import assess_all, describe_options, recommend
from host.parallel.boards import BoardSet
from host.parallel.cost.formula import formula
from host.parallel.cost.latency import LatencyModel
from host.parallel.cost.traffic import widest_sums
from host.parallel.heap import usable_heap
from host.parallel.options import parse_parallelism
from host.parallel.parallelism import ALL_GATHER, ALL_REDUCE, HOST_REDUCE, pipeline
from host.parallel.strategies import list_candidates
from host.plan import main
from tests.host.model_files import VOCABULARY, small_tokenizer
from tests.host.tiny import random_checkpoint

# Whose code chips have, by options; all others are stages.
CODES = {describe_options(each): each.code for each in (HOST_REDUCE, ALL_REDUCE, ALL_GATHER)}
S3_KB, C3_KB = (load(name).planned_heap("espnow") // 1024 for name in ("esp32s3", "esp32c3"))

# Of the home model's shapes, which quantizes at once.
HOME = Config(
    dim=60, hidden_dim=160, layers=6, heads=5, kv_heads=5, vocab_size=VOCABULARY, context=128
)

IN_HEAPS = ("--weights", "heap")


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint(HOME))


@pytest.fixture
def planned(tmp_path, monkeypatch, capsys, model):
    """Runs the command: the exit code where it fails, else the text, or with --json the object."""
    quantized_file.save(model, small_tokenizer(), tmp_path / "home.q")
    monkeypatch.setenv("COLUMNS", "100")

    def of(*arguments):
        code = main(["--model", str(tmp_path / "home.q"), *arguments])
        if code:
            return code
        text = capsys.readouterr().out
        return json.loads(text) if "--json" in arguments else text

    return of


def test_it_says_that_it_works_and_fits_narrow_terminals(planned, monkeypatch):
    said = []

    class Told(Console):
        def status(self, text):
            said.append(text)
            return nullcontext()

    monkeypatch.setattr(plan, "Console", Told)
    monkeypatch.setenv("COLUMNS", "50")
    text = planned("--chips", "2", "--board", "esp32s3-psram", "--parallel", "pipeline")
    assert said == ["planning"] and "…" not in text
    tables = [line for line in text.splitlines() if line.startswith(("chip ", "   0 "))]
    assert len(tables) > 2 and max(map(len, tables)) <= 50


def test_what_is_free_is_of_the_heap_that_each_mode_leaves(planned):
    found = planned("--chips", "6", "--board", "esp32s3", "--context", "48", "--json")
    rooms = {}
    for mode in found["strategies"]:
        whose = CODES.get(mode["options"], "stages")
        room = usable_heap(load("esp32s3").planned_heap("espnow", whose))
        assert all(sum(chip["heap"].values()) == room for chip in mode["chips"])
        assert all(chip["heap"]["free"] >= 0 for chip in mode["chips"])
        rooms[whose] = room
    assert len(rooms) == len(set(rooms.values())) > 2


def test_the_object_has_every_mode_chip_and_figure(planned):
    found = planned("--chips", "5", "--board", "esp32s3-psram", "--context", "64", "--json")
    every = list_candidates(HOME.layers, 5)
    assert [mode["options"] for mode in found["strategies"]] == [
        describe_options(each) for each in every
    ]
    assert (found["link"], found["context"], found["signed"]) == ("espnow", 64, True)
    assert found["do_not_fit"] == {} and found["formula"]
    for mode in found["strategies"]:
        assert [chip["id"] for chip in mode["chips"]] == list(range(5))
        assert sum(chip["rows"] for chip in mode["chips"]) == VOCABULARY
        for chip in mode["chips"]:
            heap = dict(chip["heap"])
            free = heap.pop("free")
            room = load("esp32s3-psram").planned_heap("espnow")
            assert free >= 0 and sum(heap.values()) + free == usable_heap(room)
        token = mode["token"]
        waits = 6 if mode["parallelism"]["stages"] == 5 else 13  # stages of one chip wait once
        assert token["synchronizations"] == waits and token["air"]["frames"] > 0
        times = token["modelled"]
        assert times["position"] == 32
        parts = ("compute", "reading", "links", "waits")
        assert times["total"] == pytest.approx(sum(times[part] for part in parts))
        assert times["links"] == pytest.approx(times["lines"] + times["air"])
        assert sum(times["percent"].values()) == 100
        for part, percent in times["percent"].items():
            assert abs(percent - 100 * times[part] / times["total"]) < 1
        assert times["tokens_per_second"] == pytest.approx(1 / times["total"])
    best = min(found["strategies"], key=lambda mode: mode["token"]["modelled"]["total"])
    assert found["recommended"] == best["options"]


def test_the_text_says_the_same(planned):
    options = ("--chips", "3", "--board", "esp32s3-psram", "--link", "uart", "--no-key")
    found, text = planned(*options, "--json"), planned(*options)
    for mode in found["strategies"]:
        assert f"{mode['options']}: " in text
        assert f"{mode['token']['lines']['bytes']:,}" in text
        times = mode["token"]["modelled"]
        assert f"{times['total'] * 1e3:,.1f} ms" in text
        for part, percent in times["percent"].items():
            assert f"{times[part] * 1e3:,.1f} ms {percent:3}%" in text
    assert f"recommended: {found['recommended']} (modelled)" in text
    change = found["would_help_most"]
    assert f"would help most: {change['text']}: {change['tokens_per_second']:.1f} " in text
    assert found["recommended_for_many"] == "--parallel pipeline"
    assert "on the air" not in text
    assert text.count("esp32s3-psram") == 1  # its clock: no chip is named where all are alike
    assert all(line in " ".join(text.split()) for line in found["formula"])


def test_chips_that_differ_are_named(planned):
    text = planned("--boards", "esp32s3-psram,esp32s3,esp32s3", "--context", "16")
    heading = next(line for line in text.splitlines() if line.startswith("chip"))
    assert heading.split()[-1] == "board"
    assert "esp32s3-psram\n" in text


def test_a_key_is_counted_with_as_flashing_makes_one(planned):
    frames = {}
    for options in ((), ("--key",), ("--no-key",)):
        found = planned("--chips", "3", "--board", "esp32s3-psram", "--json", *options)
        frames[options] = found["signed"], found["strategies"][0]["token"]["air"]["bytes"]
    assert frames[()] == frames[("--key",)] > frames[("--no-key",)]
    assert not planned("--board", "simulated", "--json")["signed"]


@pytest.mark.parametrize(
    ("link", "parallelism"),
    [("uart", HOST_REDUCE), ("espnow", HOST_REDUCE), ("ring", pipeline(2))],
)
def test_lines_are_as_fast_as_is_said(model, link, parallelism):
    def of(*options):
        boards = parse_boards(parse_options([*options, "--link", link, "--chips", "2",
                                             "--board", "esp32s3-psram"]))  # fmt: skip
        plan = boards.plan(model, parallelism)
        token = plan.strategy.synchronizations(plan, True, widest_sums(plan))
        assert f" {boards.line_baud:,} baud" in " ".join(formula(plan, boards.boards))
        return boards.line_baud, LatencyModel(plan, boards.boards).latency(token, 8).lines

    slow, default, fast = (of("--line-baud", "115200"), of(), of("--line-baud", "3000000"))
    assert [baud for baud, _ in (slow, fast)] == [115_200, 3_000_000]
    assert default[0] == (3_000_000 if link == "ring" else 921_600)
    assert slow[1] > default[1] >= fast[1]
    if link != "espnow":  # where the air may be what is waited for
        assert slow[1] / fast[1] == pytest.approx(3_000_000 / 115_200)


def test_a_faster_line_is_advised_where_that_helps(planned):
    options = ("--chips", "2", "--board", "esp32s3-psram", "--reduce", "host", "--link", "uart",
               "--context", "16")  # fmt: skip
    slow = planned(*options, "--line-baud", "9600", "--json")
    assert slow["line_baud"] == 9_600
    assert slow["would_help_most"]["text"] == (
        "serial lines at 3,000,000 baud, --line-baud 3000000"
    )
    assert "--line-baud" not in planned(*options, "--line-baud", "3000000")


def test_no_line_has_such_a_speed(capsys):
    for text in ("9599", "5000001", "fast", "-1", "2e6"):
        with pytest.raises(SystemExit) as ended:
            main(["--line-baud", text])
        assert ended.value.code == 2
        assert capsys.readouterr().err == (
            f"error: argument --line-baud: '{text}' is no speed that lines have: give bits a"
            " second, 9600 to 5000000, as 921600 or 3000000\n"
        )


def test_what_fits_is_planned_and_what_does_not_is_told(model, monkeypatch):
    def refusing(self, divided, parallelism, plan=BoardSet.plan):
        if parallelism != ALL_REDUCE:
            raise ModelError("too small")
        return plan(self, divided, parallelism)

    monkeypatch.setattr(BoardSet, "plan", refusing)
    four = BoardSet((load("esp32s3-psram"),) * 4, "uart", line="pins")
    fitting, problems = assess_all(model, four)
    every = list_candidates(HOME.layers, 4)
    assert [each.plan.parallelism for each in fitting] == [ALL_REDUCE]
    assert list(problems) == [every[0], *every[2:]]
    assert recommend(fitting) is fitting[0]


def test_boards_that_differ_are_dealt_work_by_speed_and_room(planned):
    found = planned("--json", "--boards", "esp32s3-psram,esp32s3-psram,esp32c3", "--context", "32",
                    "--link", "uart")  # fmt: skip
    chips = found["strategies"][0]["chips"]
    assert [chip["board"] for chip in chips] == ["esp32s3-psram"] * 2 + ["esp32c3"]
    assert chips[0]["units"] > chips[2]["units"] and chips[0]["rows"] > chips[2]["rows"]
    assert sum(chip["units"] for chip in chips) == 160


def test_of_simulated_chips_no_time_is_told(planned):
    options = ("--chips", "2", "--board", "simulated")
    found, text = planned(*options, "--json"), planned(*options)
    assert found["recommended"] is None and found["formula"] == []
    assert found["would_help_most"] is None and "would help" not in text
    assert all(mode["token"]["modelled"] is None for mode in found["strategies"])
    assert "modelled" not in text and "no latency: a simulated chip" in text


def test_every_candidate_is_one_that_run_has():
    for parallelism in list_candidates(HOME.layers, 5):
        options = parse_run_options(describe_options(parallelism).split())
        named = options.parallel, options.stages, options.reduce
        assert parse_parallelism(*named, HOME.layers, 5) == parallelism


def test_one_way_alone(planned):
    found = planned("--board", "esp32s3-psram", "--reduce", "chips", "--json")
    assert [each["options"] for each in found["strategies"]] == [describe_options(ALL_REDUCE)]
    assert found["recommended"] == describe_options(ALL_REDUCE)


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("no board is called 'esp'", ["--board", "esp"]),
        ("a name is missing", ["--boards", "esp32s3,,esp32c3"]),
        ("leave --board and --chips out", ["--boards", "esp32s3", "--chips", "2"]),
        ("255 boards: a federation has 1 to 254", ["--boards", ",".join(["esp32s3"] * 255)]),
        (f"1 chip with {C3_KB} KB of heap is", ["--chips", "1", "--board", "esp32c3", *IN_HEAPS]),
        (f"2 chips with {S3_KB}, {C3_KB} KB of heap are",
         ["--boards", "esp32s3,esp32c3", *IN_HEAPS]),
        ("context must be 1 to 128, the model's, got 500", ["--context", "500"]),
        ("nothing.bin", ["--model", "nothing.bin"]),
        ("simulated has no serial line with a speed: leave --line-baud out",
         ["--board", "simulated", "--line-baud", "115200"]),
    ],
)
def test_what_cannot_be_is_told_in_one_line(planned, capsys, message, arguments):
    assert planned(*arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("error: ")
    assert message in captured.err and captured.err.count("\n") == 1


def test_the_boards_are_five_alike_by_default():
    found = parse_boards(parse_options([]))
    assert [board.name for board in found.boards] == ["esp32s3"] * 5 and found.link.mtu == 250
    mixed = BoardSet((load("esp32s3"), load("simulated")), "uart")
    assert mixed.speeds is None and mixed.link.mtu is None
    with pytest.raises(BoardError):
        parse_boards(parse_options(["--board", "none"]))
