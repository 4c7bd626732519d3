"""Prompts as a model is to see them, where its prompt format asks for that."""

import pytest

from host.model.normalization import Normalization
from host.model.prompt_format import PromptFormat, load_format, parse_format
from host.paths import HOME_MODEL

COMMAND = "turn on the light in the kitchen"


@pytest.fixture(scope="module")
def home() -> PromptFormat:
    return load_format(HOME_MODEL)


@pytest.mark.parametrize(
    "text",
    [
        COMMAND, COMMAND.upper(), COMMAND.title(), f"{COMMAND}.", f"{COMMAND}!!", f" {COMMAND} ?!",
        f'"{COMMAND}"', f"\u201c{COMMAND}.\u201d", f"({COMMAND})", f"- {COMMAND}", f"> {COMMAND}",
        f"... {COMMAND} ...", f"\u2026{COMMAND}\u2026", COMMAND.replace(" ", "\u00a0"),
        COMMAND.replace(" ", "  \t"), COMMAND.replace(" ", "\n"), f"\ufeff{COMMAND}",
        "".join(chr(ord(each) + 0xFEE0) if each != " " else " " for each in COMMAND),
        f"Hey, {COMMAND}", f"hey {COMMAND}", f"OK - {COMMAND}", f"Alexa, {COMMAND}",
        f"alexa {COMMAND}", f"Hey Google, {COMMAND}", f"okay nabu {COMMAND}",
        f"Computer: {COMMAND}", f"Hi, {COMMAND}", f"Echo, {COMMAND}",
        f"\U0001f4a1 {COMMAND} \u2764\ufe0f", f"`{COMMAND}`", f"hey computer {COMMAND}",
        f"*{COMMAND}*",
    ],
)  # fmt: skip
def test_the_home_model_sees_the_same_command(home: PromptFormat, text: str) -> None:
    assert home.text(text) == f"{COMMAND}\n".replace("kitchen", "A")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Turn off the TV; then, lock the door!", "turn off the tv, then, lock the door"),
        ("turn off the tv. lock the door", "turn off the tv, lock the door"),
        ("lights on \u2014 fan off", "lights on, fan off"),
        ("wake me at 6:30 p.m.", "wake me at 6:30 pm"),
        ("set the T.V. to 50%", "set the tv to 50%"),
        ("I\u2019d like 1.5 hours, it's seven o'clock", "i'd like 1.5 hours, it's seven o'clock"),
        ("the 'kitchen' \"light\"", "the A light"),
        ("Ok", "ok"),
        ("hey alexa", "alexa"),
        ("okapi on", "okapi on"),
        ("Hi-Fi on", "hi-fi on"),
        ("hi fi on", "hi fi on"),
        ("heating at 21\u00b0", "heating at 21\u00b0"),
        ("computer on", "computer on"),
        ("???", "???"),
        ("", ""),
    ],
)
def test_what_else_it_sees(home: PromptFormat, text: str, seen: str) -> None:
    assert home.text(text) == f"{seen}\n"


def test_each_part_is_asked_for_alone() -> None:
    assert Normalization().apply(" A,  b! ") == "A, b!"
    assert Normalization(lower_case=True).apply("A, B!") == "a, b!"
    assert Normalization(punctuation=True).apply("(A, B!)") == "A, B"
    assert Normalization(wake_words=("Hi",)).apply("hi A!") == "A!"


def test_a_model_that_asks_for_nothing_sees_what_is_seen() -> None:
    form = PromptFormat()
    assert form.text(" A,  b!\n") == " A,  b!\n"
    assert form.text("\ufeffA\u200bB") == "AB"


def test_the_fields_make_it_again(home: PromptFormat) -> None:
    assert home.normalization and home.grammar
    assert parse_format(home.fields()) == home
