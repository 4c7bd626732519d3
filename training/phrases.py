"""How people ask each device for each action.

A pattern is plain text with choices in parentheses, "(turn|switch) on {target}", and slots:
{target} a device in a room ("the kitchen light"), {where} the room alone ("in the kitchen"),
{floor} the room as a thing ("the kitchen"), {value} the action's value. A pattern with {where} or
{floor} tells the device by its own words.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from training.spoken import Said, degrees, number, percentage
from training.vocabulary import COLOURS, FAN_SPEEDS, MUSIC

SWITCH_ON = (
    "(turn|switch|put) on {target}", "(turn|switch|put) {target} on", "{target} on",
    "(activate|enable|start) {target}", "(power up|fire up) {target}", "i need {target} on",
    "get {target} (running|going)",
)  # fmt: skip
SWITCH_OFF = (
    "(turn|switch|shut) off {target}", "(turn|switch|shut) {target} off", "{target} off",
    "(deactivate|disable|stop) {target}", "(power|shut) down {target}", "(kill|cut) {target}",
    "i do not need {target} (anymore|any more)",
)  # fmt: skip
STATE = (
    "(is|are) {target} (on|off|still on|running)", "did (i|we) leave {target} on",
    "(tell me|check) (if|whether) {target} (is|are) on", "what is the (state|status) of {target}",
    "is {target} (switched|turned) (on|off)", "(check|check on) {target}",
)  # fmt: skip
LOUDER = (
    "turn up {target}", "turn {target} up", "make {target} louder",
    "(raise|increase) the volume of {target}",
    "{target} louder", "i (can not|can't|cannot) hear {target}", "{target} is too quiet",
)  # fmt: skip
QUIETER = (
    "turn down {target}", "turn {target} down", "make {target} (quieter|softer)",
    "(lower|reduce|decrease) the volume of {target}", "{target} (quieter|softer)",
    "{target} is too loud",
)  # fmt: skip
VOLUME = (
    "(set|turn|put) {target} to volume {value}",
    "(set|change|put) the volume of {target} (to|at) {value}",
    "{target} volume {value}", "(raise|lower|turn) the volume of {target} to {value}",
    "volume {value} on {target}",
)  # fmt: skip
HOW_LOUD = (
    "how loud (is|are) {target}", "what is the volume of {target}",
    "what volume (is|are) {target} (at|set to)", "tell me the volume of {target}",
)  # fmt: skip
TEMPERATURE = (
    "(set|change|adjust|put|turn) {target} (to|at) {value}",
    "(set|change) the temperature of {target} to {value}", "{target} (at|to) {value}",
    "i want {target} (at|on) {value}", "(raise|lower|turn up|turn down|bring) {target} to {value}",
)  # fmt: skip


class Action(NamedTuple):
    """What a device does: `answer` as an action line has it, {value} being the value's slot."""

    device: str
    answer: str
    category: str
    patterns: tuple[str, ...]
    value: Callable[[Random], Said] | None = None


def one_of(table: dict[str, tuple[str, ...]]) -> Callable[[Random], Said]:
    """Draws an entry of `table`, said by one of its names."""
    entries = tuple(table.items())

    def drawn(random: Random) -> Said:
        value, names = random.choice(entries)
        return Said(random.choice(names), value)

    return drawn


def _channel(random: Random) -> Said:
    channel = random.randint(1, 99)
    return Said(number(random, channel), str(channel))


def _genre(random: Random) -> Said:
    genre = random.choice(MUSIC)
    return Said(genre, genre)


def _switched(device: str) -> tuple[Action, ...]:
    return (
        Action(device, "on", "switch", SWITCH_ON),
        Action(device, "off", "switch", SWITCH_OFF),
        Action(device, "state?", "question", STATE),
    )


