"""Commands that name no device: timers, alarms, scenes, and all devices of a place at once."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from training.home import PLACE, PLACE_NAMED, PLACES, Clause, Combination, chosen, is_imperative
from training.saying_patterns import (
    ALARM_CANCELS,
    ALARM_CANCELS_AT,
    ALARM_QUESTIONS,
    ALARM_SNOOZES,
    ALARM_SNOOZES_FOR,
    ALARM_STARTS,
    ALARM_STOPS,
    ALARMS_TOGETHER,
    ALL_TIMERS,
    EVERYTHING,
    SCENE_STARTS,
    TIMER_CALLED,
    TIMER_CANCELS,
    TIMER_CHANGES,
    TIMER_QUESTIONS,
    TIMER_STARTS,
)
from training.split import is_held_out
from training.spoken import NOONS, days, duration, time_of_day
from training.vocabulary import ALL, HERE, SCENE_SAYINGS, SCENES, TIMERS

# The key of sayings that have no alternative: training must see them, so its hash is on that side.
NEVER_HELD_OUT: Combination = ("never held out",)

# Cumulative frequencies of kinds of timers and alarms; training has more pairs with alarms.
_HELD_OUT_LIMITS = (0.3, 0.37, 0.66, 0.75, 0.82, 0.87, 0.92, 1.0)
_TRAINING_LIMITS = (0.26, 0.32, 0.58, 0.66, 0.72, 0.77, 0.86, 1.0)

# The result of a draw: text, action, category, key, and whether it can follow "could you".
Drawn = tuple[str, str, str, Combination, bool]


class Sayings:
    """Draws clauses of one side of the split that name no device."""

    def __init__(self, random: Random, held_out: bool) -> None:
        self.random, self.held_out = random, held_out

    def timer(self) -> Clause:
        """Returns a clause for a timer or an alarm: started, cancelled or asked for."""
        limits = _HELD_OUT_LIMITS if self.held_out else _TRAINING_LIMITS
        draws = tuple(
            zip(
                limits,
                (
                    self._timer_start,
                    self._timer_called,
                    self._alarm,
                    self._timer_without_value,
                    self._alarm_without_value,
                    self._timer_change,
                    self._alarm_days,
                    self._alarms,
                ),
                strict=True,
            )
        )

        def drawn() -> Drawn:
            kind = self.random.random()
            return next(draw for limit, draw in draws if kind < limit)()

        return self._drawn(drawn)

    def scene(self) -> Clause:
        """Returns a clause with a scene's name or, in training, a saying without it."""
        if not self.held_out and self.random.random() < 0.4:
            scene = self.random.choice(tuple(SCENES))
            text = self.random.choice(SCENE_SAYINGS[scene])
            return Clause(text, f"scene.{scene}", "scene", frozenset(), imperative=False)
        if not self.held_out and self.random.random() < 0.08:
            pattern = self.random.choice(
                (
                    "(start|activate|run|turn on) {own}",
                    "{own}",
                    "(start|activate) the {own}",
                    "turn {own} on",
                )
            )
            text = chosen(self.random, pattern).replace("{own}", "@scene1")
            return Clause(text, "scene.@scene1", "scene", frozenset(), is_imperative(pattern))
        return self._drawn(self._scene)

    def everything(self) -> Clause:
        """Returns a clause for all devices of a place."""
        return self._drawn(self._everything)

    def _drawn(self, draw: Callable[[], Drawn]) -> Clause:
        """Returns what `draw` returns, repeated until it belongs to this side of the split."""
        while True:
            text, action, category, key, imperative = draw()
            if is_held_out(*key) == self.held_out:
                words = " ".join(text.split())
                return Clause(words, action, category, frozenset((key,)), imperative)

    def _name(self) -> tuple[str, str]:
        """Returns the name of a timer, or none, as people say it and as in an action line."""
        name = "" if self.random.random() < 0.45 else self.random.choice(TIMERS)
        return name, f"timer.{name}" if name else "timer"

    def _timer_start(self) -> Drawn:
        (name, device), said = self._name(), duration(self.random)
        pattern = self.random.choice(TIMER_STARTS)
        for_name = chosen(self.random, f"for (the|my|) {name}") if name else ""
        value = said.text
        if (
            pattern.find("{value}") < pattern.find("timer") and self.random.random() < 0.7
        ):  # a 5 minute timer
            value = (
                value.replace("minutes", "minute")
                .replace("hours", "hour")
                .replace("seconds", "second")
            )
        text = chosen(self.random, pattern).format(
            name=f"{name} " if name else "", for_name=f" {for_name}" if name else "", value=value,
        )  # fmt: skip
        if "for_name" not in pattern and "{name}" not in pattern:
            device = "timer"
        key = ("timer", pattern, name, said.value)
        return text, f"{device} start={said.value}", "timer", key, is_imperative(pattern)

    def _timer_called(self) -> Drawn:
        name, said = self.random.choice(TIMERS), duration(self.random)
        pattern = self.random.choice(TIMER_CALLED)
        text = chosen(self.random, pattern).format(bare=name, value=said.text)
        return (
            text,
            f"timer.{name} start={said.value}",
            "timer",
            ("timer", pattern, name, said.value),
            is_imperative(pattern),
        )

    def _timer_without_value(self) -> Drawn:
        name, device = self._name()
        cancels = self.random.random() < 0.5
        pattern = chosen(
            self.random, self.random.choice(TIMER_CANCELS if cancels else TIMER_QUESTIONS)
        )
        text = pattern.format(
            name=f"{name} " if name else "", for_name=f" for {name}" if name else ""
        )
        # Few words tell these apart, so only named timers are held out.
        key: Combination = ("timer", pattern, name) if name else NEVER_HELD_OUT
        return text, f"{device} {'cancel' if cancels else 'remaining?'}", "timer", key, cancels

    def _timer_change(self) -> Drawn:
        if self.random.random() < 0.2:
            verb, patterns = self.random.choice(tuple(ALL_TIMERS.items()))
            text = chosen(self.random, self.random.choice(patterns))
            return text, f"timer.all {verb}", "timer", NEVER_HELD_OUT, True
        (name, device), said = self._name(), duration(self.random)
        verb, patterns = self.random.choice(tuple(TIMER_CHANGES.items()))
        pattern = self.random.choice(patterns)
        text = chosen(self.random, pattern).format(
            name=f"{name} " if name else "", value=said.text
        )
        return (
            text,
            f"{device} {verb.format(value=said.value)}",
            "timer",
            ("timer", pattern, name),
            True,
        )

    def _alarm(self) -> Drawn:
        pattern, said = self.random.choice(ALARM_STARTS), time_of_day(self.random)
        text = chosen(self.random, pattern).format(value=said.text)
        key = ("alarm", pattern, said.value)
        return text, f"alarm at={said.value}", "timer", key, is_imperative(pattern)

    def _alarm_days(self) -> Drawn:
        """Returns a clause such as "wake me tomorrow at seven"."""
        random = self.random
        pattern, said, when = random.choice(ALARM_STARTS), time_of_day(random), days(random)
        kind = random.random()
        if kind < 0.5:
            value = f"{said.text} {when.text}"
        elif kind < 0.8:
            value = f"{when.text} at {said.text}"
        else:
            value = f"{when.text} {random.choice(('at ', ''))}{said.text}"
        if when.text == "tomorrow" and random.random() < 0.4:
            said = time_of_day(random)
            hour = int(said.value[:2])
            part = "morning" if hour < 12 else "evening" if hour > 16 else "afternoon"
            bare = said.text
            for word in (
                " am",
                " pm",
                " a m",
                " p m",
                " in the morning",
                " in the evening",
                " tonight",
                " in the afternoon",
                " at night",
            ):
                bare = bare.removesuffix(word)
            if bare[-1:].isalpha() or bare[-1:].isdigit():
                value = random.choice((f"tomorrow {part} at {bare}", f"{bare} tomorrow {part}"))
                if bare in ("noon", "midnight", "midday") or bare[-2:] in ("am", "pm"):
                    value = f"tomorrow at {bare}"
                elif hour == 0 and "00" not in bare and "0:" not in bare:
                    value = f"tomorrow at {said.text}"
        if random.random() < 0.15 and "{value}" in pattern and " at {value}" in pattern:
            text = chosen(random, pattern.replace(" at {value}", f" {when.text} at {said.text}"))
        else:
            text = chosen(random, pattern).format(value=value)
        text = (
            text.replace("at at ", "at ")
            .replace("for for", "for")
            .replace("for on ", "for ")
            .replace("at on ", "on ")
            .replace("at for ", "for ")
        )
        return (
            text,
            f"alarm at={said.value}{when.value}",
            "timer",
            ("alarm", pattern, said.value),
            is_imperative(pattern),
        )

    def _alarms(self) -> Drawn:
        random = self.random
        pairs, noons = (0.5, NOONS) if self.held_out else (0.65, 0.15)
        if random.random() < pairs:
            pattern, first, second = (
                random.choice(ALARMS_TOGETHER),
                time_of_day(random, noons),
                time_of_day(random, noons),
            )
            text = chosen(random, pattern).format(first=first.text, second=second.text)
            line = f"alarm at={first.value}; alarm at={second.value}"
            return text, line, "timer", ("alarms", pattern, first.value), is_imperative(pattern)
        if random.random() < 0.6:
            pattern, said = random.choice(ALARM_CANCELS_AT), time_of_day(random)
            text = chosen(random, pattern).format(value=said.text)
            return (
                text,
                f"alarm cancel at={said.value}",
                "timer",
                ("alarm", pattern, said.value),
                True,
            )
        pattern, said = random.choice(ALARM_SNOOZES_FOR), duration(random)
        text = chosen(random, pattern).format(value=said.text)
        return text, f"alarm snooze={said.value}", "timer", ("alarm", pattern, said.value), True

    def _alarm_without_value(self) -> Drawn:
        kind = self.random.random()
        patterns, verb = (
            (ALARM_CANCELS, "cancel") if kind < 0.35 else (ALARM_STOPS, "stop") if kind < 0.48
            else (ALARM_SNOOZES, "snooze") if kind < 0.55 else (ALARM_QUESTIONS, "at?")
        )  # fmt: skip
        text = chosen(self.random, self.random.choice(patterns))
        return (
            text,
            f"alarm {verb}",
            "timer",
            NEVER_HELD_OUT,
            verb != "at?" and is_imperative(text),
        )

    def _scene(self) -> Drawn:
        scene, pattern = self.random.choice(tuple(SCENES)), self.random.choice(SCENE_STARTS)
        text = chosen(self.random, pattern).format(name=self.random.choice(SCENES[scene]))
        return text, f"scene.{scene}", "scene", ("scene", pattern, scene), is_imperative(pattern)

    def _everything(self) -> Drawn:
        random = self.random
        verb, patterns = random.choice(tuple(EVERYTHING.items()))
        pattern, kind = random.choice(patterns), random.random()
        if kind < 0.6:
            room = random.choice(PLACES)
            where = random.choice(
                ("in the {room}", "in the {room}", "in {room}", "in my {room}", "on the {room}")
            ).format(room=f"@{room}")
            text = pattern.format(
                where=where, place=random.choice(PLACE_NAMED).format(room=f"@{room}")
            )
            name = f"@{room}"
        elif kind < 0.75:
            name, text = (
                HERE,
                pattern.format(
                    where=random.choice(("in here", "in this room", "here")), place="this room"
                ),
            )
        else:
            name = ALL
            text = pattern.format(
                where=random.choice(("", "", "in the house", "everywhere", "in the home")),
                place=random.choice(PLACE[ALL]),
            )
        return (
            chosen(random, text),
            f"everything.{name} {verb}",
            "everything",
            ("everything", verb, pattern, name[:1]),
            True,
        )
