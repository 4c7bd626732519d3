"""Forty names that nobody trained for, in five templates each, with the model that ships.

A model that knows a home's names by symbols has no names in its training; these are in no list of
ours, so that what is judged is how they are found, and what the model makes of their symbols.
"""

import pytest

from host.generation.evaluation import judge_in_integers
from host.home.home import Device, Home, Room
from host.model.loading import LoadedModel, load_model
from host.model.prompt_format import SYMBOLS
from host.paths import HOME_MODEL

PLACES = (
    "scullery", "orangery", "mud room", "wine cave", "crow's nest", "sunroom", "bothy", "annexe",
    "music den", "boot hall", "solarium", "craft nook", "darkroom", "gallery", "pantry two",
    "granny flat", "ski room", "hobbit hole", "tack room", "belvedere",
)  # fmt: skip
DEVICES = (
    ("salt lamp", "light"), ("globe", "light"), ("fairy lights", "light"), ("lava lamp", "light"),
    ("reading spot", "light"), ("swan", "light"), ("coffee grinder", "plug"),
    ("fish tank", "plug"), ("lathe", "plug"), ("mosquito trap", "plug"), ("kiln", "plug"),
    ("bow window", "blinds"), ("roman shade", "blinds"), ("skylight", "blinds"),
    ("cyclone", "fan"), ("punkah", "fan"), ("postern", "lock"), ("stable door", "lock"),
    ("woofer", "speaker"), ("gramophone", "speaker"),
)  # fmt: skip
OF_PLACE = (
    ("turn off the lights in the {}", "light.{} off"),
    ("switch on the {} light", "light.{} on"),
    ("close the blinds in the {}", "blinds.{} close"),
    ("set the {} lights to forty percent", "light.{} brightness=40"),
    ("is the light in the {} on", "light.{} state?"),
)
_SWITCHED = (
    ("turn on the {}", "on"), ("turn the {} off", "off"), ("switch on the {} please", "on"),
    ("turn off the {} in ten minutes", "off in=10m"), ("is the {} on", "state?"),
)  # fmt: skip
OF_KIND = {
    "light": (*_SWITCHED[:3], ("dim the {} to thirty percent", "brightness=30"),
              ("make the {} blue", "color=blue")),
    "plug": _SWITCHED,
    "fan": _SWITCHED,
    "blinds": (("open the {}", "open"), ("close the {}", "close"), ("is the {} open", "state?"),
               ("set the {} to fifty percent", "position=50"),
               ("close the {} at seven in the evening", "close at=19:00")),
    "lock": (("lock the {}", "lock"), ("unlock the {}", "unlock"), ("is the {} locked", "state?"),
             ("could you lock the {}", "lock"), ("lock the {} in five minutes", "lock in=5m")),
    "speaker": (("turn on the {}", "on"), ("turn the {} off", "off"), ("pause the {}", "pause"),
                ("set the {} volume to twenty percent", "volume=20"),
                ("turn up the volume of the {}", "volume=up")),
}  # fmt: skip
GOAL = 0.9


def slug(name: str) -> str:
    return name.replace("'", "").replace(" ", "_")


HOME = Home(
    {slug(name): Room(slug(name), (name,), has=("light", "blinds")) for name in PLACES},
    devices={
        slug(name): Device(slug(name), kind, slug(PLACES[at]), (name,), can_do)
        for at, (name, kind) in enumerate(DEVICES)
        for can_do in [tuple({each.split("=")[0].split()[0].rstrip("?")
                              for _, each in OF_KIND[kind]})]
    },
)  # fmt: skip


def commands() -> list[tuple[str, str]]:
    found = [
        (said.format(name), line.format(slug(name))) for name in PLACES for said, line in OF_PLACE
    ]
    return found + [
        (said.format(name), f"{kind}.{slug(name)} {doing}")
        for name, kind in DEVICES
        for said, doing in OF_KIND[kind]
    ]


@pytest.fixture(scope="module")
def source() -> LoadedModel:
    source = load_model(HOME_MODEL)
    if source.prompt_format.names != SYMBOLS:
        pytest.skip("the model that ships knows names of its training, and no symbols")
    return LoadedModel(
        source.weights, source.tokenizer, source.prompt_format.at_home(HOME), source.own_text
    )


def right(source: LoadedModel, judged: list[tuple[str, str]]) -> float:
    answers = judge_in_integers(source, [said for said, _ in judged])
    wrong = [(said, answer.text, answer.refused)
             for (said, line), answer in zip(judged, answers, strict=True)
             if answer.text != line]  # fmt: skip
    print(*wrong, sep="\n")
    return 1 - len(wrong) / len(judged)


def test_there_are_forty_names_in_five_templates() -> None:
    assert len(PLACES) + len(DEVICES) == 40 and len(commands()) == 200


def test_a_slice_of_commands_with_new_names(source: LoadedModel) -> None:
    assert right(source, commands()[::7]) >= GOAL


@pytest.mark.verify
def test_commands_with_new_names(source: LoadedModel) -> None:
    assert right(source, commands()) >= GOAL
