"""The words of commands in the format of the model that ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from host.errors import ModelError
from host.model.prompt_format import load_format
from host.paths import HELD_OUT, HOME_MODEL
from training.spelling import command_words, kept_words, write

FORM = load_format(HOME_MODEL)


def test_the_words_are_those_of_the_grammar() -> None:
    assert FORM.spelling
    assert command_words() == FORM.spelling.words
    assert kept_words(FORM.spelling.words, FORM.spelling.kept) == FORM.spelling.kept


def test_no_word_of_commands_without_errors_is_changed() -> None:
    assert FORM.spelling
    lines = HELD_OUT.read_text(encoding="utf-8").splitlines()
    held_out = [line.split("\t") for line in lines]
    texts = [FORM.mark(text).text for kind, text, _ in held_out if kind != "typo"]
    texts += [text for kind, text, _ in held_out if kind == "unknown"]
    assert all(FORM.spelling.correct(text) == text for text in texts)


def test_only_the_last_table_is_written(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text('template = "{prompt}\\n"  # a remark\n[spelling]\nwords = "old"\n')
    write(path, ("lights", "turn"), ("torn",))
    found = load_format(path.with_suffix(".bin"))
    assert found.spelling and (found.spelling.words, found.spelling.kept) == (
        ("lights", "turn"),
        ("torn",),
    )
    assert "# a remark\n" in path.read_text()
    path.write_text('template = "{prompt}"\n')
    with pytest.raises(ModelError, match=r"has no table \[spelling\] at its end"):
        write(path, (), ())
