"""Commands mean one thing each, and what is held out is in no training command."""

import re
from collections import defaultdict
from itertools import islice
from random import Random

import pytest

from host.generation.command_tables import load_commands
from host.grammar.action_lines import format_line, parse_line
from host.paths import HELD_OUT
from training.batches import training_commands
from training.grammar import SEED, SHARES, Command, held_out_commands
from training.phrases import ACTIONS
from training.sayings import NEVER_HELD_OUT
from training.split import HELD_OUT_ONE_IN, is_held_out
from training.style import misspelt

TRAINING_COMMANDS = 30_000
# Sayings of a few words, which mean what most of those say who say them; and commands in which a
# word was misheard may be others.
MOST_AMBIGUOUS = 5


@pytest.fixture(scope="module")
def training() -> list[Command]:
    return list(islice(training_commands(SEED + 2), TRAINING_COMMANDS))


@pytest.fixture(scope="module")
def judged() -> list[Command]:
    return held_out_commands()


def test_the_same_seed_gives_the_same_commands(training: list[Command]) -> None:
    assert list(islice(training_commands(SEED + 2), 500)) == training[:500]
    assert list(islice(training_commands(SEED + 3), 500)) != training[:500]


def test_a_text_has_one_answer(training: list[Command], judged: list[Command]) -> None:
    answers: dict[str, set[str]] = defaultdict(set)
    for command in (*training, *judged):
        answers[command.text].add(command.action)
    ambiguous = [text for text, lines in answers.items() if len(lines) > 1]
    assert len(ambiguous) <= MOST_AMBIGUOUS, ambiguous


def test_answers_are_action_lines(training: list[Command], judged: list[Command]) -> None:
    for command in (*training, *judged):
        assert format_line(parse_line(command.action)) == command.action
        assert not re.search(r"[{}()|@\n\t]|  |^ | $", command.text), command
        assert command.text == command.text.strip(" ,")


def test_every_action_of_every_device_is_trained(training: list[Command]) -> None:
    seen = {key[1:3] for command in training for key in command.keys if key[0] == "phrasing"}
    assert seen >= {(action.device, action.answer) for action in ACTIONS}


def test_no_held_out_combination_is_trained(
    training: list[Command], judged: list[Command]
) -> None:
    trained = {key for command in training for key in command.keys}
    assert not any(is_held_out(*key) for key in trained)
    for command in judged:
        assert all(is_held_out(*key) for key in command.keys), command
    assert sum(not command.keys for command in judged) < 30  # sayings that follow from no pattern
    assert not {command.text for command in training} & {command.text for command in judged}


def test_what_has_no_other_words_is_trained() -> None:
    assert not is_held_out(*NEVER_HELD_OUT)


def test_the_share_that_is_held_out() -> None:
    held = sum(is_held_out("combination", str(i)) for i in range(8000))
    assert 8000 / HELD_OUT_ONE_IN * 0.9 < held < 8000 / HELD_OUT_ONE_IN * 1.1


def test_held_out_commands_are_of_every_category(judged: list[Command]) -> None:
    assert len(judged) == len({command.raw_text for command in judged}) == 2000
    counts = {name: sum(c.category == name for c in judged) for name in (*SHARES, "typo")}
    assert sum(counts.values()) == 2000
    assert min(counts.values()) >= 20


def test_the_file_of_held_out_commands_is_what_the_grammar_draws(judged: list[Command]) -> None:
    assert [(c.category, c.text, c.expected) for c in load_commands(HELD_OUT)] == [
        (c.category, c.raw_text, c.raw_action) for c in judged
    ]


def test_a_typing_error_is_in_one_word_that_is_long_enough() -> None:
    random, text = Random(1), "turn the kitchen light to thirty"
    errors = {misspelt(random, text) for _ in range(2000)}
    assert len(errors) > 40
    for error in errors:
        words = zip(error.split(), text.split(), strict=True)
        wrong = [(found, word) for found, word in words if found != word]
        assert len(wrong) <= 1  # none where two equal letters were exchanged
        assert all(word in ("turn", "kitchen", "light") for _, word in wrong)
    assert misspelt(random, "tv on") == "tv on"
