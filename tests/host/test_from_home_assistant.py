"""Homes made of Home Assistant's registries."""

import json
import tomllib

import pytest

from host.home import __main__ as command
from host.home.from_home_assistant import Registries, import_home, read_registries
from host.home.home import HomeError
from host.home.home_file import load_home, parse_home
from host.home.marking import mark_names

AREAS = [
    {"id": "kitchen", "name": "Kitchen", "aliases": ["cook's corner"], "floor_id": "ground"},
    {"id": "nursery", "name": "Nursery", "aliases": [], "floor_id": None},
    {"id": "lamp", "name": "Lamp", "aliases": []},
]
FLOORS = [{"floor_id": "ground", "name": "Ground", "aliases": ["downstairs"], "level": 0}]
DEVICES = [
    {"id": "d1", "area_id": "nursery", "name": "Hue lamp", "name_by_user": "Night light"},
    {"id": "d2", "area_id": "kitchen", "name": "Satellite"},
]
ENTITIES = [
    {"entity_id": "light.kitchen", "area_id": "kitchen", "name": "Kitchen lights",
     "capabilities": {"supported_color_modes": ["onoff"]}, "aliases": []},
    {"entity_id": "light.hue", "device_id": "d1", "has_entity_name": True, "original_name": None,
     "aliases": ["moon", None], "capabilities": {"supported_color_modes": ["rgb"]}},
    {"entity_id": "switch.coffee", "area_id": "kitchen", "original_name": "Coffee maker"},
    {"entity_id": "switch.coffee_2", "area_id": "nursery", "original_name": "Coffee maker"},
    {"entity_id": "cover.garage", "original_device_class": "garage", "name": "Garage door",
     "supported_features": 3},
    {"entity_id": "cover.blind", "area_id": "nursery", "original_device_class": "blind",
     "name": "Nursery blind", "supported_features": 15},
    {"entity_id": "media_player.tv", "area_id": "kitchen", "device_class": "tv", "name": "TV"},
    {"entity_id": "climate.ac", "area_id": "nursery", "name": "Cooler",
     "capabilities": {"hvac_modes": ["off", "cool"]}},
    {"entity_id": "scene.film", "name": "Film evening"},
    {"entity_id": "sensor.door", "area_id": "kitchen", "name": "Door"},
    {"entity_id": "light.hidden", "area_id": "kitchen", "name": "Hidden", "hidden_by": "user"},
    {"entity_id": "light.off", "area_id": "kitchen", "name": "Gone", "disabled_by": "user"},
    {"entity_id": "switch.setting", "area_id": "kitchen", "entity_category": "config"},
    {"entity_id": "lock.secret", "area_id": "kitchen", "name": "Safe",
     "options": {"conversation": {"should_expose": False}}},
    {"entity_id": "light.lost", "name": "Light"},
    {"entity_id": "assist_satellite.k", "device_id": "d2", "entity_category": None},
]  # fmt: skip


@pytest.fixture
def storage(tmp_path):
    folder = tmp_path / ".storage"
    folder.mkdir()
    for name, key, rows in (
        ("area_registry", "areas", AREAS), ("floor_registry", "floors", FLOORS),
        ("device_registry", "devices", DEVICES), ("entity_registry", "entities", ENTITIES),
    ):  # fmt: skip
        content = {"version": 1, "minor_version": 8, "key": f"core.{name}", "data": {key: rows}}
        (folder / f"core.{name}").write_text(json.dumps(content))
    units = {"key": "core.config", "data": {"unit_system_v2": "us_customary"}}
    (folder / "core.config").write_text(json.dumps(units))
    return folder


