"""Homes with random names: what is said finds them, and every answer is about what was said."""

import random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from host.grammar.action_lines import format_line, parse_line
from host.grammar.devices import DEVICE_SYMBOLS, DEVICES, PLACE_SYMBOLS
from host.grammar.line_rules import LineNames, line_automaton
from host.home.home import Device, Floor, Home, NotInHome, Room
from host.home.home_file import parse_home
from host.home.marking import mark_names
from host.home.names import key_of, list_conflicts
from host.home.words import GENERIC, pluralize
from host.model.loading import load_model
from host.model.prompt_format import SYMBOLS
from host.paths import HOME_MODEL

WORD = st.text("abcdefghijklmnopqrstuvwxyzäöüéñ", min_size=2, max_size=9)
NAME = st.lists(WORD, min_size=1, max_size=3).map(" ".join)
NAMES = st.lists(NAME, min_size=8, max_size=8)


def home_of(names):
    """A home of two rooms on a floor and five devices, None where names cannot be told apart."""
    den, nook, floor, *devices = names
    kinds = ("light", "plug", "lock", "speaker", "gate")
    home = Home(
        {"r1": Room("r1", (den,), "f1", ("light", "tv")), "r2": Room("r2", (nook,), "f1")},
        {"f1": Floor("f1", (floor,))},
        {f"d{at}": Device(f"d{at}", kind, "r1", (name,), tuple(DEVICES[kind]))
         for at, (name, kind) in enumerate(zip(devices, kinds, strict=True))},
    )  # fmt: skip
    return None if list(list_conflicts(home)) else home


def written(name, chance):
    """A name as people write or say it."""
    name = chance.choice((name, name.upper(), name.title(), name.replace(" ", "-")))
    return chance.choice(("", "the ", "my ")) + name + chance.choice(("", "'s", ""))


@given(NAMES, st.integers(0, 1 << 20))
@settings(max_examples=60, deadline=None)
def test_names_are_found_however_they_are_written(names, seed):
    home, chance = home_of(names), random.Random(seed)
    if home is None:
        return
    ids = [*home.rooms, *home.floors, *home.devices]
    chosen = chance.sample(ids, 2)
    said = " and then, ".join(written(names[ids.index(each)], chance) for each in chosen)
    marked = mark_names(f"switch 7, {said} 99", home)
    found = {**marked.places, **marked.devices}
    inside = [id for id in ids if id not in chosen
              and " ".join(key_of(names[ids.index(id)])) in " ".join(key_of(said))]  # fmt: skip
    assert set(chosen) <= set(found.values()) or inside
    for symbol, id in found.items():
        assert f" {symbol}" in marked.text
        assert (symbol in PLACE_SYMBOLS) == (id not in home.devices)


@given(NAMES, st.integers(0, 1 << 20))
@settings(max_examples=60, deadline=None)
def test_every_path_of_a_commands_automaton_is_done_or_refused_by_the_home(names, seed):
    home, chance = home_of(names), random.Random(seed)
    if home is None:
        return
    said = " , ".join(chance.sample(names, 3))
    marked = mark_names(said, home)
    kinds = tuple((kind, symbol) for symbol, kind in marked.kinds.items())
    automaton = line_automaton(LineNames(tuple(marked.places), kinds))
    for _ in range(20):
        state, line = automaton.start, ""
        while automaton.edges(state) and not (automaton.is_final(state) and chance.random() < 0.5):
            edges = automaton.edges(state)
            character = chance.choice(sorted(edges))
            line, state = line + character, edges[character]
        assert format_line(parse_line(line)) == line
        try:
            actions = home.resolve(marked.restore(parse_line(line)))
        except NotInHome:
            continue
        known = {*marked.places.values(), *marked.devices.values(), "all", "here"}
        for action in actions:
            if action.device in (*DEVICES, "everything"):
                assert action.name in known
                assert action.name not in (*PLACE_SYMBOLS, *DEVICE_SYMBOLS)


@given(WORD, WORD)
def test_files_of_random_names_are_read_or_refused_by_name(first, second):
    fields = {"rooms": {"r1": {"names": [first]}, "r2": {"names": [second]}}}
    clash = key_of(first) == key_of(second) or {first, second} & GENERIC
    try:
        home = parse_home(fields)
    except Exception as error:
        assert clash and (repr(first) in str(error) or repr(second) in str(error))
    else:
        assert not clash and home.rooms["r2"].names == (second,)


@example("my aa")
@given(NAME)
def test_devices_are_found_by_their_plurals(name):
    home = Home({"r1": Room("r1", ("qqq",))}, devices={
        "d1": Device("d1", "plug", "r1", (name,))})  # fmt: skip
    *first, last = name.split()
    # "My lamp" is found as "lamp", whoever says so.
    articles = name.split()[: -len(key_of(name))]
    said = " ".join([*first, pluralize(last)])
    assert mark_names(said, home).text.split() == [*articles, "plug", "P"]


def test_the_format_of_symbols_marks_and_restores_whatever_the_home():
    source = load_model(HOME_MODEL).prompt_format
    home = Home({"den": Room("den", ("qux den",), has=("light", "lock"))})
    form = type(source)(
        source.template, grammar=source.grammar, normalization=source.normalization,
        names=SYMBOLS, home=home,
    )  # fmt: skip
    said = "Hey Google, UNLOCK the Qux-Den!"
    assert form.text(said) == "unlock the A\n"
    assert form.verify("lock.A unlock", said).text == "lock.den unlock"
    assert form.verify("lock.A unlock", said).needs_confirmation
    assert form.verify("lock.B unlock", said).text == "unknown"
    assert form.verify("fan.A on", said).refused == "fan.den on: there is no fan"
    automaton = form.automaton(said)
    assert automaton.follow(automaton.start, "lock.A unlock") > 0
    assert automaton.follow(automaton.start, "lock.B") < 0
