"""`host.run` as users call it: what it prints where, and what its options change."""

import json
import subprocess
import sys

import pytest

from host.hardware.boards import load
from host.model.tokenizers.text import TextStream
from host.run import main
from tests.plans import tensor_plan
from tests.simulation.launch import REPOSITORY

KEYS = {
    "text", "tokens", "tokens_per_second", "synchronizations_per_token", "bytes_per_token",
    "retransmissions", "recoveries", "chips",
}  # fmt: skip
CHIP_KEYS = {"id", "heads", "units", "rows", "shard_bytes", "heap_used", "heap_free"}


@pytest.fixture
def ran(model_file, model, monkeypatch, capsys):
    """Runs a command line; what it prints on stdout and stderr."""
    monkeypatch.setattr("host.model.loading.LoadedModel.quantize", lambda self: model)
    monkeypatch.setattr("sys.stdin", None)

    def run(*arguments):
        assert main(["--model", str(model_file), *map(str, arguments)]) == 0
        return capsys.readouterr()

    return run


@pytest.fixture
def reported(ran):
    """The object that a command line with --json prints."""

    def run(*arguments):
        printed = ran("--json", *arguments)
        assert printed.err == "" and printed.out.count("\n") == 1
        return json.loads(printed.out)

    return run


def text_of(run, tokenizer, steps):
    return "".join(map(TextStream(tokenizer).push, run.tokens[1 : steps + 1].tolist()))


def test_json_has_every_figure(reported, model, runs, tokenizer):
    report = reported("--prompt", "Once upon a time", "--steps", 48)
    print(f"five chips on the radio: {report['tokens_per_second']} tokens a second")
    assert set(report) >= KEYS
    assert report["tokens"] == runs[1].tokens[1:49].tolist()
    assert report["text"] == text_of(runs[1], tokenizer, 48)
    assert report["tokens_per_second"] > 0
    assert report["synchronizations_per_token"] == 11.0
    assert 7_000 < report["bytes_per_token"] < 20_000
    chips = report["chips"]
    assert [chip["id"] for chip in chips] == list(range(5))
    assert all(set(chip) >= CHIP_KEYS for chip in chips)
    assert [chip["heads"] for chip in chips] == [2, 2, 2, 0, 0]
    assert sum(chip["units"] for chip in chips) == model.config.hidden_dim
    assert sum(chip["rows"] for chip in chips) == model.config.vocab_size
    assert all(0 < chip["shard_bytes"] < chip["heap_used"] for chip in chips)
    heap = chips[0]["heap_used"] + chips[0]["heap_free"]
    assert heap == pytest.approx(load("simulated").planned_heap("espnow") * 128 / 131, abs=64)


def test_text_goes_to_stdout_and_the_table_to_stderr(ran, model, runs, tokenizer):
    printed = ran("--prompt", "Once upon a time", "--steps", 40, "--link", "uart")
    assert printed.out == text_of(runs[1], tokenizer, 40) + "\n"
    lines = printed.err.splitlines()
    rows = [line.split() for line in lines if line.strip()[:1].isdigit()]
    assert [[int(count) for count in row[:4]] for row in rows[:5]] == [
        [share.chip, len(share.heads), len(share.units), len(share.rows)]
        for share in tensor_plan(model, 5).shards
    ]
    said = " ".join(printed.err.split())
    assert "tokens at" in said and "(simulated: this machine's speed" in said
    assert "11.0 synchronizations and" in printed.err
    assert max(map(len, lines)) <= 80 and "…" not in printed.err


def test_without_stats_there_is_only_text(ran):
    printed = ran("--steps", 12, "--no-stats", "--chips", 1, "--link", "uart")
    assert printed.err == "" and len(printed.out) > 10


CHOICE = "parallelism: tensor, host reduce (not modelled: simulated chips have no clock)"


@pytest.mark.parametrize(
    ("options", "is_shown"),
    [
        ((), True),
        (("--parallel", "auto"), True),
        (("--parallel", "tensor"), False),
        (("--reduce", "host"), False),
        (("--check",), False),
        (("--no-stats",), False),
        (("--json",), False),
        (("--no-stats", "--verbose"), True),
    ],
)
def test_a_line_says_which_parallelism_was_chosen(ran, options, is_shown):
    printed = ran("--prompt", "Once", "--steps", 6, "--chips", 1, "--link", "uart", *options)
    assert (printed.err.splitlines()[:1] == [CHOICE]) is is_shown
    assert printed.err.count("parallelism:") == is_shown and "parallelism:" not in printed.out


def process(model_file, *arguments):
    """A command line that ended well, as a process of its own."""
    command = [sys.executable, "-m", "host.run", "--model", model_file, *map(str, arguments)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=60)
    assert ended.returncode == 0
    return ended


def test_verbose_reports_what_was_lost(model_file):
    options = ("--steps", 12, "--chips", 2, "--loss", 0.2, "--link", "uart", "--no-stats")
    verbose = process(model_file, *options, "--verbose")
    assert "retransmitting: attention of layer" in verbose.stderr.decode()
    assert process(model_file, *options).stderr == b""


@pytest.mark.parametrize(
    "prompt", ['He said "hi"', "caf\u00e9 \u2013 \U0001f600!", "a\tb\\n'$HOME", "  two"]
)
def test_prompts_with_quotes_and_utf_8_come_back_whole(reported, prompt):
    report = reported("--prompt", prompt, "--steps", 60, "--chips", 1, "--link", "uart")
    assert report["text"].startswith(prompt)


def test_a_prompt_reaches_a_process_and_its_text_comes_back_in_utf_8(model_file):
    prompt = "caf\u00e9 \U0001f600"
    ended = process(model_file, "--chips", 1, "--steps", 40, "--no-stats", "--prompt", prompt)
    assert ended.stdout.decode().startswith(prompt) and ended.stderr == b""


def test_a_seed_repeats_its_text_on_any_chips_and_others_differ(reported):
    sampled = ("--temperature", 1, "--steps", 40)
    first = reported(*sampled, "--seed", 7, "--chips", 2, "--link", "uart")
    again = reported(*sampled, "--seed", 7, "--chips", 5, "--link", "espnow")
    other = reported(*sampled, "--seed", 8, "--chips", 2, "--link", "uart")
    assert first["tokens"] == again["tokens"] != other["tokens"]


def test_loss_is_made_good_and_counted(reported, runs):
    report = reported("--steps", 24, "--loss", 0.2, "--link", "uart", "--secure")
    assert report["tokens"] == runs[0].tokens[1:25].tolist()
    assert report["retransmissions"] > 24


def test_whoever_stops_reading_gets_no_traceback(model_file, runs, tokenizer):
    start = text_of(runs[0], tokenizer, 9)[:4].encode()
    command = f"{sys.executable} -m host.run --model {model_file} --chips 2 | head -c 4"
    ended = subprocess.run(
        ["bash", "-c", command + "; exit ${PIPESTATUS[0]}"],
        cwd=REPOSITORY, capture_output=True, timeout=60,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (141, start, b"")
