"""Prompts from pipes and examples, and what becomes of each."""

import io
import json
import re
import subprocess
import sys

import pytest

from host.generation.command_tables import load_commands
from host.generation.evaluation import answer_in_integers
from host.generation.generator import Generator
from host.generation.prompt_encoder import PromptEncoder
from host.launch import SimulatedChips, open_cluster
from host.model import loading
from host.model.sampling import Sampler
from host.paths import HELD_OUT, HOME_MODEL
from host.run import main
from tests.shipped import shipped_model
from tests.simulation.launch import REPOSITORY
from tests.system.reference_runs import text_of

SLICE = 30
TOO_LONG = "dim the light " * 60


@pytest.fixture(scope="module")
def home():
    return loading.load_model(HOME_MODEL)


@pytest.fixture(scope="module")
def home_quantized():
    return shipped_model()


@pytest.fixture
def piped(home_quantized, monkeypatch, capsys):
    """Runs the shipped model with standard input; exit code and what it prints where."""
    monkeypatch.setattr("host.model.loading.LoadedModel.quantize", lambda self: home_quantized)

    def run(text, *arguments):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        code = main(["--chips", "2", "--link", "uart", *map(str, arguments)])
        return (code, *capsys.readouterr())

    return run


def test_a_slice_of_the_held_out_commands_on_five_chips(home, home_quantized):
    commands = load_commands(HELD_OUT)
    part = commands[:: len(commands) // SLICE][:SLICE]
    expected = answer_in_integers(home, [command.text for command in part])
    with open_cluster(home_quantized, SimulatedChips.alike(5, "uart")) as cluster:
        generator = Generator(cluster, home, PromptEncoder(home, None, None))
        tasks = [generator.task(command.text, Sampler()) for command in part]
        found = [generator.generate(task).text for task in tasks]
    assert found == expected
    right = sum(text == command.expected for text, command in zip(found, part, strict=True))
    assert right >= 0.9 * SLICE


def test_one_line_from_a_pipe_is_one_action_on_five_chips():
    command = f'echo "turn off the kitchen lights" | {sys.executable} -m host.run --chips 5'
    ended = subprocess.run(
        ["bash", "-c", command], cwd=REPOSITORY, capture_output=True, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"light.kitchen off\n", b"")


def test_a_line_is_answered_before_the_next_is_written():
    with subprocess.Popen(
        [sys.executable, "-m", "host.run", "--chips", "1"],
        cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        for command, action in (
            ("turn off the kitchen lights", "light.kitchen off"),
            ("order a pizza", "unknown"),
        ):
            process.stdin.write(f"{command}\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"{action}\n"
        process.stdin.close()
        assert process.stdout.read() == "" and process.wait(30) == 0


def test_each_line_has_one_line_and_spaces_around_a_command_mean_nothing(piped):
    text = "\n  order a pizza \r\n\n \nturn off the kitchen lights"
    assert piped(text) == (0, "\nunknown\n\n\nlight.kitchen off\n", "")
    code, out, _ = piped("\norder a pizza\n", "--json")
    assert code == 0
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["", "unknown"]
    assert piped("\n\n") == (0, "\n\n", "") and piped("") == (0, "", "")


def test_a_line_that_is_too_long_is_told_and_the_others_are_answered(piped, home):
    count = len(home.tokenizer.encode(home.prompt_format.text(TOO_LONG)))
    code, out, err = piped(f"order a pizza\n\n{TOO_LONG}\nturn off the kitchen lights\n")
    assert (code, out) == (1, "unknown\n\nunknown\nlight.kitchen off\n")
    assert err == (
        f"error: line 3: the prompt has {count} tokens, BOS included, and the context 128"
        " positions: shorten it\n"
    )


def test_an_answer_that_is_cut_off_is_told_and_fails_and_the_others_are_answered(piped, tmp_path):
    long = "could you dim the bedroom lamp to thirty percent"
    full = "the context of 20 positions is full"
    error = f"error: '{long}': the answer may be cut off, for {full}\n"
    text, out = f"{long}\norder a pizza\n", "unknown\nunknown\n"  # half an answer is none
    assert piped(text, "--context", 20) == (1, out, error)
    code, _, err = piped("", "--prompt", long, "--steps", 20, "--no-stats")
    assert code == 1 and err == error.replace(full, "--steps 20 are taken")
    file = tmp_path / "prompts.txt"
    file.write_text(text)
    code, out, err = piped("", "--context", 20, "--prompts", file, "--json")
    assert (code, err) == (1, error)
    cut, whole = map(json.loads, out.splitlines())
    assert cut["cut"] == full and "cut" not in whole
    # With room for all of it, but not to ask whether that is all, and with room for that too.
    assert piped(f"{long}\n", "--context", 22)[:2] == (1, "unknown\n")
    assert piped(f"{long}\n", "--context", 23) == (0, "light.bedroom brightness=30\n", "")


GARBLED = "turn on the light in the kitchen and " * 9


def test_an_answer_that_is_none_is_unknown_and_a_note_says_why(piped):
    code, out, err = piped(f"{GARBLED}\n\ufeffOrder a pizza.\n")
    assert (code, out) == (0, "unknown\nunknown\n")
    note = f"note: '{GARBLED[:57]}...': the model's answer is refused: "
    assert re.fullmatch(note + "(no answer may begin with '.*'|the model is not sure: .*)\n", err)


def test_unlocking_is_to_be_asked_for(piped):
    code, out, err = piped("unlock the garage door\n")
    assert (code, out) == (0, "lock.garage unlock\n")
    assert err == "note: 'unlock the garage door': ask before that is done\n"


def test_a_home_of_ones_own_says_what_is_there(piped, tmp_path):
    file = tmp_path / "home.toml"
    file.write_text('[rooms.kitchen]\nhas = ["light"]\n')
    text = "turn off the kitchen lights\nturn on the fan in the kitchen\nlock the attic\n"
    code, out, err = piped(text, "--home", file)
    assert (code, out) == (0, "light.kitchen off\nunknown\nunknown\n")
    assert "refused: fan.kitchen on: there is no fan\n" in err
    file.write_text("[rooms.kitchen]\nhas = 3\n")
    code, out, err = piped("", "--home", file, "--prompt", "x")
    assert (code, out) == (1, "")
    assert err == f"error: {file}: rooms.kitchen: field has is 3, expected a list\n"


def test_json_is_an_object_for_each_line_with_figures_of_its_own(piped):
    code, out, err = piped("turn off the kitchen lights\norder a pizza\n", "--json")
    assert (code, err) == (0, "")
    first, second = map(json.loads, out.splitlines())
    assert (first["prompt"], first["text"]) == ("turn off the kitchen lights", "light.kitchen off")
    assert (second["prompt"], second["text"]) == ("order a pizza", "unknown")
    assert len(first["tokens"]) > 1
    assert first["synchronizations_per_token"] == 13.0  # two for each of six layers, and one
    assert first["chips"][0]["frames_received"] < second["chips"][0]["frames_received"]


def test_a_table_only_where_it_is_asked_for(piped):
    code, out, err = piped("turn off the kitchen lights\n", "--stats")
    assert (code, out) == (0, "light.kitchen off\n") and "synchronizations and" in err
    code, out, err = piped("order a pizza\n", "--stats")  # a single token
    assert (code, out) == (0, "unknown\n")
    assert "no figures: they are of the tokens after an answer's first" in err


def test_a_prompt_is_answered_alone_and_with_the_table(piped):
    code, out, err = piped("order a pizza\n", "--prompt", " turn off the kitchen lights\n")
    assert (code, out) == (0, "light.kitchen off\n") and "synchronizations and" in err


def test_examples_do_not_read_what_is_piped(piped, home):
    code, out, err = piped("turn off the hall light\n", "--examples")
    asked, answered = out.splitlines()[::2], out.splitlines()[1::2]
    assert asked == [f"> {text}" for text in home.prompt_format.examples]
    examples = home.prompt_format.examples
    assert answered == answer_in_integers(home, examples)
    assert code == 0 and "synchronizations and" in err


@pytest.fixture
def continued(model_file, model, monkeypatch, capsys):
    """The same with a model that continues a text; what it prints on standard output."""
    monkeypatch.setattr("host.model.loading.LoadedModel.quantize", lambda self: model)

    def run(text, *arguments):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        options = ("--model", model_file, "--chips", 2, "--link", "uart", "--steps", 24)
        assert main([*map(str, options), *map(str, arguments)]) == 0
        return capsys.readouterr().out

    return run


def test_a_model_of_text_goes_on_from_each_line(continued, runs, tokenizer):
    once, zoo = text_of(runs[1], tokenizer), text_of(runs[5], tokenizer)
    assert once.startswith("Once upon a time") and zoo.startswith("Zoo was")
    assert continued("Zoo was\nOnce upon a time\n\nZoo was\n") == zoo + once + zoo


def test_a_model_of_text_that_is_given_none_begins_its_own(continued, runs, tokenizer):
    own = text_of(runs[0], tokenizer)
    assert continued("") == continued("", "--prompt", "") == own
    assert continued("Zoo was\n", "--examples") == own
