"""Action lines as intents, with Home Assistant's own lists and its own recognizer as oracles."""

import importlib.resources
import json
import tomllib
from datetime import datetime

import pytest
from hassil import Intents, recognize_best
from hassil.intents import TextSlotList

from host.grammar.devices import DEVICES
from host.home.home_file import default_home, parse_home
from host.serving.intents import HomeIntent, IntentTable, NoIntent

DATA = importlib.resources.files("home_assistant_intents")
KNOWN = json.loads(DATA.joinpath("intents.json").read_text(encoding="utf-8"))
ROOM = "living_room"
EVENING = datetime(2026, 3, 1, 19, 15, 30)
# What Home Assistant's intents have nothing for.
WITHOUT_INTENT = {
    "light brightness=up", "light brightness=down", "light brightness?", "fan speed=up",
    "fan speed=down", "blinds position?", "blinds position=up", "blinds position=down",
    "blinds stop", "heating state?", "ac state?",
    *(f"{kind} toggle"
      for kind in ("light", "fan", "blinds", "heating", "ac", "tv", "speaker", "plug")),
    *(f"{kind} temperature={word}"
      for kind in ("heating", "ac") for word in ("up", "down", "min", "max")),
    *(f"{kind} {verb}"
      for kind in ("tv", "speaker") for verb in ("state?", "volume?", "mute", "unmute", "stop")),
    *(f"tv channel={value}" for value in (1, "up", "down")),
    "vacuum state?", "vacuum pause", "vacuum resume", "lock unlock", "gate open", "gate stop",
    *(f"security {verb}" for verb in ("arm", "disarm", "state?")),
}  # fmt: skip


@pytest.fixture(scope="module")
def table():
    return IntentTable.load(clock=lambda: EVENING)


@pytest.fixture(scope="module")
def recognizer():
    """Home Assistant's recognizer with its English sentences, for a home with our rooms."""
    data = json.loads(DATA.joinpath("data", "en.json").read_text(encoding="utf-8"))
    rooms = [room.replace("_", " ") for room in sorted(default_home().rooms)]
    lists = {
        "area": TextSlotList.from_strings(rooms, name="area"),
        "name": TextSlotList.from_strings([], name="name"),
        "floor": TextSlotList.from_strings([], name="floor"),
    }
    intents = Intents.from_dict(data)

    def recognize(sentence):
        found = recognize_best(sentence, intents, slot_lists=lists, best_slot_name="area")
        return HomeIntent(found.intent.name, {e.name: e.value for e in found.entities_list})

    return recognize


def actions():
    """Every device with every verb, a number and all words of each."""
    for device, doings in DEVICES.items():
        for verb, doing in doings.items():
            if doing.stands_alone:
                yield f"{device} {verb}"
            if doing.is_asked:
                yield f"{device} {verb}?"
            numbers = [doing.numbers[0]] if doing.numbers else []
            for value in (*numbers, *doing.words):
                yield f"{device} {verb}={value}"


def in_room(action, room=ROOM):
    device, doing = action.split(" ")
    return f"{device}.{room} {doing}"


def translatable(table):
    for action in actions():
        if action not in WITHOUT_INTENT:
            yield action, table.translate(in_room(action))


def test_every_action_is_an_intent_with_slots_that_home_assistant_has(table):
    for action, intents in translatable(table):
        for intent in intents:
            known = KNOWN[intent.name]
            assert set(intent.slots) <= set(known["slots"]), action
            combinations = [set(each["slots"]) for each in known["slot_combinations"].values()]
            assert set(intent.slots) in combinations, (action, intent)
            assert intent.slots["area"] == "living room"


def test_what_has_no_intent_is_not_recognized(table):
    for action in actions():
        if action in WITHOUT_INTENT:
            with pytest.raises(NoIntent):
                table.translate(in_room(action))


