"""The grammar that writes commands, and the one that reads their answers, speak of one home."""

from itertools import islice

from host.grammar import devices as home
from host.grammar.action_lines import format_line, parse_line
from host.home.home_file import default_home
from training import vocabulary
from training.grammar import LASTING, SEED, Grammar
from training.home import ALL, HERE

COMMANDS = 20_000


def test_every_answer_that_training_has_is_an_action_line() -> None:
    lines = {command.action for command in islice(Grammar(SEED).commands(), COMMANDS)}
    assert all(format_line(parse_line(line)) == line for line in lines)


def test_names_are_the_same() -> None:
    rooms = {room.id: room.names for room in default_home().rooms.values()}
    assert rooms == vocabulary.ROOMS and {ALL, HERE} == {home.ALL, home.HERE}
    assert set(vocabulary.SCENES) == home.SCENES
    assert set(vocabulary.TIMERS) == home.TIMERS
    assert tuple(vocabulary.COLOURS) == home.COLOURS and home.MUSIC == vocabulary.MUSIC
    assert vocabulary.DEVICES.keys() == home.DEVICES.keys()
    has = {*vocabulary.DEVICES} - {"gate", "security"}  # of which few homes have one
    assert all({*room.has} == has for room in default_home().rooms.values())
    assert set(LASTING) == home.LASTING
