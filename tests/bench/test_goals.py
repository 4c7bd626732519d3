"""The table of goals: what is modelled of a model beside what it is to be."""

import pytest

from bench import goals
from bench.goals import Goal, byte_goals, main, scaling_goals
from host.model.checkpoint import Config
from host.model.quantization.quantize import quantize
from tests.host.tiny import random_checkpoint

WIDE = Config(192, 384, 1, 4, 2, 60, 64)


def test_a_goal_is_met_by_as_much_or_of_bytes_by_as_little():
    assert Goal("", 80.0, 80.0, "").is_met and not Goal("", 79.9, 80.0, "").is_met
    assert Goal("", 0.25, 0.25, "", "of them").is_met
    assert not Goal("", 0.26, 0.25, "", "of them").is_met


def test_bytes_by_all_gather_are_those_of_frames():
    (found,) = byte_goals(quantize(random_checkpoint(WIDE)), "random weights")
    numbers = [word.replace(",", "") for word in found.how.split() if word[0].isdigit()]
    gathered, reduced = map(int, numbers)
    assert found.value == pytest.approx(gathered / reduced) and 0.1 < found.value < 0.5
    assert found.how.endswith("random weights")


def test_five_boards_are_faster_than_one():
    (found,) = scaling_goals()
    assert 2 < found.value < 5 and "all-gather" not in found.how


def test_the_table_has_all_rows(monkeypatch, capsys):
    made = [Goal("one figure", 1.0, 2.0, "so"), Goal("another", 3.0, 2.0, "thus", measured=True)]
    for name in ("board_goals", "byte_goals", "simulated_goals"):
        monkeypatch.setattr(goals, name, lambda *_: iter(()))
    monkeypatch.setattr(goals, "scaling_goals", lambda: iter(made))
    assert main(["--measure"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "one figure 1 2 tokens/s missed modelled so" in text
    assert "another 3 2 tokens/s met measured thus" in text


def test_a_model_that_is_not_there_is_one_line(capsys):
    assert main(["--model", "nothing.bin"]) == 1
    assert "nothing.bin" in capsys.readouterr().err