def _thermal(device: str, warmer: tuple[str, ...], cooler: tuple[str, ...]) -> tuple[Action, ...]:
    return (
        Action(device, "temperature={value}", "level", TEMPERATURE, degrees),
        Action(device, "temperature=up", "step", (*warmer, "make {target} warmer")),
        Action(device, "temperature=down", "step", (*cooler, "make {target} cooler")),
    )


LIGHT = (
    Action("light", "brightness={value}", "level", (
        "(dim|set|change|adjust) {target} to {value}", "{target} (at|to) {value}",
        "(set|change) the brightness of {target} to {value}", "i want {target} at {value}",
        "(raise|lower|bring|turn) {target} to {value}", "make {target} {value} bright",
        "brightness of {target} (at|to) {value}",
    ), percentage),
    Action("light", "brightness=up", "step", (
        "make {target} brighter", "brighten {target}", "turn up {target}", "turn {target} up",
        "it is too dark {where}", "(i need|give me) more light {where}", "{target} brighter",
    )),
    Action("light", "brightness=down", "step", (
        "make {target} (dimmer|darker)", "dim {target}", "turn down {target}",
        "turn {target} down",
        "it is too bright {where}", "less light {where}", "{target} (dimmer|darker)",
    )),
    Action("light", "color={value}", "colour", (
        "(make|turn|set) {target} {value}", "(change|set|switch) {target} to {value}",
        "(change|set) the (color|colour) of {target} to {value}", "{value} light {where}",
        "(give me|i want) {value} light {where}", "{target} {value}", "i want {target} in {value}",
    ), one_of(COLOURS)),
    Action("light", "brightness?", "question", (
        "how bright (is|are) {target}", "what is the brightness of {target}",
        "tell me the brightness of {target}", "what brightness (is|are) {target} (at|set to)",
    )),
)  # fmt: skip

FAN = (
    Action("fan", "speed={value}", "level", (
        "(set|turn|put|switch) {target} (to|on) {value}",
        "(set|change) the speed of {target} to {value}",
        "{target} (on|to) {value}", "run {target} (on|at) {value}", "{target} at {value} speed",
    ), one_of(FAN_SPEEDS)),
    Action("fan", "speed=up", "step", (
        "make {target} faster", "speed up {target}", "turn up {target}", "turn {target} up",
    )),
    Action("fan", "speed=down", "step", (
        "make {target} slower", "slow down {target}", "turn down {target}", "turn {target} down",
    )),
)  # fmt: skip

BLINDS = (
    Action("blinds", "open", "switch", (
        "(open|raise|draw up) {target}", "open up {target}", "pull up {target}",
        "{target} (open|up)",
        "let the (sun|daylight) in {where}",
    )),
    Action("blinds", "close", "switch", (
        "(close|shut|lower) {target}", "pull down {target}", "{target} (closed|down)",
        "shut out the (sun|daylight) {where}", "i want {target} closed",
    )),
    Action("blinds", "position={value}", "level", (
        "(set|move|put|open|close) {target} to {value}", "{target} (at|to) {value}",
        "(raise|lower) {target} to {value}", "i want {target} at {value}",
        "set the position of {target} to {value}",
    ), percentage),
    Action("blinds", "state?", "question", (
        "(is|are) {target} (open|closed|shut)", "did (i|we) (open|close) {target}",
        "(tell me|check) (if|whether) {target} (is|are) (open|closed)",
        "what is the (state|status) of {target}", "(check|check on) {target}",
    )),
    Action("blinds", "position?", "question", (
        "how far (is|are) {target} open", "what is the position of {target}",
        "tell me the position of {target}",
    )),
)  # fmt: skip

HEATING = (
    *_thermal("heating", (
        "turn up {target}", "turn {target} up", "it is too cold {where}",
        "i am (cold|freezing) {where}",
        "make it warmer {where}",
    ), (
        "turn down {target}", "turn {target} down", "it is too (hot|warm) {where}",
        "make it (cooler|less warm) {where}",
    )),
    Action("heating", "temperature?", "question", (
        "what is the temperature {where}", "how (warm|cold|hot) is it {where}",
        "what is the temperature of {target}", "what (is|are) {target} set to",
        "tell me the temperature {where}",
    )),
)  # fmt: skip

