"""What is said to no device: timers, alarms and scenes, and what the home cannot do."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from training.home import Clause, Combination, chosen, is_imperative
from training.split import is_held_out
from training.spoken import duration, time_of_day
from training.vocabulary import (
    COUNTRIES,
    DEVICES,
    FOODS,
    PEOPLE,
    ROOMS,
    SCENE_SAYINGS,
    SCENES,
    STRANGE_PLACES,
    STRANGE_THINGS,
    STRANGE_VERBS,
    TIMERS,
    TOPICS,
)

UNKNOWN = "unknown"
# The key of what no other words say: training has to see it, and its hash lies on that side.
NEVER_HELD_OUT: Combination = ("never held out",)

# What a draw gives: text, action, category, key, and whether it goes on from "could you".
Drawn = tuple[str, str, str, Combination, bool]

TIMER_STARTS = (
    "(set|start) a {name}timer for {value}", "{name}timer for {value}", "time {value}{for_name}",
    "(set|start) the {name}timer to {value}", "give me a {name}timer of {value}",
    "a {name}timer for {value}", "count down {value}{for_name}", "new {name}timer {value}",
)  # fmt: skip
TIMER_CANCELS = (
    "(cancel|stop|delete) the {name}timer", "turn off the {name}timer", "no more {name}timer",
    "forget the {name}timer",
)  # fmt: skip
TIMER_QUESTIONS = (
    "how (long|much time) is left on the {name}timer",
    "how long until the {name}timer (ends|rings)",
    "check the {name}timer", "when does the {name}timer (end|ring)",
)  # fmt: skip
ALARM_STARTS = (
    "wake me (up|) at {value}", "set an alarm for {value}", "(set|put) the alarm (to|for) {value}",
    "alarm at {value}", "i (need|have|want) to (wake|get) up at {value}",
    "i need an alarm at {value}",
    "get me up at {value}",
)  # fmt: skip
ALARM_CANCELS = (
    "(cancel|delete|remove) (my|the) alarm", "turn off (my|the) alarm", "no alarm",
    "forget the alarm",
)  # fmt: skip
ALARM_QUESTIONS = (
    "when is my alarm", "what time is (my|the) alarm set for", "is (my|the) alarm (on|set)",
    "when do you wake me up", "check my alarm",
)  # fmt: skip
SCENE_STARTS = (
    "(activate|start|run) the {name} scene", "(set|switch to|turn on) {name} mode", "{name} scene",
    "(start|activate) {name}", "{name} mode", "set the scene (to|for) {name}",
    "i want the {name} scene",
    "get the house ready for {name}", "(set up|prepare) the {name} scene",
    "{name} lights and music",
)  # fmt: skip
STRANGE = (
    "what is the capital of {country}", "how far is {country}", "book a flight to {country}",
    "what is the weather (like|) in {country}", "what time is it in {country}",
    "i want to go to {country}",
    "who is {person}", "how old is {person}", "(call|text|email) {person}",
    "send a message to {person}",
    "where is {person}", "did {person} call", "order (a|some|) {food}", "how do i cook {food}",
    "add {food} to the shopping list", "do we (need|have) {food}", "what goes well with {food}",
    "tell me {topic}", "(read|show) me {topic}", "what do you know about {topic}",
    "i love {topic}",
    "(turn|switch) on the {thing}", "(turn|switch) off the {thing}", "is the {thing} on",
    "(start|stop) the {thing}", "set the {thing} to {number}", "where is the {thing}",
    "open the {thing}", "(turn|switch) {thing} off", "how much is a {thing}",
    "the {room} {thing} on",
    "(turn|switch) on the {room} {thing}", "(turn|switch) off the {thing} in the {room}",
    "close the {thing} in the {room}", "turn {on} the {device} in the {place}",
    "turn {on} the {place} {device}", "is the {device} in the {place} on", "{place} {device} {on}",
    "{verb} the {device}", "{verb} the {room} {device}", "{verb} the {device} in the {room}",
    "{verb} {food}", "{verb} the {thing}", "{verb} {person}", "(why|how) is the {thing} {verb}",
    "turn {on} the {nonsense}", "{nonsense} {nonsense}", "set the {nonsense} to {number}",
    "turn on the {room} {nonsense}", "{nonsense} the {room} {device}", "{nonsense} the {thing}",
    "open the {nonsense} in the {room}", "what is {nonsense}", "{nonsense}", "do you like {food}",
    "what is {number} (plus|minus|times) {number}", "the {room}", "turn {on} the",
    "set the {room}",
    "what is the weather (today|tomorrow|like)", "how are you", "what is your name", "{topic}",
    "is it going to rain (today|tomorrow)", "sing a song about {person}",
    "translate {food} to {country}",
)  # fmt: skip


class Sayings:
    """Draws clauses of one side of the split that are said to no device."""

    def __init__(self, random: Random, held_out: bool) -> None:
        self.random, self.held_out = random, held_out
        self._slots: dict[str, Callable[[], str]] = {
            "country": lambda: random.choice(COUNTRIES),
            "person": lambda: random.choice(PEOPLE),
            "food": lambda: random.choice(FOODS),
            "topic": lambda: random.choice(TOPICS),
            "thing": lambda: random.choice(STRANGE_THINGS),
            "place": lambda: random.choice(STRANGE_PLACES),
            "verb": lambda: random.choice(STRANGE_VERBS),
            "room": lambda: random.choice(random.choice(tuple(ROOMS.values()))),
            "device": lambda: random.choice(random.choice(tuple(DEVICES.values())).singular),
            "on": lambda: random.choice(("on", "off")),
            "number": lambda: str(random.randint(1, 100)),
            "nonsense": lambda: nonsense(random),
        }

    def timer(self) -> Clause:
        """A timer or an alarm: started, cancelled or asked for."""
        kind = self.random.random()
        if kind < 0.5:
            return self._drawn(self._timer_start)
        if kind < 0.85:
            return self._drawn(self._alarm)
        return self._drawn(self._timer_without_value)

    def scene(self) -> Clause:
        """A scene by its name, or, in training, by a saying that has no other words."""
        if not self.held_out and self.random.random() < 0.4:
            scene = self.random.choice(tuple(SCENES))
            text = self.random.choice(SCENE_SAYINGS[scene])
            return Clause(text, f"scene.{scene}", "scene", frozenset(), imperative=False)
        return self._drawn(self._scene)

    def unknown(self) -> Clause:
        """What no device of the home can do."""
        return self._drawn(self._unknown)

    def _drawn(self, draw: Callable[[], Drawn]) -> Clause:
        """What `draw` gives, drawn until it lies on this side of the split."""
        while True:
            text, action, category, key, imperative = draw()
            if is_held_out(*key) == self.held_out:
                words = " ".join(text.split())
                return Clause(words, action, category, frozenset((key,)), imperative)

    def _name(self) -> tuple[str, str]:
        """A timer's name, perhaps none, as it is said and as an action line has it."""
        name = "" if self.random.random() < 0.4 else self.random.choice(TIMERS)
        return name, f"timer.{name}" if name else "timer"

    def _timer_start(self) -> Drawn:
        (name, device), said = self._name(), duration(self.random)
        pattern = self.random.choice(TIMER_STARTS)
        text = chosen(self.random, pattern).format(
            name=f"{name} " if name else "",
            for_name=f" for the {name}" if name else "",
            value=said.text,
        )
        key = ("timer", pattern, name, said.value)
        return text, f"{device} start={said.value}", "timer", key, is_imperative(pattern)

    def _timer_without_value(self) -> Drawn:
        (name, device), named = self._name(), self.random.random() < 0.7
        cancels = self.random.random() < 0.5
        patterns: tuple[str, ...] = TIMER_CANCELS if cancels else TIMER_QUESTIONS
        if not named:
            device, name, patterns = "alarm", "", ALARM_CANCELS if cancels else ALARM_QUESTIONS
        pattern = chosen(self.random, self.random.choice(patterns))
        text = pattern.format(name=f"{name} " if name else "")
        question = "at?" if device == "alarm" else "remaining?"
        # Few words tell these apart, so only named timers are held out.
        key: Combination = ("timer", pattern, name) if name else NEVER_HELD_OUT
        return text, f"{device} {'cancel' if cancels else question}", "timer", key, cancels

    def _alarm(self) -> Drawn:
        pattern, said = self.random.choice(ALARM_STARTS), time_of_day(self.random)
        text = chosen(self.random, pattern).format(value=said.text)
        key = ("alarm", pattern, said.value)
        return text, f"alarm at={said.value}", "timer", key, is_imperative(pattern)

    def _scene(self) -> Drawn:
        scene, pattern = self.random.choice(tuple(SCENES)), self.random.choice(SCENE_STARTS)
        text = chosen(self.random, pattern).format(name=self.random.choice(SCENES[scene]))
        return text, f"scene.{scene}", "scene", ("scene", pattern, scene), is_imperative(pattern)

    def _unknown(self) -> Drawn:
        pattern = self.random.choice(STRANGE)
        text = chosen(self.random, pattern)
        while "{" in text:
            slot = text[text.index("{") + 1 : text.index("}")]
            text = text.replace(f"{{{slot}}}", self._slots[slot](), 1)
        if "{" not in pattern:
            return text, UNKNOWN, UNKNOWN, NEVER_HELD_OUT, False
        return text, UNKNOWN, UNKNOWN, (UNKNOWN, text), is_imperative(pattern)


def nonsense(random: Random) -> str:
    """A word that is none."""
    syllables = (
        random.choice(("b", "d", "fl", "g", "gr", "k", "m", "n", "p", "qu", "sn", "t", "v", "z"))
        + random.choice(("a", "e", "i", "o", "u", "oo"))
        + random.choice(("b", "ck", "ff", "g", "ll", "m", "n", "rp", "x", "zz"))
        for _ in range(random.randint(1, 3))
    )
    return "".join(syllables)
