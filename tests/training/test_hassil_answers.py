"""The baseline's answers: what Home Assistant's recognizer finds is printed as an action line."""

import pytest

from training.hassil_answers import Recognizer


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer()


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("turn on the garage light", "light.garage on"),
        ("turn the lights off", "light.here off"),  # of the satellite's area
        ("turn on the light in the loft", "light.attic on"),
        ("turn off all the lights everywhere", "light.all off"),
        ("set office brightness to 20 percent", "light.office brightness=20"),
        ("lock the kitchen door", "lock.kitchen lock"),
        ("unlock the garage doors", "lock.garage unlock"),
        ("is the office door locked", "lock.office state?"),
        ("set the temperature to 21 degrees", "heating.here temperature=21"),
        ("set the temperature in the office to 19", "heating.office temperature=19"),
        ("turn off the socket", "plug.here off"),
        ("open the blinds in the bathroom", "blinds.bathroom open"),
        ("start a timer for 7 minutes", "timer start=7m"),
        ("set a 20 minute timer for pasta", "timer.pasta start=20m"),
        ("cancel all timers", "timer.all cancel"),
        ("set the volume to 30", "speaker.here volume=30"),
        ("turn up the volume in the garage", "speaker.garage volume=up"),
        ("next song", "speaker.here next"),
        ("start the vacuum", "vacuum.here start"),
        ("what is the meaning of life", "unknown"),
        ("turn on the light in the sauna", "unknown"),
    ],
)
def test_what_is_recognized_is_an_action_line(
    recognizer: Recognizer, said: str, line: str
) -> None:
    assert recognizer.answer(said) == line