def test_sentences_that_timers_say_are_what_home_assistant_takes_for_the_same(table, recognizer):
    said = 0
    for (device, verb), row in table.rows.items():
        if row.say:
            value = "=30" if row.value and device != "heating" else "=20" if row.value else ""
            line = in_room(f"{device} {verb}{value}")
            (now,) = table.translate(line)
            (later,) = table.translate(f"{line} in=20m")
            assert later.name == "HassStartTimer" and later.slots["minutes"] == 20
            sentence = later.slots["conversation_command"]
            assert recognizer(sentence) == now, sentence
            said += 1
    assert said > 12


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("unknown", []),
        ("light.kitchen off", [("HassTurnOff", {"area": "kitchen", "domain": "light"})]),
        ("light.all off", [("HassTurnOff", {"domain": "light"})]),
        ("light.here on", [("HassTurnOn", {"area": "attic", "domain": "light"})]),
        (
            "light.bedroom color=warm_white",
            [("HassLightSet", {"area": "bedroom", "domain": "light", "temperature": 2700})],
        ),
        (
            "heating.office temperature=21; tv.office volume=down",
            [
                ("HassClimateSetTemperature", {"area": "office", "temperature": 21}),
                ("HassSetVolumeRelative", {"area": "office", "volume_step": "down"}),
            ],
        ),
        ("fan.office speed=low", [("HassFanSetSpeed", {"area": "office", "percentage": 33})]),
        (
            "timer.pasta start=1h12m",
            [("HassStartTimer", {"hours": 1, "minutes": 12, "name": "pasta"})],
        ),
        ("timer start=90s", [("HassStartTimer", {"minutes": 1, "seconds": 30})]),
        ("timer cancel", [("HassCancelTimer", {})]),
        ("timer.egg remaining?", [("HassTimerStatus", {"name": "egg"})]),
        (
            "alarm at=06:30",
            [("HassStartTimer", {"hours": 11, "minutes": 14, "seconds": 30, "name": "alarm"})],
        ),
        ("alarm cancel", [("HassCancelTimer", {"name": "alarm"})]),
        ("scene.movie", [("HassTurnOn", {"name": "movie", "domain": "scene"})]),
        (
            "fan.office on for=1h30m",
            [
                ("HassTurnOn", {"area": "office", "domain": "fan"}),
                (
                    "HassStartTimer",
                    {
                        "hours": 1, "minutes": 30,
                        "conversation_command": "turn off the fans in the office",
                    },
                ),
            ],
        ),
        (
            "blinds.office close at=19:16",
            [
                (
                    "HassStartTimer",
                    {"seconds": 30, "conversation_command": "close the blinds in the office"},
                )
            ],
        ),
    ],
)  # fmt: skip
def test_lines(table, line, expected):
    found = table.translate(line, area="attic")
    assert [(intent.name, intent.slots) for intent in found] == expected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("light.here off", "which room? Say its name, or start the server with --area"),
        ("light.attic off; lock.attic unlock", "lock.attic unlock is not done by voice here"),
        ("light.all off in=5m", "Home Assistant cannot do light.all off in=5m later"),
        ("tv.office on in=5m", "Home Assistant cannot do tv.office on in=5m later"),
        ("vacuum.office start for=5m", "Home Assistant cannot start for some time only"),
    ],
)
def test_what_is_not_to_be_done_says_why(table, line, reason):
    with pytest.raises(NoIntent) as caught:
        table.translate(line)
    assert str(caught.value).startswith(reason)


def test_unlocking_is_an_option():
    table = IntentTable.load(may_unlock=True)
    (intent,) = table.translate("lock.hallway unlock")
    assert (intent.name, intent.slots) == ("HassTurnOff", {"area": "hallway", "domain": "lock"})


