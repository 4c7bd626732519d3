"""Action lines: what is one, what is none, and back to text."""

import pytest

from host.errors import ModelError
from host.grammar import find_grammar
from host.grammar.action_lines import Action, GrammarError, format_line, parse_duration, parse_line
from host.paths import HELD_OUT


@pytest.mark.parametrize(
    ("line", "actions"),
    [
        ("unknown", ()),
        ("light.kitchen off", (Action("light", "kitchen", "off"),)),
        ("tv.attic volume=30", (Action("tv", "attic", "volume", "30"),)),
        ("light.attic state?", (Action("light", "attic", "state", is_question=True),)),
        ("scene.movie", (Action("scene", "movie"),)),
        ("lock.P lock", (Action("lock", "P", "lock"),)),
        ("everything.A off", (Action("everything", "A", "off"),)),
        ("speaker.here previous", (Action("speaker", "here", "previous"),)),
        ("timer.all cancel", (Action("timer", "all", "cancel"),)),
        ("alarm snooze=10m", (Action("alarm", verb="snooze", value="10m"),)),
        ("alarm at=07:00 every=mon+fri",
         (Action("alarm", verb="at", value="07:00", days="every=mon+fri"),)),
        ("alarm cancel at=07:00 day=tomorrow",
         (Action("alarm", verb="cancel", when="at", time="07:00", days="day=tomorrow"),)),
        (
            "fan.office on for=1h30m; alarm at=06:30",
            (
                Action("fan", "office", "on", when="for", time="1h30m"),
                Action("alarm", verb="at", value="06:30"),
            ),
        ),
        ("timer.pasta start=12m", (Action("timer", "pasta", "start", "12m"),)),
        ("timer remaining?", (Action("timer", verb="remaining", is_question=True),)),
        ("light.all color=warm_white in=20m",
         (Action("light", "all", "color", "warm_white", when="in", time="20m"),)),
    ],
)  # fmt: skip
def test_a_line_is_actions_and_back(line: str, actions: tuple[Action, ...]) -> None:
    assert parse_line(line) == actions
    assert format_line(actions) == line


def test_every_answer_of_the_held_out_commands_is_a_line() -> None:
    lines = {each.split("\t")[2] for each in HELD_OUT.read_text().splitlines()}
    assert len(lines) > 500
    assert all(format_line(parse_line(line)) == line for line in lines)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "'' is not an action"),
        ("lock.Küche unlock", "is not an action"),
        ("lock.AB unlock", "is not an action"),
        ("lock unlock", "no room"),
        ("alarm_white", "is not an action"),
        ("alarm.white at=06:30", "an alarm has no name"),
        ("light.kitchen color=alarm_white", "color cannot be alarm_white"),
        ("door.kitchen open", "no device door"),
        ("light.kitchen", "light has no verb"),
        ("light.kitchen play", "light has no play"),
        ("light.kitchen brightness", "brightness needs a value"),
        ("light.kitchen brightness=101", "brightness cannot be 101"),
        ("light.kitchen brightness=07", "brightness cannot be 07"),
        ("light.kitchen brightness=9999999999999", "brightness cannot be 9999999999999"),
        ("light.kitchen on=1", "on cannot be 1"),
        ("light.kitchen on?", "on cannot be asked for"),
        ("light.kitchen on\nlight.attic on", "is not an action"),
        ("light.kitchen on ", "is not an action"),
        ("light.kitchen on;light.attic on", "is not an action"),
        ("light.kitchen on; unknown", "no device unknown"),
        ("light.kitchen on; light.attic on; light.all on; light.here on", "4 actions, at most 3"),
        ("light.kitchen off for=1h", "off does not last"),
        ("light.kitchen on for=0m", "is not a duration"),
        ("light.kitchen on at=24:00", "24:00 is not a time of day"),
        ("light.kitchen state? in=1h", "no in= is possible here"),
        ("scene", "no scene"),
        ("everything on", "no room"),
        ("everything.all toggle", "everything has no toggle"),
        ("scene.movie on", "a scene has no on"),
        ("timer.rocket start=1m", "no timer rocket"),
        ("timer start=soon", "no duration"),
        ("timer start", "no duration"),
        ("timer stop", "timer has no stop"),
        ("timer.all start=5m", "no timer all"),
        ("timer add", "no duration"),
        ("alarm at=7", "no time of day"),
        ("alarm cancel=1", "alarm has no cancel=1"),
        ("alarm at=06:30 at=07:00", "no at= is possible here"),
        ("alarm at=06:30 day=weekday", "day=weekday is not a valid day"),
        ("alarm at=06:30 every=tomorrow", "every=tomorrow is not a valid day"),
        ("alarm at=06:30 every=day+mon", "every=day+mon is not a valid day"),
        ("alarm at=06:30 every=fri+mon", "every=fri+mon is not a valid day"),
        ("alarm at=06:30 every=mon+mon", "every=mon+mon is not a valid day"),
        ("light.kitchen on in=5m day=mon", "day=mon needs a time of day"),
        ("timer start=5m day=mon", "day=mon needs a time of day"),
    ],
)
def test_what_is_no_line(line: str, reason: str) -> None:
    with pytest.raises(GrammarError) as caught:
        parse_line(line)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("20m", 1200), ("1h30m", 5400), ("2h", 7200), ("", None), ("1x", None),
     ("0m", None), ("30m1h", None), ("1.5h", None)],
)  # fmt: skip
def test_durations(text: str, seconds: int | None) -> None:
    assert parse_duration(text) == seconds


def test_what_is_no_answer_becomes_the_refusal() -> None:
    grammar = find_grammar("action-lines")
    assert grammar.verify("light.attic on") == ("light.attic on", "")
    assert grammar.verify("lock unlock") == ("unknown", "'lock unlock': no room")
    with pytest.raises(ModelError, match="^grammar must be action-lines, got 7$"):
        find_grammar(7)
