"""What is said to no device: timers, alarms, scenes, and to all devices of a place at once."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from training.home import PLACE, PLACE_NAMED, PLACES, Clause, Combination, chosen, is_imperative
from training.split import is_held_out
from training.spoken import days, duration, time_of_day
from training.vocabulary import ALL, HERE, SCENE_SAYINGS, SCENES, TIMERS

# The key of what no other words say: training has to see it, and its hash lies on that side.
NEVER_HELD_OUT: Combination = ("never held out",)

# What a draw gives: text, action, category, key, and whether it goes on from "could you".
Drawn = tuple[str, str, str, Combination, bool]

TIMER_STARTS = (
    "(set|start|create|make|set up|begin) a {name}timer for {value}", "{name}timer for {value}",
    "time {value}{for_name}", "timer {value}{for_name}",
    "(set|start|set up) the {name}timer (to|for|at) {value}", "give me a {name}timer of {value}",
    "(set|start) {name}timer (for|to|) {value}",
    "a {name}timer for {value}", "count down {value}{for_name}", "new {name}timer {value}",
    "(set|start|create|set up) a {value} {name}timer",
    "{value} {name}timer", "a {value} {name}timer", "(set|start) a {value} timer{for_name}",
    "(set|start) a timer for {value}{for_name}",
    "i (need|want) a {name}timer (for|of) {value}",
    "set a {name}timer to (go off|ring|end) in {value}", "set a {name}timer for {value} from now",
    "let me know (when it has been|when it's been|in|after) {value}{for_name}",
    "the {name}timer should (be|run for|have) {value}",
    "start (a|the) countdown (of|for) {value}{for_name}",
    "tell me when {value} (are over|have passed|are up)", "start timing {value}{for_name}",
    "set {value} on the {name}timer", "{value} timer{for_name}", "add a {name}timer for {value}",
    "put {value} on the {name}timer", "can i have a {name}timer for {value}",
)  # fmt: skip
TIMER_CALLED = (
    "(set|start|) (a|) timer for {value} (called|named) {bare}",
    "(set|start|) (a|) timer (called|named) {bare} for {value}",
    "(a|) {value} timer (called|named|for) {bare}",
    "set a {value} timer for (the|my|) {bare}", "timer for {bare} {value}",
    "set (a|the) timer for (the|) {bare} (to|for) {value}", "start {bare} timer for {value}",
)  # fmt: skip
TIMER_CANCELS = (
    "(cancel|stop|delete|end|remove|clear|kill) (the|my) {name}timer", "turn off the {name}timer",
    "no more {name}timer", "stop (timing|the countdown){for_name}",
    "forget the {name}timer", "(cancel|stop|delete) {name}timer", "{name}timer (off|stop|cancel)",
    "(stop|cancel) (my|the) timer{for_name}",
)  # fmt: skip
TIMER_QUESTIONS = (
    "how (long|much time|many minutes) (is|are|) left on (the|my|) {name}timer",
    "how much (longer|time) (on|for|is on|does) (the|my) {name}timer (have|)",
    "how long until (the|my) {name}timer (ends|rings|is done|goes off)",
    "(time|what time is|how much) left on (the|my) {name}timer", "{name}timer status",
    "check (the|my) {name}timer", "when does (the|my) {name}timer (end|ring|go off)",
    "(status|state) of (the|my|) {name}timer", "what is the status of (the|my) {name}timer",
    "is (the|my) {name}timer (done|still running|running)",
    "how is (the|my) {name}timer (doing|going)", "what is left on (the|my) {name}timer",
    "how long (is|) left on {name}timer",
    "status of my {name}timers", "tell me how (much time|long) is left on (the|my) {name}timer",
    "remaining time (on|of) the {name}timer", "show me the {name}timer",
)  # fmt: skip
TIMER_CHANGES = {
    "pause": ("(pause|hold) (the|my|) {name}timer", "put the {name}timer on hold"),
    "resume": (
        "(resume|continue|unpause|restart) (the|my|) {name}timer", "let the {name}timer go on",
    ),
    "add={value}": (
        "add {value} to (the|my|) {name}timer", "{value} more on the {name}timer",
        "(increase|extend|prolong) (the|my) {name}timer by {value}",
        "give the {name}timer {value} more",
    ),
    "remove={value}": (
        "(take|remove) {value} (off|from) (the|my) {name}timer", "{value} less on the {name}timer",
        "(decrease|shorten|reduce) (the|my) {name}timer by {value}",
    ),
}  # fmt: skip
ALL_TIMERS = {
    "cancel": (
        "(cancel|stop|delete|clear|remove) all (the|my|of my|) timers", "no more timers",
        "(cancel|stop|end) every timer",
    ),
    "pause": ("pause all (my|the|) timers", "pause every timer"),
    "resume": ("(resume|continue|unpause) all (my|the|) timers",),
}  # fmt: skip
ALARM_STARTS = (
    "wake me (up|) at {value}",
    "(set|create|make|add|put|start|give me|set up|schedule) (an|my|a new|a wake up) alarm "
    "(for|at) {value}",
    "(set|put) (the|my|an|) alarm (to|for|at) {value}",
    "alarm (at|for) {value}", "i (need|have|want) to (wake|get|be) up at {value}", "{value} alarm",
    "set a {value} alarm", "(get|wake) me (up|out of bed) at {value}",
    "i need an alarm (at|for|set for|set at) {value}",
    "i (want|would like|need) (an|a wake up|my) alarm (for|at) {value}", "(set|put) alarm {value}",
    "make sure i am up (at|by) {value}",
    "please wake me (up|) (by|for|at) {value}", "(can|could) you wake me (up|) at {value}",
    "set (a|my) wake up call for {value}", "i must be up (at|by) {value}", "alarm {value}",
    "my alarm should (ring|be|go off) at {value}", "have my alarm go off at {value}",
    "turn on (an|the|my) alarm for {value}", "set the alarm clock (for|to) {value}",
    "get my alarm ready for {value}",
)  # fmt: skip
ALARMS_TOGETHER = (
    "(set|create|add|make|i need|i want|give me) (alarms|alarm|an alarm) (for|at) (both|) "
    "{first} and {second}",
    "wake me (up|) at {first} and (again|) (at|) {second}",
    "(set|create|add) (an|one) alarm (for|at) {first} and (one|another|another one|one more|a "
    "second one) (for|at) {second}",
    "alarms (at|for) {first} and {second}",
    "i (need|want|would like) (alarms|an alarm|an alarm set|alarms set) (for|at) (both|) {first} "
    "and {second}",
    "(set|add) two alarms (for|at|one for) {first} and {second}",
)  # fmt: skip
ALARM_CANCELS = (
    "(cancel|delete|remove|clear|disable|deactivate|erase) (my|the|all|all my|any|) "
    "(alarm|alarms)",
    "turn off (my|the) (alarm|alarms)", "no (alarm|alarms)", "switch off (my|the) alarm",
    "forget (the|my) alarm", "i (do not|don't) need (the|my|an) alarm",
    "get rid of (my|the) (alarm|alarms)", "i no longer need (my|the|an) alarm",
)  # fmt: skip
ALARM_CANCELS_AT = (
    "(cancel|delete|remove|turn off|disable) (my|the) {value} alarm",
    "(cancel|delete|remove|turn off|disable) (my|the) alarm (at|for) {value}",
)  # fmt: skip
ALARM_STOPS = (
    "stop (the|my) alarm",
    "stop ringing",
    "(silence|quiet) (the|my) alarm",
    "alarm stop",
    "dismiss (the|my) alarm",
)
ALARM_SNOOZES = (
    "snooze",
    "snooze (the|my) alarm",
    "hit snooze",
    "let me sleep a bit longer",
    "(give me|) five more minutes of sleep",
)
ALARM_SNOOZES_FOR = (
    "snooze (the|my) alarm for {value}",
    "snooze for {value}",
    "let me sleep {value} longer",
    "{value} more sleep",
)
ALARM_QUESTIONS = (
    "when is (my|the|my next|the next) alarm",
    "what time is (my|the|my next) alarm (set for|set to|set|at|going off|)",
    "is (my|the|an|any) alarm (on|set)", "do i have (an|any) (alarm|alarms) (set|on|)",
    "when do you wake me up",
    "(check|show|show me|tell me|list|read|confirm|what are|read me|give me) (my|the|all my) "
    "(alarm|alarms|alarm settings|alarm times)",
    "(what|which|are there any|are any) alarms (are|) (set|on|currently set|active)",
    "when (does|will|is) (my|the) alarm (go off|ring|going to ring)",
    "(what|which) alarms do i have (set|right now|)",
    "(at|) what time (have you|did you|did i) set (my|the|) alarm (for me|)",
    "show me (the|my) alarms (i have|that are) set",
    "what time (will|do) (you|i) wake (me|) up", "how many alarms do i have",
    "tell me when my alarm is", "what alarms", "is there an alarm (set|)",
)  # fmt: skip
SCENE_STARTS = (
    "(activate|start|run|set|turn on|play|enable) the {name} scene",
    "(set|switch to|turn on|activate|enable|start|change to|go to|transition to|begin) {name} "
    "mode",
    "{name} scene",
    "(start|activate) {name}", "{name} mode (please|on|)", "set the scene (to|for) {name}",
    "turn {name} mode on", "switch {name} mode on", "(activate|start|run) {name} scene",
    "i want the {name} scene", "change (the scene|) to {name} mode", "turn {name} scene on",
    "put the house in {name} mode", "(change|switch) to the {name} scene", "turn on scene {name}",
    "get the house ready for {name}", "(set up|prepare) the {name} scene",
    "(i want|give me) {name} mode", "{name} time (mode|)", "set (the house|it) to {name} (mode|)",
    "make it {name} mode",
    "{name} lights and music", "(put|set) on {name} mode", "scene {name}",
)  # fmt: skip
EVERYTHING = {
    "off": (
        "(turn|switch|shut) off everything {where}", "(turn|switch|shut) everything off {where}",
        "everything off {where}", "(shut|power) down everything {where}",
        "(turn|switch|shut) it all off {where}",
        "(turn|switch) all (devices|the devices|appliances|things) off {where}",
        "(turn|switch) off all (devices|the devices|of the devices|appliances) {where}",
        "kill everything {where}",
        "all off {where}", "(power|shut) everything down {where}", "disable everything {where}",
        "turn (off|) every device (off|) {where}",
    ),
    "on": (
        "(turn|switch) on everything {where}", "(turn|switch) everything on {where}",
        "everything on {where}", "(turn|switch) all (devices|the devices|appliances) on {where}",
        "power up everything {where}",
        "(turn|switch) on all (devices|the devices|appliances) {where}",
        "activate everything {where}",
    ),
}  # fmt: skip


class Sayings:
    """Draws clauses of one side of the split that are said to no device."""

    def __init__(self, random: Random, held_out: bool) -> None:
        self.random, self.held_out = random, held_out

    def timer(self) -> Clause:
        """A timer or an alarm: started, cancelled or asked for."""
        draws = (
            (0.3, self._timer_start),
            (0.37, self._timer_called),
            (0.66, self._alarm),
            (0.75, self._timer_without_value),
            (0.82, self._alarm_without_value),
            (0.87, self._timer_change),
            (0.92, self._alarm_days),
            (1.0, self._alarms),
        )

        def drawn() -> Drawn:
            kind = self.random.random()
            return next(draw for limit, draw in draws if kind < limit)()

        return self._drawn(drawn)

    def scene(self) -> Clause:
        """A scene by its name, or, in training, by a saying that has no other words."""
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
        """All devices of a place."""
        return self._drawn(self._everything)

    def _drawn(self, draw: Callable[[], Drawn]) -> Clause:
        """What `draw` gives, drawn until it lies on this side of the split."""
        while True:
            text, action, category, key, imperative = draw()
            if is_held_out(*key) == self.held_out:
                words = " ".join(text.split())
                return Clause(words, action, category, frozenset((key,)), imperative)

    def _name(self) -> tuple[str, str]:
        """A timer's name, perhaps none, as it is said and as an action line has it."""
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
        """As in "wake me tomorrow at seven"."""
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
        if random.random() < 0.5:
            pattern, first, second = (
                random.choice(ALARMS_TOGETHER),
                time_of_day(random),
                time_of_day(random),
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


def nonsense(random: Random) -> str:
    """A word that is none."""
    syllables = (
        random.choice(
            (
                "b",
                "d",
                "fl",
                "g",
                "gr",
                "k",
                "m",
                "n",
                "p",
                "qu",
                "sn",
                "t",
                "v",
                "z",
                "sh",
                "ch",
                "st",
                "tr",
                "bl",
                "r",
                "l",
                "h",
                "w",
                "j",
                "f",
                "s",
                "br",
                "c",
                "",
            )
        )
        + random.choice(("a", "e", "i", "o", "u", "oo", "ee", "ai", "ou", "ea", "ie"))
        + random.choice(
            (
                "b",
                "ck",
                "ff",
                "g",
                "ll",
                "m",
                "n",
                "rp",
                "x",
                "zz",
                "",
                "",
                "",
                "r",
                "s",
                "t",
                "nt",
                "rd",
                "nd",
                "l",
                "th",
                "sh",
            )
        )
        for _ in range(random.randint(1, 3))
    )
    return "".join(syllables)
