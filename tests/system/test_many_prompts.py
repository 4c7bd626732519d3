"""`host.run --prompts FILE` in every mode: the same answers, in the file's order."""

import json
import re

import pytest

from host.parallel.parallelism import STAGES_ALONE
from host.run import main

PROMPTS = ("Once upon a time", "The little dog", "Lily liked", "Tom went to the park",
           "One day a bird", "Once there was a cat", "She said")  # fmt: skip


@pytest.fixture
def run(model_file, tmp_path, capfd):
    """Runs the command on a file of prompts; its output, and its errors."""
    (tmp_path / "prompts.txt").write_text("\n\n".join(PROMPTS) + "\n")

    def of(*options):
        given = ["--prompts", tmp_path / "prompts.txt", "--steps", 24, "--link", "uart", *options]
        code = main(["--model", str(model_file), *map(str, given)])
        captured = capfd.readouterr()
        assert code == 0, captured.err
        return captured.out, captured.err

    return of


@pytest.fixture(scope="module")
def texts():
    """What the first mode that is tried gives, for the others to be compared with."""
    return {}


@pytest.mark.parametrize(
    "options",
    [
        ["--chips", 2],
        ["--chips", 3, "--parallel", "pipeline"],
        ["--chips", 3, "--parallel", "hybrid", "--stages", 2, "--secure"],
        ["--chips", 2, "--parallel", "auto"],
    ],
)
def test_answers_stand_under_their_prompts_in_order(run, texts, options):
    text, errors = run(*options)
    assert text == texts.setdefault("greedy", text)
    assert re.findall("^> (.*)$", text, re.MULTILINE) == list(PROMPTS)
    for prompt in PROMPTS:
        assert f"> {prompt}\n{prompt}" in text
    idle = "stages idle" in errors
    assert idle == ("pipeline" in options or "hybrid" in options)


@pytest.mark.parametrize(
    "options",
    [
        ["--chips", 1],
        ["--chips", 3, "--reduce", "chips"],
        ["--chips", 3, "--parallel", "pipeline"],
        ["--chips", 4, "--parallel", "hybrid"],
    ],
)
def test_samples_are_the_same_in_every_mode(run, texts, options):
    text, _ = run(*options, "--temperature", 0.8, "--seed", 3)
    assert text == texts.setdefault("sampled", text) != texts.get("greedy")


def test_objects_have_the_idle_share(run, texts):
    text, _ = run("--chips", 3, "--parallel", "pipeline", "--json")
    objects = [json.loads(line) for line in text.splitlines()]
    assert [each["prompt"] for each in objects] == list(PROMPTS)
    last = objects[-1]["idle"]
    assert last["stages"] == 3 and 3 < last["micro_batches"] < 8
    assert last["formula"] == pytest.approx(2 / (2 + last["micro_batches"]))
    assert 0 < last["measured"] < 1


def test_the_micro_batches_of_a_long_prompt_fill_the_pipe(model_file, capfd):
    prompt = "Once upon a time there was a little girl who liked to play with a big red ball"
    options = ["--prompt", prompt, "--steps", 56, "--chips", 3, "--parallel", "pipeline", "--json"]
    assert main(["--model", str(model_file), *map(str, options)]) == 0
    idle = json.loads(capfd.readouterr().out)["idle"]
    assert idle["micro_batches"] > 1.2  # a dozen for the first token, one for each other


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--stages", "2"], STAGES_ALONE),
        (
            ["--parallel", "pipeline", "--reduce", "host"],
            "--parallel pipeline: the chips add up partial sums, leave --reduce out",
        ),
        (
            ["--parallel", "hybrid", "--stages", "6"],
            "stages must be 1 to 5 for 5 layers on 5 chips, got 6",
        ),
        (
            ["--parallel", "auto", "--reduce", "chips"],
            "--parallel auto chooses who adds up too: leave --reduce out",
        ),
        (["--parallel", "tensor", "--stages", "9"], STAGES_ALONE),
        (["--parallel", "auto", "--stages", "2"], STAGES_ALONE),
        (
            ["--parallel", "hybrid", "--chips", "1"],
            "stages must be 1 to 1 for 5 layers on 1 chip, got 2",
        ),
        (["--prompts", "/tmp"], "--prompts /tmp: Is a directory"),
        (["--prompts", "/dev/null", "--examples"], "--prompts and --examples: give one of them"),
        (["--prompts", "nothing.txt"], "--prompts nothing.txt: No such file or directory"),
        (["--prompts", "/dev/null"], "--prompts /dev/null: no line has a prompt"),
        (["--prompts", "/dev/null", "--prompt", "a"], "--prompt and --prompts: give one of them"),
        (
            ["--parallel", "pipeline", "--check"],
            "--check compares partial sums with what they must be, and these chips keep theirs"
            " among themselves: it takes --reduce host",
        ),
    ],
)
def test_what_cannot_be_is_told_in_one_line(model_file, capfd, options, line):
    assert main(["--model", str(model_file), *options]) == 1
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == f"error: {line}\n"


def test_a_prompt_of_the_file_that_is_too_long_is_named(model_file, tmp_path, capfd):
    (tmp_path / "prompts.txt").write_text("\n  \nLily\n\n" + "cat and dog " * 20)
    options = ["--prompts", str(tmp_path / "prompts.txt"), "--steps", "24"]
    assert main(["--model", str(model_file), *options]) == 1
    captured = capfd.readouterr()
    assert "prompts.txt, line 5: the prompt has " in captured.err
    assert captured.out == "" and captured.err.count("\n") == 1
