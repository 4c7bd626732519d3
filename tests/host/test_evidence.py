"""However sure a model is, nothing is unlocked, opened or disarmed that was not named for it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.grammar import ACTION_LINES
from host.grammar.action_lines import parse_line
from host.home.evidence import explain_unsaid
from host.home.home import Device, Home, Room
from host.home.marking import mark_names
from host.model.prompt_format import PromptFormat

HOME = Home(
    {
        "kitchen": Room("kitchen", ("kitchen",), has=("lock", "light", "blinds")),
        "cellar": Room("cellar", ("cellar",), has=("lock", "gate", "security")),
    },
    devices={
        "front": Device("front", "lock", "kitchen", ("front door",), ("lock", "unlock")),
        "garage": Device("garage", "gate", "", ("garage door",), ("open", "close")),
        "guard": Device("guard", "security", "", ("watchdog",), ("arm", "disarm")),
    },
)


def explain(said: str, line: str) -> str:
    return explain_unsaid(parse_line(line), mark_names(said, HOME))


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("unlock the kitchen", "lock.kitchen unlock"),
        ("could you unlock the kitchen door if you can", "lock.kitchen unlock"),
        ("in the kitchen, unlock the door please", "lock.kitchen unlock"),
        ("unlock the door", "lock.here unlock"),
        ("turn off the light in the kitchen and unlock the door",
         "light.kitchen off; lock.here unlock"),
        ("unlock the kitchen and cellar doors", "lock.kitchen unlock; lock.cellar unlock"),
        ("the kitchen and the cellar doors need to be unlocked",
         "lock.kitchen unlock; lock.cellar unlock"),
        ("kitchen lights to 50 percent and unlock the front door",
         "light.kitchen brightness=50; lock.front unlock"),
        ("unlock the front door at half past seven", "lock.front unlock at=07:30"),
        ("undo the lock on all doors", "lock.all unlock"),
        ("open the garage door", "gate.garage open"),
        ("open the gate of the cellar", "gate.cellar open"),
        ("turn the watchdog off", "security.guard disarm"),
        ("disarm the cellar", "security.cellar disarm"),
        ("do not unlock the kitchen", "lock.kitchen lock"),
    ],
)  # fmt: skip
def test_what_is_said_is_done(said: str, line: str) -> None:
    assert explain(said, line) == ""


@pytest.mark.parametrize(
    ("said", "line", "reason"),
    [
        ("lock the kitchen", "lock.kitchen unlock", "nothing in the command says unlock lock"),
        ("open the kitchen blinds", "lock.kitchen unlock", "nothing in the command says"),
        ("open the blinds and the door", "lock.here unlock", "nothing in the command says"),
        ("do not unlock the kitchen", "lock.kitchen unlock", "'not' is in"),
        ("dont unlock the kitchen", "lock.kitchen unlock", "'dont' is in"),
        ("unlock the kitchen if it rains", "lock.kitchen unlock", "'if' is in"),
        ("unlock all but the kitchen", "lock.all unlock", "'but' is in"),
        ("is the kitchen unlocked", "lock.kitchen unlock", "a question"),
        ("which doors are unlocked", "lock.here unlock", "'which' is in"),
        ("unlock the kitchen", "lock.cellar unlock", "cellar is not named"),
        ("unlock the kitchen", "lock.here unlock", "here is not named"),
        ("unlock the kitchen", "lock.all unlock", "all is not named"),
        ("in the kitchen, unlock the door", "lock.here unlock", "here is not named"),
        ("lights on in the kitchen and unlock the door",
         "light.kitchen on; lock.kitchen unlock", "kitchen is not named where"),
        ("unlock the door and turn on the light in the cellar",
         "lock.cellar unlock; light.cellar on", "cellar is not named where"),
        ("unlock the front door", "lock.kitchen unlock", "kitchen is not named"),
        ("unlock the front door at seven", "lock.front unlock", "'seven' is in"),
        ("in 5 minutes unlock the front door", "lock.front unlock", "'5' is in"),
        ("open the kitchen locks 100 percent", "lock.kitchen unlock", "'100' is in"),
        ("close the garage door", "gate.garage open", "nothing in the command says open gate"),
        ("arm the watchdog", "security.guard disarm", "nothing in the command says disarm"),
    ],
)  # fmt: skip
def test_what_is_not_said_is_not_done(said: str, line: str, reason: str) -> None:
    assert reason in explain(said, line)


# All words that host/home/caution.py lets pass, more or less, so that this rule alone decides.
SAID = """
    unlock unlocked open disarm lock locked close the my in and then plus door doors gate alarm
    light lights off on turn all every please could you kitchen cellar watchdog seven half 50
    percent not if is which do at it , here house up down set to everything hello
"""
WORDS = st.sampled_from((*SAID.split(), "front door", "garage door"))
LINES = st.sampled_from(
    [f"{kind} {verb}"
     for kind, verb in (("lock", "unlock"), ("gate", "open"), ("security", "disarm"))]
)  # fmt: skip
NAMES = st.sampled_from(("kitchen", "cellar", "here", "all", "front", "garage", "guard"))
OTHERS = st.sampled_from(("", "light.kitchen on; ", "light.here off; "))
SAYING = {"lock": {"unlock", "unlocked", "open", "off"}, "gate": {"open", "up", "unlock"},
          "security": {"disarm", "off"}}  # fmt: skip
SPOKEN = {"front": "front door", "garage": "garage door", "guard": "watchdog"}


@given(st.lists(WORDS, max_size=9).map(" ".join), LINES, NAMES, OTHERS)
@settings(max_examples=400, deadline=None)
def test_whatever_a_model_answers(said: str, doing: str, name: str, others: str) -> None:
    kind, verb = doing.split()
    form = PromptFormat("{prompt}\n", grammar=ACTION_LINES, home=HOME)
    answer = form.verify(f"{others}{kind}.{name} {verb}", said)
    if not answer.needs_confirmation:
        assert verb not in answer.text
        return
    words = said.replace(",", " ").split()
    assert SAYING[kind] & set(words)
    assert not {"not", "if", "which"} & set(words) and words[0] != "is"
    if name not in ("here", "all"):
        assert SPOKEN.get(name, name) in said
    if name == "all":
        assert {"all", "every", "everything", "house"} & set(words)
    if not others:
        assert not {"seven", "half", "50", "percent"} & set(words)
