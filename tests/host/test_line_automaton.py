"""The automaton of action lines, compared with their parser."""

import random

import pytest

from host.grammar.action_lines import GrammarError, format_line, parse_line
from host.grammar.automaton import DEAD, Automaton, Rule, one_of, optional
from host.grammar.devices import DEVICES, PLACE_SYMBOLS
from host.grammar.line_rules import LineNames, line_automaton

NAMES = LineNames(("A", "B"), (("light", "P"), ("lock", "Q"), ("scene", "R")))


def takes(automaton, text):
    state = automaton.follow(automaton.start, text)
    return state != DEAD and automaton.is_final(state)


def walk(automaton, chance):
    """A text of the automaton's, every way of going on being as likely."""
    state, text = automaton.start, ""
    while True:
        edges = automaton.edges(state)
        if automaton.is_final(state) and (not edges or chance.random() < 0.4):
            return text
        character = chance.choice(sorted(edges))
        text, state = text + character, edges[character]


def test_every_path_is_a_line_that_parses_and_prints():
    automaton, chance = line_automaton(NAMES), random.Random(1)
    lines = {walk(automaton, chance) for _ in range(4000)}
    assert len(lines) > 2000
    for line in lines:
        actions = parse_line(line)
        assert format_line(actions) == line
        names = {each.name for each in actions if len(each.name) == 1}
        assert names <= {"A", "B", "P", "Q", "R"}


def doings(kind):
    for verb, doing in DEVICES[kind].items():
        yield from [verb] * doing.stands_alone
        yield from [f"{verb}?"] * doing.is_asked
        yield from (f"{verb}={value}" for value in (*doing.numbers, *doing.words))


def test_every_action_of_the_grammar_is_a_path():
    automaton = line_automaton(NAMES)
    lines = [f"{kind}.{name} {doing}" for kind in DEVICES for name in ("A", "B", "here", "all")
             for doing in doings(kind)]  # fmt: skip
    lines += [f"light.P {doing}" for doing in doings("light")]
    lines += ["unknown", "scene.R", "scene.movie", "everything.B off", "timer.all cancel"]
    assert all(takes(automaton, line) for line in lines)
    whens = ("in=90s", "in=1h30m", "in=12h5m30s", "at=23:59", "at=07:00 every=mon+thu+sun",
             "at=00:00 day=tomorrow")  # fmt: skip
    for when in whens:
        assert takes(automaton, f"lock.Q lock {when}; fan.A on {when}; timer start=5m")
    assert takes(automaton, "light.A on for=2h") and not takes(automaton, "light.A off for=2h")


@pytest.mark.parametrize(
    "line",
    ["", "light.C on", "lock.P unlock", "light.kitchen on", "unknown; light.A on", "light.A",
     "light.A on; unknown", "light.A on; light.A on; light.A on; light.A on", "light.A on ",
     "light.A brightness=101", "alarm at=24:00", "light.A on in=0m", "timer.all start=1m",
     "heating.A temperature=4", "lock.A toggle", "alarm at=07:00 day=weekday"],
)  # fmt: skip
def test_what_is_no_path(line):
    assert not takes(line_automaton(NAMES), line)


def test_changed_lines_are_paths_where_they_parse():
    automaton = line_automaton(LineNames(tuple(PLACE_SYMBOLS)))
    chance = random.Random(2)
    parsed = 0
    for _ in range(3000):
        line = walk(automaton, chance)
        at = chance.randrange(len(line))
        line = line[:at] + chance.choice("aeh01 ;.=?") * chance.randrange(2) + line[at + 1 :]
        try:
            actions = parse_line(line)
        except GrammarError:
            assert not takes(automaton, line)
        else:
            names = {each.name for each in actions if each.device in (*DEVICES, "everything")}
            if names <= {*PLACE_SYMBOLS, "all", "here"} and "scene" not in line:
                parsed += 1
                assert takes(automaton, line)
    assert parsed > 50


def test_what_must_follow_ends_where_there_is_a_choice():
    automaton = Automaton(Rule((("ab", one_of(("cd", "cef")), optional("x")),)))
    path, state = automaton.find_sole_path(automaton.start)
    assert path == "abc" and sorted(automaton.edges(state)) == ["d", "e"]
    path, state = automaton.find_sole_path(automaton.follow(state, "e"))
    assert path == "f" and automaton.is_final(state)
