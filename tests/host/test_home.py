"""Homes: which files are one, what is possible there, and names in commands."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.grammar.action_lines import format_line, parse_line
from host.home.home import HomeError, NotInHome
from host.home.home_file import default_home, load_home, parse_home
from host.home.marking import mark_names

HOME = """
[floors.upstairs]
names = ["upstairs", "first floor"]
[rooms.den]
names = ["the den", "kids' room"]
floor = "upstairs"
has = ["light", "tv"]
satellites = ["satellite-3"]
[rooms.bedroom_two]
names = ["Bedroom 2"]
has = ["ac"]
[rooms.kitchen]
has = ["speaker", "heating", "lock"]
[devices.corner_lamp]
kind = "light"
room = "den"
names = ["corner lamp", "Christmas-tree"]
can = ["on", "off"]
[devices.garage_door]
kind = "gate"
[devices.film_evening]
kind = "scene"
[devices.kitchen_ceiling]
kind = "light"
room = "kitchen"
names = []
"""


@pytest.fixture(scope="module")
def home():
    return parse_home(tomllib.loads(HOME))


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("turn off the corner lamp", "turn off the light P"),
        ("turn off the corner lamps in the den", "turn off the light P in the A"),
        ("dim the lamp in the corner upstairs", "dim the light P A"),
        ("open the door of the garage, and the christmas tree on",
         "open the gate P, and the light Q on"),
        ("bedroom two's lights and the den's tv", "A lights and the B tv"),
        ("bedroom 2 lights, and bedroom 2 fan", "A lights, and A fan"),
        ("the kids room", "the A"), ("the kid's room", "the A"),
        ("start film evening", "start scene P"),
        ("kitchen bedroom two den first floor", "A B C first floor"),
        ("the first light on the first floor", "the first light on the A"),
        ("corner, lamp", "corner, lamp"), ("cornered lamp", "cornered lamp"),
        ("set the kitchen timer for 5 minutes", "set the kitchen timer for 5 minutes"),
        ("a timer for the kitchen", "a timer for the kitchen"),
        ("turn on the light in the cellar", "turn on the light in the cellar"),
        ("", ""),
    ],
)  # fmt: skip
def test_names_become_symbols(home, text, marked):
    assert mark_names(text, home).text == marked


@pytest.mark.parametrize(
    ("text", "answer", "line"),
    [
        ("corner lamp", "light.P on in=5m", "light.corner_lamp on in=5m"),
        ("den kitchen", "light.A on; speaker.B mute", "light.den on; speaker.kitchen mute"),
        ("upstairs", "everything.A off", "everything.upstairs off"),
        ("den", "speaker.A volume=up", "tv.den volume=up"),
        ("bedroom 2", "heating.A temperature=21", "ac.bedroom_two temperature=21"),
        ("kitchen", "light.A color=red", "light.kitchen color=red"),
        ("film evening", "scene.P", "scene.film_evening"),
        ("", "light.here on; scene.movie", "light.here on; scene.movie"),
        ("", "light.all off", "light.all off"),
        ("", "timer.egg start=3m; alarm at=06:00 day=tomorrow",
         "timer.egg start=3m; alarm at=06:00 day=tomorrow"),
        ("", "unknown", "unknown"),
    ],
)  # fmt: skip
def test_answers_get_their_names_back(home, text, answer, line):
    actions = home.resolve(mark_names(text, home).restore(parse_line(answer)))
    assert format_line(actions) == line
    assert parse_line(line) == actions


@pytest.mark.parametrize(
    ("text", "answer", "reason"),
    [
        ("corner lamp", "light.P brightness=30", "corner_lamp cannot brightness"),
        ("corner lamp", "fan.P on", "corner_lamp is a light, no fan"),
        ("corner lamp", "light.Q on", "Q stands for nothing that was said"),
        ("", "light.A on", "A stands for nothing that was said"),
        ("den", "lock.A unlock", "there is no lock"),
        ("den", "light.cellar on", "the home has no cellar"),
        ("den", "vacuum.all start", "there is no vacuum"),
        ("bedroom 2", "ac.A temperature=40", "5 to 32 degrees are possible"),
        ("kitchen", "light.A on; fan.A on", "there is no fan"),
        ("", "scene.sleepy", "the home has no such scene"),
        ("kitchen", "speaker.A channel=3", "speaker has no channel"),
    ],
)
def test_what_a_home_cannot_do(home, text, answer, reason):
    with pytest.raises(ValueError if "channel" in answer else NotInHome, match=reason):
        home.resolve(mark_names(text, home).restore(parse_line(answer)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there are no rooms"),
        ("rooms = 3", "field rooms is 3"),
        ("room.x = {}", "field room is not known"),
        ("[rooms]\nden = 3", r"rooms.den must be a table, as \[rooms.den\]"),
        ("[rooms.den]\nnames = 'x'", "rooms.den: field names is 'x', expected a list"),
        ("[rooms.den]\nnames = []", "rooms.den: it needs a name"),
        ("[rooms.Den]", "rooms.Den: an id is small letters"),
        ("[rooms.all]\nnames = ['attic']", "rooms.all: an id is"),
        ("[rooms.den]\nfloor = 'up'", "rooms.den: there is no floor 'up'"),
        ("[rooms.den]\nhas = ['lights']", "rooms.den: has 'lights', which is not a kind: light"),
        ("[rooms.den]\nnames = ['the lamp']", "'the lamp' is a word of commands"),
        ("[rooms.den]\nnames = ['?']", "the name '\\?' has no letters"),
        ("[rooms.den]\nnames = ['a b c d e f g']", "has more than 6 words"),
        ("[rooms.den]\n[rooms.nook]\nnames = ['The Den']", "rooms.nook and rooms.den are both"),
        ("[rooms.den]\n[floors.den]\nnames = ['up']", "rooms.den and floors.den: give one"),
        ("[rooms.den]\n[devices.x]\nkind = 'lamp'", "devices.x: kind 'lamp' is none of light"),
        ("[rooms.den]\n[devices.x1]\nkind = 'light'\nroom = 'attic'", "there is no room 'attic'"),
        ("[rooms.den]\n[devices.x1]\nkind = 'tv'\nnames = []", "devices.x1: it needs a name"),
        ("[rooms.den]\n[devices.x1]\nkind = 'fan'\ncan = ['fly']", "a fan cannot 'fly', only on"),
        ("temperature_unit = 'kelvin'\n[rooms.den]", "must be celsius or fahrenheit"),
    ],
)  # fmt: skip
def test_what_is_no_home(text, reason):
    with pytest.raises(HomeError, match=reason):
        parse_home(tomllib.loads(text))


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "home.toml"
    with pytest.raises(HomeError, match=r"home\.toml: cannot read the home: No such file"):
        load_home(path)
    path.write_text("rooms")
    with pytest.raises(HomeError, match=r"home\.toml: not a TOML file"):
        load_home(path)


def test_degrees_are_those_of_the_home():
    home = parse_home(tomllib.loads(f"temperature_unit = 'fahrenheit'\n{HOME}"))
    home.resolve(parse_line("heating.kitchen temperature=70"))
    with pytest.raises(NotInHome, match="41 to 90 degrees"):
        home.resolve(parse_line("heating.kitchen temperature=20"))


def test_satellites_are_in_rooms(home):
    assert (home.area_of("satellite-3"), home.area_of("other")) == ("den", "")


WORDS = st.sampled_from(["the", "corner", "lamp", "den", "kids", "room", "first", "floor", "two",
                         "bedroom", "of", "in", "on", "timer", "for", "kitchen", "2", "'s", "-"])


@given(st.lists(WORDS, max_size=12).map(" ".join))
def test_symbols_stand_for_what_the_text_named(text):
    home = parse_home(tomllib.loads(HOME))
    marked = mark_names(text, home)
    for symbol, id in {**marked.places, **marked.devices}.items():
        assert symbol in marked.text and symbol not in text
        assert id in {*home.rooms, *home.floors, *home.devices}
    assert list(marked.kinds) == list(marked.devices)
    assert mark_names(marked.text, home).text == marked.text


def test_every_name_of_a_home_is_found_in_a_command():
    home = default_home()
    for room in home.rooms.values():
        for name in room.names:
            marked = mark_names(f"turn on the light in the {name.upper()} now", home)
            assert marked.text == "turn on the light in the A now"
            assert marked.places == {"A": room.id}