HOME = """
[floors.upstairs]
home_assistant = "Upper floor"
[rooms.den]
names = ["den"]
floor = "upstairs"
has = ["light", "speaker"]
satellites = ["assist_satellite.den"]
home_assistant = "The Den"
[rooms.loft]
floor = "upstairs"
has = ["light", "speaker", "lock"]
[devices.floor_lamp]
kind = "light"
room = "den"
names = ["floor lamp"]
home_assistant = "light.floor_lamp"
[devices.shed_door]
kind = "lock"
[devices.hifi]
kind = "speaker"
room = "den"
names = ["hi-fi"]
[devices.film_evening]
kind = "scene"
home_assistant = "scene.film"
[devices.garage_door]
kind = "gate"
home_assistant = "cover.garage"
"""


@pytest.fixture(scope="module")
def own():
    home = parse_home(tomllib.loads(HOME))
    return IntentTable.load(may_unlock=True, clock=lambda: EVENING, home=home)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("light.den off", [("HassTurnOff", {"area": "The Den", "domain": "light"})]),
        ("light.loft off", [("HassTurnOff", {"area": "loft", "domain": "light"})]),
        ("light.floor_lamp brightness=30",
         [("HassLightSet", {"name": "light.floor_lamp", "brightness": 30})]),
        ("light.upstairs on", [("HassTurnOn", {"floor": "Upper floor", "domain": "light"})]),
        ("speaker.upstairs pause",
         [("HassMediaPause", {"area": "The Den"}), ("HassMediaPause", {"area": "loft"})]),
        ("speaker.hifi mute", [("HassMediaPlayerMute", {"name": "hi-fi"})]),
        ("everything.den off",
         [("HassTurnOff", {"area": "The Den", "domain": "light"}),
          ("HassTurnOff", {"area": "The Den", "domain": "media_player"})]),
        ("lock.shed_door unlock", [("HassTurnOff", {"name": "shed door"})]),
        ("gate.garage_door open", [("HassTurnOn", {"name": "cover.garage"})]),
        ("scene.film_evening", [("HassTurnOn", {"name": "scene.film"})]),
        ("light.floor_lamp on for=5m",
         [("HassTurnOn", {"name": "light.floor_lamp"}),
          ("HassStartTimer", {"minutes": 5, "conversation_command": "turn off floor lamp"})]),
        ("timer.all cancel", [("HassCancelAllTimers", {})]),
        ("timer.egg add=1h5m",
         [("HassIncreaseTimer", {"hours": 1, "minutes": 5, "name": "egg"})]),
    ],
)  # fmt: skip
def test_a_home_of_ones_own_is_called_as_home_assistant_calls_it(own, line, expected):
    found = own.translate(line)
    assert [(intent.name, intent.slots) for intent in found] == expected
    for intent in found:
        combinations = KNOWN[intent.name]["slot_combinations"].values()
        assert set(intent.slots) <= set(KNOWN[intent.name]["slots"])
        if intent.name != "HassStartTimer":
            assert set(intent.slots) in [set(each["slots"]) for each in combinations], intent


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("speaker.den mute", "Home Assistant has no intent for speaker.den mute: name a device"),
        ("alarm at=07:00 day=tomorrow", "Home Assistant has no intent for alarm"),
        ("light.den on at=07:00 every=mon", "Home Assistant cannot do light.den on"),
        ("alarm stop", "Home Assistant has no intent for alarm stop"),
        ("timer.all pause", "Home Assistant has no intent for timer.all pause"),
        ("light.cellar on", "light.cellar on: the home has no cellar"),
        ("light.floor_lamp brightness=30 in=5m", "Home Assistant cannot do light.floor_lamp"),
    ],
)
def test_what_of_it_is_not_to_be_done_says_why(own, line, reason):
    with pytest.raises(NoIntent) as caught:
        own.translate(line)
    assert str(caught.value).startswith(reason)


def test_satellites_have_the_areas_of_their_rooms(own):
    assert own.area_of("assist_satellite.den") == own.area_of("den") == "The Den"
    assert own.area_of("elsewhere") == ""
