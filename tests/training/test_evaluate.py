"""Counting right answers; and the answers of the shipped model, which are to be right."""

import re
from pathlib import Path

import numpy as np
import pytest

from host import evaluate
from host.errors import ModelError
from host.generation.command_tables import Command, load_commands
from host.generation.evaluation import answer_in_floats, answer_in_integers, generate_answers
from host.generation.scores import count, is_dangerous, is_exact
from host.grammar import find_grammar
from host.home.home_file import default_home
from host.model.checkpoint import Checkpoint
from host.model.formats import llama2c
from host.model.loading import LoadedModel, load_model
from host.model.normalization import Normalization
from host.model.prompt_format import PromptFormat
from host.model.tokenizers.bpe import BOS, EOS, BpeTokenizer
from host.paths import HELD_OUT, HOME_MODEL, HOME_TOKENIZER
from training.calibrate import risks

MEGABYTE = 1_000_000
SLICE = 100
FORM = PromptFormat("{prompt}\n")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return llama2c.load(HOME_MODEL)


@pytest.fixture(scope="module")
def home() -> LoadedModel:
    return load_model(HOME_MODEL)


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Checkpoint) -> BpeTokenizer:
    return BpeTokenizer.load(HOME_TOKENIZER, checkpoint.config.vocab_size)


class Echo:
    """Answers each command with a line that was agreed on, and `end` after it."""

    def __init__(self, tokenizer: BpeTokenizer, lines: list[str], end: int) -> None:
        self.lines = [[*tokenizer.encode(f"\n{line}", bos=False)[2:], end] for line in lines]
        self.newline = tokenizer.encode("x\n")[-1]
        self.answered = [-1] * len(lines)

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """One-hot logits."""
        logits = np.zeros((len(tokens), 512))
        for row, token in enumerate(tokens):
            if self.answered[row] >= 0 or token == self.newline:
                self.answered[row] += 1
                line = self.lines[row]
                logits[row, line[min(self.answered[row], len(line) - 1)]] = 1
        return logits


@pytest.mark.parametrize("end", [BOS, EOS])
def test_answers_are_what_follows_the_command(tokenizer: BpeTokenizer, end: int) -> None:
    lines = ["light.kitchen on", "unknown", "tv.all mute; ac.all off"]
    texts = ["on", "a longer command, of several words", "mute"]
    step = Echo(tokenizer, lines, end).step
    assert generate_answers(step, tokenizer, FORM, texts, 60) == lines


def test_an_answer_ends_with_the_positions(tokenizer: BpeTokenizer) -> None:
    prompt = len(tokenizer.encode("on\n"))
    step = Echo(tokenizer, ["99999999"], BOS).step
    assert generate_answers(step, tokenizer, FORM, ["on"], prompt + 3) == ["999"]
    with pytest.raises(ModelError, match="leaves none of"):
        generate_answers(step, tokenizer, FORM, ["on"], prompt)


def test_commands_are_rewritten_and_answers_are_verified(tokenizer: BpeTokenizer) -> None:
    form = PromptFormat(
        "{prompt}\n", normalization=Normalization(True), grammar=find_grammar("action-lines"),
        home=default_home(),
    )  # fmt: skip
    echo = Echo(tokenizer, ["light.cellar on", "lock.attic lock", "999999999999999"], BOS)
    seen: list[list[int]] = []

    def step(tokens: np.ndarray) -> np.ndarray:
        seen.append(tokens.tolist())
        return echo.step(tokens)

    answers = generate_answers(step, tokenizer, form, ["\ufeffLOCK  THE Attic", "on", "off"], 20)
    assert answers == ["unknown", "lock.attic lock", "unknown"]
    given = tokenizer.encode("lock the attic\n")
    assert [tokens[0] for tokens in seen[: len(given)]] == given


def test_the_model_is_of_the_size_that_five_chips_share_evenly(checkpoint: Checkpoint) -> None:
    config = checkpoint.config
    assert HOME_MODEL.stat().st_size <= 3 * MEGABYTE
    assert checkpoint.shared_classifier
    assert config.dim <= 64 and config.kv_heads % 5 == 0 and config.hidden_dim % 5 == 0
    matrices = ("embedding", "wq", "wk", "wv", "wo", "w1", "w2", "w3")
    assert 250_000 <= sum(getattr(checkpoint, name).size for name in matrices) <= 600_000


def test_commands_of_the_readme(home: LoadedModel) -> None:
    answers = {
        "could you dim the bedroom lamp to thirty percent": "light.bedroom brightness=30",
        "turn off the kitchen lights": "light.kitchen off",
        "what is the weather like": "unknown",
    }
    assert answer_in_floats(home, list(answers)) == list(answers.values())
    assert answer_in_integers(home, list(answers)) == list(answers.values())


def test_a_slice_of_the_held_out_commands(home: LoadedModel) -> None:
    commands = load_commands(HELD_OUT)
    part = commands[:: len(commands) // SLICE][:SLICE]
    texts = [command.text for command in part]
    in_integers = answer_in_integers(home, texts)
    assert count(part, in_integers, is_exact).value >= 0.93
    in_float = answer_in_floats(home, texts)
    assert sum(map(str.__eq__, in_integers, in_float)) >= SLICE - 1


def risky() -> list[Command]:
    """Held-out commands with words of doors, gates and alarm systems."""
    said = re.compile(r"lock|door|gate|open|bolt|latch|arm|shed|entrance")
    return [command for command in load_commands(HELD_OUT) if said.search(command.text)]


def test_a_slice_of_doors_is_not_unlocked_that_was_not_named(home: LoadedModel) -> None:
    unlocked(home, risky()[::6])


@pytest.mark.verify
def test_no_door_is_unlocked_that_was_not_named(home: LoadedModel) -> None:
    unlocked(home, risky())


def unlocked(home: LoadedModel, commands: list[Command]) -> None:
    answers = answer_in_integers(home, [command.text for command in commands])
    done = [text for text in answers if risks(text)]
    assert done and count(commands, answers, is_dangerous).found == 0


def test_the_tables_are_of_both_arithmetics_and_say_that_they_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "130")
    lines = ["switch\tturn off the kitchen lights\tlight.kitchen off"]
    lines.append("scene\tturn off the kitchen lights\tscene.night")
    (tmp_path / "commands.tsv").write_text("\n".join(lines))
    (tmp_path / "others.txt").write_text("unknown\nscene.night\n")
    commands = ["--commands", str(tmp_path / "commands.tsv")]
    others = ["--answers", str(tmp_path / "others.txt")]
    assert evaluate.main([*commands, *others, "--mistakes"]) == 0
    printed = capsys.readouterr().out
    assert "should be 'scene.night'  float: 'light.kitchen off'" in printed
    assert "2 commands (measured)" in printed
    # Of floats, integers, the other program, and it with the integers behind it.
    for name, found in (
        ("switch +1", (100, 100, 0, 100)), ("scene +1", (0, 0, 100, 100)),
        ("all +2", (50, 50, 50, 100)), ("right devices and actions +2", (50, 50, 50, 100)),
    ):  # fmt: skip
        row = name + "".join(rf" +{each}\.0% \(\d+%-\d+%\)" for each in found)
        assert re.search(row, printed), (row, printed)
    assert evaluate.main(["--model", str(tmp_path / "none.bin")]) == 1
    assert "cannot read the model" in capsys.readouterr().err
    (tmp_path / "others.txt").write_text("unknown\n")
    assert evaluate.main([*commands, *others]) == 1
    assert "1 answers, but 2 commands" in capsys.readouterr().err
