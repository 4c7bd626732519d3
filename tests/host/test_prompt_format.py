"""How a model is spoken to: the file beside it, and each mistake in one, in one line."""

from pathlib import Path

import pytest
from rich.console import Console

from host.cli.quantizing import quantize_to_file
from host.errors import ModelError
from host.model import loading
from host.model.prompt_format import (
    CONTINUATION,
    PromptFormat,
    format_path,
    load_format,
    parse_format,
)
from host.paths import HOME_MODEL as MODEL


def test_a_model_with_no_file_beside_it_continues(tmp_path: Path) -> None:
    assert load_format(tmp_path / "model.bin") == CONTINUATION
    assert not CONTINUATION.answers and CONTINUATION.examples == ()
    assert CONTINUATION.text("  once {upon}\n") == "  once {upon}\n"


def test_a_prompt_goes_into_the_template(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('template = "Q: {prompt}\\nA:"\nexamples = ["who", "é"]\n')
    form = load_format(tmp_path / "m.bin")
    assert form == PromptFormat("Q: {prompt}\nA:", ("who", "é")) and form.answers
    assert form.text("  why {not}? \n") == "Q: why {not}?\nA:"
    assert parse_format(form.fields()) == form


def test_the_file_is_called_as_the_model_but_for_the_ending(tmp_path: Path) -> None:
    assert format_path("models/home.q4.bin") == Path("models/home.q4.toml")
    folder = tmp_path / "tiny-1.1"
    folder.mkdir()
    assert format_path(folder) == tmp_path / "tiny-1.1.toml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'no template, as template = "{prompt}\\n"'),
        ("template = 5", 'no template, as template = "{prompt}\\n"'),
        ('template = "{text}"', "template '{text}' has no {prompt} in it"),
        ('template = "{prompt}\\n"\nexamples = "on"', "examples must be a list of texts"),
        ('template = "{prompt}\\n"\nexamples = [1]', "examples must be a list of texts"),
        ('template = "{prompt}\\n"\nstop = "."', "unknown field stop"),
        ('template = "{prompt}"\ngrammar = "json"', "grammar must be action-lines, got 'json'"),
        ('template = "{prompt}"\nnormalization = 1', "normalization must be a table"),
        (
            'template = "{prompt}"\n[normalization]\nlower_case = "yes"',
            "normalization.lower_case must be true or false",
        ),
        (
            'template = "{prompt}"\n[normalization]\nwake_words = ["hey", ","]',
            "normalization.wake_words: a word must not be empty",
        ),
        (
            'template = "{prompt}"\n[normalization]\nwake_words = "hey"',
            "normalization.wake_words must be a list of texts",
        ),
        (
            'template = "{prompt}"\n[normalization]\nupper = true',
            "unknown field normalization.upper",
        ),
        ("template", "not a TOML file: Expected '=' after a key in a key/value pair"),
    ],
)
def test_mistakes_are_told_with_the_files_name(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "m.toml"
    file.write_text(text)
    with pytest.raises(ModelError) as caught:
        load_format(tmp_path / "m.bin")
    assert str(caught.value).startswith(f"{file}: {message}")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "m.toml").mkdir()
    with pytest.raises(ModelError, match="m.toml: cannot read the prompt's format: Is a dir"):
        load_format(tmp_path / "m.bin")
    (tmp_path / "n.toml").write_bytes(b"\xff")
    with pytest.raises(ModelError, match="n.toml: not a TOML file: line 1: it is not UTF-8 text"):
        load_format(tmp_path / "n.bin")


def test_the_shipped_model_answers_commands_and_its_has_examples() -> None:
    form = loading.load_model(MODEL).prompt_format
    assert form.answers and form.text("stop") == "stop\n"
    assert 3 <= len(form.examples) <= 8


@pytest.mark.verify
def test_a_quantized_file_keeps_it(tmp_path: Path) -> None:
    quantize_to_file(MODEL, tmp_path / "elsewhere.q", None, None, Console(quiet=True))
    assert loading.load_model(tmp_path / "elsewhere.q").prompt_format == load_format(MODEL)
