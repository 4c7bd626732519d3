"""Typing errors in commands: corrected where it is plain what was meant, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from host.errors import ModelError
from host.generation.command_tables import load_commands
from host.home.home_file import parse_home
from host.model import spelling
from host.model.prompt_format import load_format, parse_format
from host.model.spelling import MOST, Spelling, iterate_slips, parse_spelling
from host.paths import HELD_OUT, HOME_MODEL
from training.style import with_error

FORM = load_format(HOME_MODEL)
HOME = parse_home(
    {
        "rooms": {"den": {"names": ["den", "tomer room"], "has": ["light", "lock"]}},
        "devices": {"radar": {"kind": "plug", "room": "den", "names": ["radoi"]}},
    }
)


def shipped() -> Spelling:
    assert FORM.spelling
    return FORM.spelling


def test_a_slip_gives_the_word_back_or_nothing_else() -> None:
    spelling, random = shipped(), Random(4)
    words = [word for word in spelling.words if len(word) > 5]
    errors = [(word, with_error(random, word)) for word in random.choices(words, k=1000)]
    meant = [(word, spelling.find_meant(wrong)) for word, wrong in errors]
    assert all(found in ("", word) for word, found in meant)
    assert sum(found == word for word, found in meant) > 900


def test_slips_are_of_four_kinds() -> None:
    slips = set(iterate_slips("lihgt"))
    assert {"light", "ilhgt", "lihght", "liggt"} <= slips and "might" not in slips
    assert "rooms" in iterate_slips("roooms") and "rooms" in iterate_slips("roms")
    assert "lamp" in iterate_slips("lapm") and "lamp" not in iterate_slips("lanp")


@pytest.mark.parametrize(
    ("said", "marked"),
    [
        ("tunr off teh kitchen lihgts", "turn off teh A lights"),
        ("Trun on the ligths, please!", "turn on the lights, please"),
        ("trun on the ligths, pelase", "trun on the ligths, pelase"),  # two at most
        ("turn on the lights in the kithcen", "turn on the lights in the kithcen"),
        ("turn on the guest rooom light", "turn on the guest room light"),  # and no name
        ("quite a star, i sold the torn form", "quite a star, i sold the torn form"),
        ("mach das licht an", "mach das licht an"),
    ],
)
def test_commands(said: str, marked: str) -> None:
    assert FORM.rewrite(said) == marked


def test_held_out_commands_are_changed_only_where_they_have_typing_errors() -> None:
    """As many as models/README.md says."""
    without = replace(FORM, spelling=None)
    commands = load_commands(HELD_OUT)
    changed = [each for each in commands if FORM.text(each.text) != without.text(each.text)]
    assert len(changed) == 59 and {each.category for each in changed} == {"typo"}


def test_long_words_and_many_errors_take_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def record(word: str) -> Iterator[str]:
        tried.append(word)
        return iterate_slips(word)

    monkeypatch.setattr(spelling, "iterate_slips", record)
    assert shipped().correct(f"{'a' * 100_000} tunr") == f"{'a' * 100_000} turn"
    assert shipped().correct("tunr " * 1000) == "tunr " * 1000
    assert len(tried) == 1 + MOST + 1


def test_names_of_the_home_stay_and_are_not_guessed() -> None:
    form = FORM.at_home(HOME)
    assert FORM.rewrite("tomer on, radoi off") == "timer on, radio off"
    assert form.rewrite("tomer on, radoi off") == "tomer on, plug P off"
    assert form.rewrite("turn off the raddoi") == "turn off the raddoi"  # near to a name
    assert form.rewrite("vloume up in the den") == "volume up in the A"


@pytest.mark.parametrize(
    "said", ["unlcok the door in the den", "unlock the dooor in the den", "unlokc the den"]
)
def test_nothing_is_unlocked_by_a_guess(said: str) -> None:
    form = replace(FORM.at_home(HOME), confidence=FORM.confidence)
    right = form.rewrite(said)
    assert right in ("unlock the door in the A", "unlock the A")
    assert form.verify("lock.A unlock", said).text == "unknown"
    assert form.verify("lock.A unlock", right.replace("A", "den")).text == "lock.den unlock"
    assert form.verify("lock.A lock", said).text == "lock.den lock"


def test_fields() -> None:
    assert parse_format(FORM.fields()) == FORM
    assert parse_spelling({"words": "turn\nlights"}) == Spelling(("turn", "lights"))
    for fields, message in (
        (1, "spelling must be a table, as"),
        ({"word": ""}, "unknown field spelling.word"),
        ({"words": ["on"]}, "spelling.words must be a text of words in small letters a to z"),
        ({"kept": "Torn"}, "spelling.kept must be a text of words in small letters a to z"),
    ):
        with pytest.raises(ModelError, match=message):
            parse_spelling(fields)