TV = (
    Action("tv", "volume={value}", "level", VOLUME, percentage),
    Action("tv", "volume=up", "step", LOUDER),
    Action("tv", "volume=down", "step", QUIETER),
    Action("tv", "channel={value}", "level", (
        "(put|switch|set|turn|change) {target} to channel {value}", "channel {value} on {target}",
        "put channel {value} on {target}", "{target} channel {value}",
    ), _channel),
    Action("tv", "mute", "media", (
        "mute {target}", "silence {target}", "(take|turn) the sound off {target}",
        "no sound on {target}",
    )),
    Action("tv", "volume?", "question", HOW_LOUD),
)  # fmt: skip

SPEAKER = (
    Action("speaker", "volume={value}", "level", VOLUME, percentage),
    Action("speaker", "volume=up", "step", (*LOUDER, "the music {where} is too quiet")),
    Action("speaker", "volume=down", "step", (*QUIETER, "the music {where} is too loud")),
    Action("speaker", "volume?", "question", HOW_LOUD),
    Action("speaker", "play={value}", "media", (
        "play {value} {where}", "play (some|a bit of) {value} {where}",
        "put on (some|a little) {value} {where}",
        "i want to (hear|listen to) {value} {where}", "play {value} on {target}",
        "{value} music {where}", "(let us|let me) hear some {value} {where}",
    ), _genre),
    Action("speaker", "pause", "media", (
        "pause {target}", "pause the (music|song) {where}", "hold the music {where}",
        "pause playback {where}",
    )),
    Action("speaker", "next", "media", (
        "next (song|track) {where}", "skip (this song|this track|the song) {where}",
        "play the next (song|track) {where}", "next (song|track) on {target}",
    )),
)  # fmt: skip

LOCK = (
    Action("lock", "lock", "switch", (
        "lock {target}", "lock up {target}", "(bolt|secure) {target}",
        "make sure {target} (is|are) locked",
    )),
    Action("lock", "unlock", "switch", (
        "unlock {target}", "unbolt {target}", "take the lock off {target}",
        "i want {target} unlocked",
    )),
    Action("lock", "state?", "question", (
        "(is|are) {target} (locked|unlocked)", "did (i|we) lock {target}",
        "(check|check on) {target}",
        "(tell me|check) (if|whether) {target} (is|are) locked",
        "what is the (state|status) of {target}",
    )),
)  # fmt: skip

VACUUM = (
    Action("vacuum", "start", "switch", (
        "(vacuum|hoover) {floor}", "(start|run) {target}", "clean the floor {where}",
        "start (vacuuming|hoovering) {floor}", "{floor} (needs|need) vacuuming",
    )),
    Action("vacuum", "stop", "switch", (
        "stop (vacuuming|hoovering) {floor}", "(stop|halt) {target}",
        "stop cleaning the floor {where}",
        "no more vacuuming {where}",
    )),
    Action("vacuum", "state?", "question", (
        "is {target} (running|done|finished)", "did {target} finish",
        "(has|have) {floor} been vacuumed",
        "what is the (state|status) of {target}", "(check|check on) {target}",
    )),
)  # fmt: skip

_SWITCHED = ("light", "fan", "heating", "ac", "tv", "speaker", "plug")
ACTIONS: tuple[Action, ...] = (
    *(action for device in _SWITCHED for action in _switched(device)),
    *LIGHT, *FAN, *BLINDS, *HEATING, *TV, *SPEAKER, *LOCK, *VACUUM,
    *_thermal("ac", ("turn up {target}", "turn {target} up", "{target} is too cold"),
                    ("turn down {target}", "turn {target} down", "{target} is too warm")),
)  # fmt: skip
