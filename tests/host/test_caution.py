"""What unlocks, opens or disarms is done only where all of the command is understood."""

import pytest

from host.grammar import ACTION_LINES
from host.home.caution import list_unknown_words
from host.home.home import Device, Home, Room
from host.model.prompt_format import PromptFormat

HOME = Home(
    {"kitchen": Room("kitchen", ("kitchen",), has=("lock", "light"))},
    devices={
        "front": Device("front", "lock", "kitchen", ("front door",), ("lock", "unlock")),
        "garage": Device("garage", "gate", "", ("garage door",), ("open", "close")),
    },
)


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("unlock the front door", []),
        ("could you please unlock the kitchen doors for me", []),
        ("the kitchen door needs to be unlocked at half past seven", []),
        ("open the garage door in 10 minutes, and turn off the lights in the kitchen", []),
        ("disarm the alarm system", []),
        ("unlock the shed", ["shed"]),
        ("unlock the music room", ["music"]),
        ("unlock our side entrance", ["side", "entrance"]),
        ("bathroom window unlock", ["bathroom", "window"]),
        ("entriegle die kitchen", ["entriegle", "die"]),
    ],
)
def test_words_that_name_what_the_home_lacks(text, unknown):
    assert list_unknown_words(text, HOME) == unknown


@pytest.mark.parametrize("names", ["", "symbols"])
def test_dangerous_answers_to_them_are_refused_and_others_are_not(names):
    form = PromptFormat("{prompt}\n", grammar=ACTION_LINES, names=names, home=HOME)
    place, door = ("A", "P") if names else ("kitchen", "front")
    assert form.verify("lock.here unlock", "unlock the shed").refused == (
        "lock.here unlock: the home has no name with 'shed' in it"
    )
    assert form.verify(f"lock.{door} unlock", "unlock the front door").text == "lock.front unlock"
    line = f"lock.{place} lock"
    assert form.verify(line, "lock the kitchen of the shed").text == "lock.kitchen lock"
    line = f"lock.{place} unlock"
    assert form.verify(line, "unlock the kitchen of the shed").text == "unknown"
