"""Commands with symbols are what the host would make of the same commands with names."""

from itertools import islice
from random import Random

import pytest

from host.generation.command_tables import load_commands
from host.grammar.action_lines import format_line, parse_line
from host.model.prompt_format import load_format
from host.paths import HELD_OUT, HOME_MODEL
from training import marks
from training.grammar import SEED, Grammar, held_out_commands


def test_places_and_devices_get_symbols_in_the_order_of_their_mention() -> None:
    marked = marks.mark(
        "turn on @light1 in the @kitchen and @light2, and the @attic's fan in @kitchen",
        "light.@light1 on; light.@light2 on; fan.@attic on",
    )
    assert marked == (
        "turn on light P in the A and light Q, and the B fan in A",
        "light.P on; light.Q on; fan.B on",
    )


def test_a_line_may_have_no_other_names_than_the_text() -> None:
    with pytest.raises(ValueError, match="@attic"):
        marks.mark("the @kitchen light", "light.@attic on")
    with pytest.raises(ValueError, match="too many names"):
        marks.mark("@kitchen @attic @garage @office", "unknown")
    with pytest.raises(ValueError, match="@fan1 has no name"):
        marks.name(Random(1), "turn on @fan1", "fan.@fan1 on")


def test_the_host_marks_what_training_has_marked() -> None:
    """Otherwise the model would be asked in another language than it has learnt."""
    form, seen = load_format(HOME_MODEL), 0
    for command in islice(Grammar(SEED + 7).commands(), 4000):
        if not command.raw_text or "'s" in command.raw_text or command.raw_text == command.text:
            continue
        marked = form.mark(command.raw_text)
        if command.text.startswith(("hey", "ok")) or command.category in ("intent", "unknown"):
            continue  # wake words go, and other words of a sentence may be names by chance
        assert marked.text == command.text
        seen += 1
        restored = marked.restore(parse_line(command.action))
        assert format_line(restored) == command.raw_action
    assert seen > 400


def test_the_home_that_the_program_comes_with_can_do_what_is_held_out() -> None:
    form = load_format(HOME_MODEL)
    assert len(load_commands(HELD_OUT)) == 2000
    wrong = []
    for command in held_out_commands():
        answer = form.verify(command.action, command.raw_text)
        if not command.text.startswith(("hey", "ok")):
            wrong += [command] * (answer.text != command.raw_action)
    assert len(wrong) <= 5, wrong  # words that are names by chance
