"""English sentences for Home Assistant's intents, each with its action line.

The sentences are templates of the package home-assistant-intents, CC BY 4.0, by the authors of
Home Assistant (https://github.com/OHF-Voice/intents), parsed to trees by hassil; a sentence is a
random walk through a tree. Areas and floors are places of the home, or places that it lacks; names
are those of devices. Sentences that action lines cannot express are answered by "unknown".
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from hassil.expression import (
    Alternative,
    Expression,
    Group,
    ListReference,
    Permutation,
    RuleReference,
    TextChunk,
)
from hassil.parse_expression import parse_sentence

from host.grammar.action_lines import GrammarError, parse_line
from training.home import PLACES, Clause
from training.intent_tables import (
    COMMANDS,
    COVERS,
    IMPERATIVES,
    KINDS,
    MEANT,
    OPENED,
    OTHER_SHARE,
    QUESTIONS,
    TIMER_VERBS,
    UNKNOWN,
    VERBS,
    WEIGHTS,
)
from training.nonsense import nonsense
from training.spoken import number
from training.vocabulary import ALL, COLOURS, DEVICES, HERE, SCENES, TIMERS, words


class Template(NamedTuple):
    """A sentence template: its intent, the slots that it sets itself, and the context that it
    requires."""

    intent: str
    expression: Expression
    slots: dict[str, Any]
    context: dict[str, Any]


class _Unsayable(Exception):
    """A sentence that cannot be labelled with certainty."""


class Intents:
    """Draws clauses of Home Assistant's sentences."""

    def __init__(self, random: Random, other_place: Callable[[], str]) -> None:
        self.random, self._other_place = random, other_place
        data = json.loads(
            importlib.resources.files("home_assistant_intents")
            .joinpath("data", "en.json")
            .read_text(encoding="utf-8")
        )
        self._rules = {
            name: parse_sentence(text).expression for name, text in data["expansion_rules"].items()
        }
        self._values: dict[str, dict[str, Any]] = data["lists"]
        self._templates: dict[str, list[Template]] = {}
        for intent, parts in data["intents"].items():
            self._templates[intent] = [
                Template(
                    intent,
                    parse_sentence(text).expression,
                    part.get("slots", {}),
                    part.get("requires_context", {}),
                )
                for part in parts["data"]
                for text in part["sentences"]
            ]
        self._names, self._titles, self._people = (
            words("light_names") + words("things"),
            words("media_titles"),
            words("people"),
        )
        self._foods, self._nouns, self._topics = words("foods"), words("nouns"), words("topics")
        self._drawn: dict[str, Any] = {}
        self._template: Template | None = None

    def clause(self) -> Clause:
        """Returns one of Home Assistant's sentences."""
        weights = [WEIGHTS.get(intent, 1) for intent in self._templates]
        while True:
            (intent,) = self.random.choices(tuple(self._templates), weights)
            self._template = template = self.random.choice(self._templates[intent])
            self._drawn = {}
            text = " ".join(self._walk(template.expression).split()).lower()
            try:
                line = self._line(template, text)
                if line != UNKNOWN:
                    parse_line(line.replace("@", ""))
            except (_Unsayable, GrammarError):
                continue
            if text:
                return Clause(text, line, "intent", frozenset(), text.split()[0] in IMPERATIVES)

    def _walk(self, expression: Expression) -> str:
        """Returns a sentence from a tree."""
        random = self.random
        if isinstance(expression, TextChunk):
            return expression.original_text
        if isinstance(expression, RuleReference):
            return self._walk(self._rules[expression.rule_name])
        if isinstance(expression, ListReference):
            return f"{expression.prefix or ''}{self._value(expression)}{expression.suffix or ''}"
        if not isinstance(expression, Group):
            raise TypeError(expression)
        if isinstance(expression, Alternative):
            return self._walk(random.choice(expression.items))
        items = list(expression.items)
        if isinstance(expression, Permutation):
            random.shuffle(items)
            return " ".join(map(self._walk, items))
        return "".join(map(self._walk, items))

    def _value(self, reference: ListReference) -> str:
        """Returns a value of a list, and keeps it for the action line."""
        random, slot, name = self.random, reference.slot_name, reference.list_name
        if name in ("area", "floor"):
            other = random.random() < OTHER_SHARE
            said = self._other_place() if other else f"@{random.choice(PLACES)}"
            self._drawn["place"] = None if other else said
            return said
        if name == "name":
            return self._device()
        table = self._values.get(name)
        if table is None or table.get("wildcard"):
            return self._wildcard(name)
        if "range" in table:
            bounds = table["range"]
            value = random.randint(bounds["from"], bounds["to"])
            if slot in ("hours", "minutes", "seconds"):
                value = random.choice((value, random.randint(1, 12 if slot == "hours" else 59)))
            if name == "color_temperature":
                value = value // 100 * 100
            self._drawn[slot] = value
            return number(random, value) if 0 <= value <= 100 else str(value)
        value = random.choice(table["values"])
        pattern, kept = (value["in"], value["out"]) if isinstance(value, dict) else (value, value)
        self._drawn[slot] = kept
        return self._walk(parse_sentence(pattern).expression)

    def _device(self) -> str:
        """Returns a device: with a name of its own, by its kind and room, or one that the home
        lacks."""
        random, template = self.random, self._template
        assert template is not None
        domains = template.context.get("domain", ())
        domains = [domains] if isinstance(domains, str) else list(domains)
        kinds = [kind for domain in domains for kind in KINDS.get(domain, ("",))]
        kind = random.choice(kinds or [""])
        if kind == "" or random.random() < OTHER_SHARE:
            self._drawn["device"] = None
            return random.choice(
                (
                    random.choice(self._names),
                    nonsense(random),
                    f"{random.choice(self._people)}'s {random.choice(self._names)}",
                    random.choice(self._nouns),
                )
            )
        if kind == "scene" and random.random() < 0.6:
            scene = random.choice(tuple(SCENES))
            self._drawn["device"] = f"scene.{scene}"
            return random.choice(SCENES[scene])
        if kind == "scene" or random.random() < 0.6:
            self._drawn["device"] = f"{kind}.@{kind}1"
            return f"@{kind}1"
        nouns = DEVICES[kind]
        noun = random.choice(nouns.singular)
        if "place" in self._drawn or random.random() < 0.4:
            self._drawn["device"] = f"{kind}."
            return noun
        room = f"@{random.choice(PLACES)}"
        self._drawn["device"] = f"{kind}.{room}"
        return f"{room} {noun}"

    def _wildcard(self, name: str) -> str:
        random = self.random
        if name == "timer_name":
            known = random.random() < 0.7
            said = random.choice(TIMERS) if known else random.choice(self._nouns)
            self._drawn["timer"] = said if known else ""
            return said
        if name == "timer_command":
            raise_ = random.choice(COMMANDS)
            self._drawn["command"] = raise_[1]
            return raise_[0]
        return random.choice(
            self._titles
            if name == "search_query"
            else self._foods
            if "item" in name
            else self._nouns
            if name == "zone"
            else self._topics
        )

    def _line(self, template: Template, text: str) -> str:
        """Returns the action line. Raises _Unsayable."""
        drawn, intent = self._drawn, template.intent
        if drawn.get("place", "") is None or drawn.get("device", "") is None:
            return UNKNOWN
        if intent in TIMER_VERBS:
            return self._timer(intent, text)
        if intent in ("HassTurnOn", "HassTurnOff") and str(drawn.get("device", "")).startswith(
            "scene."
        ):
            return str(drawn["device"])
        if intent == "HassGetState" and text.split()[0] not in QUESTIONS:
            raise _Unsayable  # as "all fans off", which is no question
        kind, name = self._target(template, text)
        if not kind:
            return UNKNOWN
        if intent in ("HassTurnOn", "HassTurnOff"):
            return f"{kind}.{name} {OPENED.get(kind, ('on', 'off'))[intent == 'HassTurnOff']}"
        doing = VERBS.get(intent) or self._setting(intent, kind)
        return f"{kind}.{name} {doing}" if doing else UNKNOWN

    def _target(self, template: Template, text: str) -> tuple[str, str]:
        """Returns kind and name of the device that is meant, the kind "" for none."""
        drawn = self._drawn
        kind, _, name = str(drawn.get("device", "")).partition(".")
        domain = template.slots.get("domain")
        if (
            not kind
            and domain == "lock"
            and any(word in text for word in ("window", "gate", "garage door", "shutter"))
        ):
            return "", ""
        if not kind and "device_class" in drawn:
            kind = COVERS.get(drawn["device_class"], "")
            if not kind:
                return "", ""
        kind = kind or next(iter(KINDS.get(str(domain), ("",)))) or MEANT.get(template.intent, "")
        name = name or drawn.get("place", "")
        if not name:
            here = any(
                phrase in f" {text} "
                for phrase in (
                    " here ",
                    " this ",
                    " the room ",
                    " my room ",
                    " our room ",
                    " the area ",
                    " my area ",
                    " the space ",
                )
            )
            every = any(
                word in text.split()
                for word in (
                    "all",
                    "every",
                    "each",
                    "everywhere",
                    "house",
                    "home",
                    "apartment",
                    "flat",
                    "any",
                    "some",
                    "which",
                    "how",
                )
            )
            asks = template.intent == "HassClimateGetTemperature"
            name = HERE if here or not every or asks or "device" in drawn else ALL
        return kind, name

    def _setting(self, intent: str, kind: str) -> str:
        """Returns what is done with a value, "" for what no action line expresses. Raises
        _Unsayable."""
        drawn = self._drawn
        if intent == "HassLightSet":
            if "brightness" in drawn:
                return f"brightness={drawn['brightness']}"
            if "color" in drawn:
                return f"color={drawn['color']}" if drawn["color"] in COLOURS else ""
            return {
                2700: "color=warm_white",
                4000: "color=cool_white",
                6500: "color=cool_white",
            }.get(drawn.get("temperature", 0) if "k" not in drawn else 0, "")
        if intent == "HassSetVolumeRelative":
            step = drawn.get("volume_step", "up")
            if isinstance(step, int):
                raise _Unsayable
            return f"volume={step}"
        values = {
            "HassFanSetSpeed": ("speed", "percentage"),
            "HassSetPosition": ("position", "position"),
            "HassClimateSetTemperature": ("temperature", "temperature"),
            "HassSetVolume": ("volume", "volume_level"),
        }
        if intent not in values or kind == "gate":
            return ""
        verb, slot = values[intent]
        value = drawn[slot]
        return f"{verb}={value}" if verb != "temperature" or 5 <= value <= 95 else ""

    def _timer(self, intent: str, text: str) -> str:
        drawn = self._drawn
        if "place" in drawn or "device" in drawn:
            raise _Unsayable  # a home's timers have no room
        timer = (
            "timer.all"
            if intent == "HassCancelAllTimers"
            else f"timer.{drawn['timer']}"
            if drawn.get("timer")
            else "timer"
        )
        verb = TIMER_VERBS[intent]
        if not verb.endswith("="):
            return f"{timer} {verb}"
        parts = "".join(
            f"{drawn[unit]}{unit[0]}"
            for unit in ("hours", "minutes", "seconds")
            if drawn.get(unit)
        )
        if "command" in drawn:
            return f"{drawn['command']} in={parts}" if drawn["command"] != UNKNOWN else UNKNOWN
        if not parts or (
            "half" in text
            and not any(f"{word} half" in text or "half" in text for word in ("and",))
        ):
            raise _Unsayable
        return f"{timer} {verb}{parts}"
