"""Actions of devices and the ways to ask for them: the building blocks of all devices' phrases.

A pattern is plain text with choices in parentheses, "(turn|switch) on {target}", and slots:
{target} a device at a place ("the kitchen light"), {where} the place alone ("in the kitchen"),
{place} the place as a thing ("the kitchen"), {r} the place before a noun ("kitchen "), {value} the
action's value. A pattern without {target} names the device by its own words.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from training.spoken import Said


class Action(NamedTuple):
    """An action of a device. answer: as in an action line, with {value} for its value."""

    device: str
    answer: str
    category: str
    patterns: tuple[str, ...]
    value: Callable[[Random], Said] | None = None


def one_of(table: dict[str, tuple[str, ...]]) -> Callable[[Random], Said]:
    """Draws an entry of `table`, and one of its names."""
    entries = tuple(table.items())

    def drawn(random: Random) -> Said:
        value, names = random.choice(entries)
        return Said(random.choice(names), value)

    return drawn


SWITCH_ON = (
    "(turn|switch|put) on {target}", "(turn|switch|put) on {target}",
    "(turn|switch|put|get) {target} on", "(turn|switch|put) {target} on", "{target} on",
    "(activate|enable|start|engage|initiate) {target}", "(power|fire) up {target}",
    "power on {target}", "power {target} (on|up)", "i (need|want|would like) {target} on",
    "get {target} (running|going)", "(set|change) {target} to on", "{target} should be on",
    "make sure {target} (is|are) on", "i (need|want) {target} (turned|switched) on",
    "{target} (needs|need) to be (on|turned on)", "have {target} (turned|switched) on",
    "bring {target} on", "let {target} be on", "make {target} turn on", "start up {target}",
)  # fmt: skip
SWITCH_OFF = (
    "(turn|switch|shut) off {target}", "(turn|switch|shut) off {target}",
    "(turn|switch|shut|put) {target} off", "(turn|switch|shut) {target} off", "{target} off",
    "(deactivate|disable|stop|disengage) {target}", "(power|shut) down {target}",
    "(kill|cut) {target}", "power off {target}", "power {target} (off|down)",
    "i (do not|don't|no longer) need {target} (anymore|any more|on)",
    "i (need|want) {target} off",
    "(set|change) {target} to off", "{target} should be off", "make sure {target} (is|are) off",
    "i (need|want) {target} (turned|switched) off", "{target} (needs|need) to be (off|turned off)",
    "{target} out", "have {target} (turned|switched) off",
    "(cease|discontinue|quit|end) {target}", "(cease|discontinue) (use of|using|running) {target}",
    "make {target} turn off",
    "let {target} be off", "{target} can be (off|turned off)", "i am done with {target}",
)  # fmt: skip
TOGGLE = (
    "toggle {target}", "flip {target}", "(switch|change|flip) the state of {target}",
    "(change|toggle|alter|switch) the (status|state) of {target}",
    "switch {target} (on or off|over)",
    "toggle {target} (on or off|for me)", "invert {target}", "reverse {target}",
)  # fmt: skip
STATE = (
    "(is|are) {target} (on|off|still on|running|turned on|currently on|on or off)",
    "did (i|we) leave {target} on",
    "(tell me|check|see|let me know|confirm) (if|whether|that) {target} (is|are) (on|off)",
    "what (is|are) the (state|status) of {target}", "what is the status for {target}",
    "is {target} (switched|turned) (on|off)", "(check|check on) {target}",
    "(status|state) of {target}", "(is|are) any of {target} (on|off)",
    "did (i|we|someone|anyone) (turn|switch) (on|off) {target}",
)  # fmt: skip


def switched(device: str) -> tuple[Action, ...]:
    """Returns the actions of every device that is switched on and off."""
    return (
        Action(device, "on", "switch", SWITCH_ON),
        Action(device, "off", "switch", SWITCH_OFF),
        Action(device, "toggle", "toggle", TOGGLE),
        Action(device, "state?", "question", STATE),
    )