def test_rooms_floors_and_devices_come_with_their_names(storage):
    found = import_home(read_registries([storage]))
    home = parse_home(found.fields)
    assert home.temperature_unit == "fahrenheit"
    assert home.rooms["kitchen"].names == ("Kitchen", "cook's corner")
    assert home.rooms["kitchen"].satellites == ("assist_satellite.k", "d2")
    assert home.floors[home.rooms["kitchen"].floor].names == ("Ground", "downstairs")
    devices = {each.home_assistant: each for each in home.devices.values()}
    assert set(devices) == {
        "light.kitchen", "light.hue", "switch.coffee", "switch.coffee_2", "cover.garage",
        "cover.blind", "media_player.tv", "climate.ac", "scene.film",
    }  # fmt: skip
    assert devices["light.kitchen"].names == ()  # what its room and kind say
    assert "brightness" not in devices["light.kitchen"].can
    assert devices["light.hue"].names == ("Night light", "moon")
    assert "color" in devices["light.hue"].can
    assert devices["switch.coffee_2"].names == ("Nursery Coffee maker",)
    assert devices["cover.garage"].kind == "gate" and "stop" not in devices["cover.garage"].can
    assert devices["cover.blind"].kind == "blinds" and devices["cover.blind"].names == ()
    assert devices["media_player.tv"].kind == "tv" and devices["climate.ac"].kind == "ac"
    assert found.left_out == [
        "area Lamp: the name 'Lamp' is a word of commands, or too long",
        "area Lamp: none of its names can be used",
        "light.lost: it has no area and no name that can be used",
    ]


def test_its_names_are_heard_in_commands(storage):
    home = parse_home(import_home(read_registries([storage])).fields)
    marked = mark_names("dim the moon in the cook's corner downstairs", home)
    assert marked.text == "dim the light P in the A B"
    assert list(marked.places.values()) == ["kitchen", "ground_floor"]


def test_one_file_with_all_lists_will_do(tmp_path):
    file = tmp_path / "home.json"
    file.write_text(json.dumps({"areas": [{"area_id": "x", "name": "Küche"}], "entities": [
        {"entity_id": "light.a", "area_id": "x", "name": "2nd lamp"}]}))  # fmt: skip
    home = parse_home(import_home(read_registries([file])).fields)
    assert home.rooms["kuche"].names == ("Küche",) and home.devices["n2nd_lamp"].room == "kuche"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "not a JSON file"),
        ("[]", "not a registry of Home Assistant"),
        ('{"areas": 3}', "areas must be a list of objects"),
        ("{}", "no areas were found: give Home Assistant's folder .storage"),
    ],
)
def test_what_is_no_registry(tmp_path, content, reason):
    file = tmp_path / "file"
    file.write_text(content)
    with pytest.raises(HomeError, match=reason):
        read_registries([file])
    with pytest.raises(HomeError, match="there is no core"):
        read_registries([tmp_path])


def test_an_empty_registry_makes_an_empty_home():
    assert import_home(Registries()).fields == {"rooms": {}}


def test_the_command_writes_a_file_that_check_takes_and_no_other(storage, tmp_path, capsys):
    file = tmp_path / "home.toml"
    assert command.main(["from-homeassistant", str(storage), "-o", str(file)]) == 0
    assert "left out: light.lost" in capsys.readouterr().err
    assert command.main(["from-homeassistant", str(storage)]) == 0
    assert tomllib.loads(capsys.readouterr().out) == tomllib.loads(file.read_text())
    assert command.main(["check", str(file)]) == 0
    out = capsys.readouterr().out
    assert 'light hue' not in out and 'light night_light in nursery: "Night light", "moon"' in out
    assert "2 rooms, 9 devices: no name is anybody else's too" in out
    assert load_home(file).rooms.keys() == {"kitchen", "nursery"}
    assert command.main(["from-homeassistant", str(storage), "-o", str(file)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {file} is there already: name another file"
    )


def test_check_says_all_that_is_wrong(tmp_path, capsys):
    file = tmp_path / "home.toml"
    file.write_text('[rooms.den]\nnames = ["light"]\n[rooms.x1]\n[rooms.x2]\nnames = ["X1"]\n')
    assert command.main(["check", str(file)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "rooms.den: 'light' is a word of commands" in line and "rooms.x2 and rooms.x1" in line
    assert command.main(["check"]) == 0 and "14 rooms" in capsys.readouterr().out
