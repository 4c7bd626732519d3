"""What a run says of itself: the same figures as an object and as a table."""

import io
import json

import pytest
from rich.console import Console

from host.cli.report import make_report, print_report
from host.executors.executor import Idle
from host.generation.statistics import GenerationStatistics
from host.launch.chip_statistics import ChipStatistics
from host.parallel.plan import Shard
from host.wire.reports import Statistics

FIGURES = GenerationStatistics(
    tokens=200, seconds=1.6, synchronizations=2200, bytes=2_194_400, retransmissions=3,
    recoveries=0,
)  # fmt: skip


def chip(number, kernels="native", mapping="", **counters):
    fields = {
        "heap_used": 100_000, "heap_free": 60_000, "frames_sent": 2780, "frames_received": 2781,
        "bytes_sent": 522_000, "bytes_received": 408_700, "frames_dropped": 5,
        "answers_resent": 7, "busy_ms": 11, **counters,
    }  # fmt: skip
    shard = Shard(number, (number, number + 5), (number // 2,), range(34), range(10, 112))
    return ChipStatistics.of(shard, 60_416, Statistics(**fields), kernels, mapping)


def printed(figures, chips, width=80):
    stream = io.StringIO()
    print_report(Console(file=stream, width=width), figures, chips)
    return stream.getvalue()


def test_figures_are_divided_among_the_generated_tokens():
    assert FIGURES.tokens_per_second == 125
    assert FIGURES.per_token(FIGURES.synchronizations) == 11
    assert FIGURES.per_token(FIGURES.bytes) == 10_972


def test_kernels_are_told_of_all_chips_or_of_each():
    assert "kernels: native\n" in printed(FIGURES, [chip(0), chip(1)])
    crashed = "viper (native kernels crashed)"
    text = printed(FIGURES, [chip(0), chip(1, crashed), chip(2)])
    assert f"kernels: native, on chips 0, 2\nkernels: {crashed}, on chips 1\n" in text
    assert "kernels" not in printed(FIGURES, [chip(0, "")])


def test_mapped_weights_are_told_of_all_chips_or_of_each():
    assert "weights" not in printed(FIGURES, [chip(0)])
    text = printed(FIGURES, [chip(0, mapping="mapped"), chip(1, mapping="mapped")])
    assert "kernels: native\nweights: flash, mapped\n" in text
    why = "in blocks (no 9 pages)"
    text = printed(FIGURES, [chip(number, "k", why if number else "mapped") for number in (0, 1)])
    assert f"weights: flash, mapped, on chips 0\nweights: flash, {why}, on chips 1\n" in text


def test_no_token_and_no_time_divide_nothing():
    nothing = GenerationStatistics(0, 0.0, 0, 0, 0, 0)
    assert (nothing.tokens_per_second, nothing.per_token(5)) == (0.0, 0.0)
    text = printed(nothing, [])
    assert "no figures: they are of the tokens after an answer's first" in text
    assert "0 requests retransmitted" in text
    assert "a second" not in text and "bytes a token" not in text


def test_figures_of_several_answers_add_up():
    more = GenerationStatistics(
        tokens=10, seconds=0.4, synchronizations=110, bytes=600, retransmissions=1, recoveries=2
    )
    assert sum([FIGURES, more], GenerationStatistics()) == GenerationStatistics(
        210, 2.0, 2310, 2_195_000, 4, 2
    )


def test_the_object_is_json_with_each_chip_by_name():
    made = make_report("prompt", "text", [5, 6], FIGURES, [chip(0), chip(1)])
    result = json.loads(json.dumps(made))
    chips = result.pop("chips")
    assert result == {
        "prompt": "prompt",
        "text": "text",
        "tokens": [5, 6],
        "tokens_per_second": 125.0,
        "synchronizations_per_token": 11.0,
        "bytes_per_token": 10972.0,
        "first_token_seconds": 0.0,
        "retransmissions": 3,
        "recoveries": 0,
    }
    expected = {
        "id": 1, "heads": 2, "units": 34, "rows": 102, "shard_bytes": 60_416,
        "heap_used": 100_000, "heap_free": 60_000, "frames_sent": 2780, "frames_received": 2781,
        "bytes_sent": 522_000, "bytes_received": 408_700, "frames_dropped": 5,
        "answers_retransmitted": 7, "busy_ms": 11, "kernels": "native", "mapping": "",
    }  # fmt: skip
    assert chips[1] == expected


def test_the_table_has_a_row_for_each_chip():
    rows = [line.split() for line in printed(FIGURES, [chip(0), chip(12)]).splitlines()]
    counters = ["2", "34", "102", "59.0", "98", "59", "2781", "2780", "399", "510", "7"]
    assert [row for row in rows if row[1:] == counters] == [["0", *counters], ["12", *counters]]


def test_the_figures_of_a_long_run_still_fit_80_columns():
    large = {"heap_used": 4 << 20, "heap_free": 8 << 20, "frames_sent": 9_999,
             "frames_received": 9_999, "bytes_sent": 9 << 20, "bytes_received": 9 << 20,
             "answers_resent": 9_999}  # fmt: skip
    text = printed(FIGURES, [chip(253, **large)])
    assert "…" not in text and max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("width", [30, 45, 60, 72, 75, 76])
def test_on_a_narrow_terminal_no_figure_is_cut(width):
    counts = {"frames_received": 123_456_789, "bytes_sent": 98_765_432_100, "heap_free": 7_777_777}
    words = printed(FIGURES, [chip(253, **counts)], width).split()
    for figure in ("123456789", f"{98_765_432_100 / 1024:.0f}", f"{7_777_777 / 1024:.0f}"):
        assert figure in words


@pytest.mark.parametrize(
    ("recoveries", "words"), [(0, ""), (2, ", 2 recoveries of a lost KV cache")]
)
def test_figures_are_labelled_as_simulated_or_measured(recoveries, words):
    figures = GenerationStatistics(200, 1.6, 2200, 2_194_400, 3, recoveries)
    text = " ".join(printed(figures, [chip(0)], width=200).split())
    assert text.endswith(
        "200 tokens at 125.0 a second (simulated: this machine's speed, not a chip's)"
        " 11.0 synchronizations and 10,972 bytes a token between host and chips (measured)"
        f" 3 requests retransmitted{words}"
    )


def test_the_speed_of_boards_is_measured():
    console = Console(file=io.StringIO(), width=200)
    print_report(console, GenerationStatistics(200, 1.6), [chip(0)], simulated=False)
    assert "200 tokens at 125.0 a second (measured)\n" in console.file.getvalue()


IDLE = Idle(5, 6.25, 0.41, 4 / 10.25)


def test_the_idle_share_stands_beside_the_formulas():
    stream = io.StringIO()
    console = Console(file=stream, width=200)
    print_report(console, GenerationStatistics(200, 1.6), [chip(0)], IDLE)
    line = stream.getvalue().splitlines()[-1]
    assert line == (
        "5 stages idle 41% of the time (measured); (S - 1) / (S + M - 1) is 39% for S = 5 stages"
        " and M = 6.25 micro-batches at a time"
    )
    found = make_report("p", "t", [5], FIGURES, [chip(0)], IDLE)["idle"]
    assert found == {"stages": 5, "micro_batches": 6.25, "measured": 0.41, "formula": 4 / 10.25}
    assert "idle" not in make_report("p", "t", [5], FIGURES, [chip(0)])
