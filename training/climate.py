"""Ways to ask for heating and cooling, and to ask fans to blow air."""

from __future__ import annotations

from training.actions import Action, one_of
from training.spoken import coldest, degrees, degrees_with_unit, hottest, percent
from training.vocabulary import FAN_SPEEDS

TEMPERATURE = (
    "(set|change|adjust|put|turn) {target} (to|at) {value}", "{target} {value}",
    "(set|change|adjust) the temperature of {target} to {value}", "{target} (at|to|on) {value}",
    "i want {target} (at|on|to be) {value}",
    "(raise|lower|turn up|turn down|bring|increase|decrease) {target} to {value}",
    "(set|change) {target} temperature to {value}", "{target} temperature {value}",
    "have {target} at {value}",
)  # fmt: skip
EXTREME = (
    "(set|turn|put|change) {target} (to|on) {value}",
    "(set|turn) the temperature of {target} to {value}",
    "{target} (to|at|on) {value}",
)  # fmt: skip


def thermal(device: str, warmer: tuple[str, ...], cooler: tuple[str, ...]) -> tuple[Action, ...]:
    """Returns the actions that heating and air conditioning have in common."""
    warmer = (
        *warmer, "make {target} (warmer|hotter)",
        "(raise|increase|turn up|up) the temperature (of|on) {target}",
        "(set|put|bring) {target} (higher|up)", "{target} (up|higher|warmer)",
        "{target} temperature up",
        "(raise|increase|boost) {target}",
    )  # fmt: skip
    cooler = (
        *cooler, "make {target} (cooler|colder)",
        "(lower|reduce|decrease|turn down|drop) the temperature (of|on) {target}",
        "(set|put|bring) {target} (lower|down)", "{target} (down|lower|cooler)",
        "{target} temperature down",
        "(lower|reduce|decrease) {target}",
    )  # fmt: skip
    return (
        Action(device, "temperature={value}", "level", TEMPERATURE, degrees),
        Action(device, "temperature={value}", "level", EXTREME, hottest),
        Action(device, "temperature={value}", "level", EXTREME, coldest),
        Action(device, "temperature=up", "step", warmer),
        Action(device, "temperature=down", "step", cooler),
    )


HEATING = (
    *thermal("heating", (
        "turn up {target}", "turn {target} up",
        "it is (too|so|very|really|getting) (cold|chilly) {where}",
        "(i am|i'm|we are) (cold|freezing) {where}",
        "make it (warmer|hotter|a bit warmer) {where}", "{place} is too (cold|chilly)",
        "(turn up|increase|raise|put up|boost) the {r}(heat|temperature|temp)",
        "turn the {r}(heat|temperature|temp) up",
        "(turn up|increase|raise) the (heat|temperature|temp) {where}",
        "turn the (temperature|heat) {where} up",
        "more heat {where}", "{r}(heat|temperature) up", "warm up {place}", "warm {place} up",
        "it should be warmer {where}",
        "i want it warmer {where}", "it is freezing {where}", "(turn|bring) up the temp {where}",
        "a bit warmer {where}",
    ), (
        "turn down {target}", "turn {target} down",
        "it is (too|so|very|really|getting) (hot|warm) {where}",
        "make it (cooler|less warm|colder|a bit cooler) {where}", "{place} is too (hot|warm)",
        "(turn down|decrease|lower|reduce|put down) the {r}(heat|temperature|temp)",
        "turn the {r}(heat|temperature|temp) down",
        "(turn down|decrease|lower|reduce) the (heat|temperature|temp) {where}",
        "turn the (temperature|heat) {where} down",
        "less heat {where}", "{r}(heat|temperature) down", "it should be cooler {where}",
        "i want it (cooler|colder) {where}",
        "i am (hot|too hot|sweating) {where}", "drop the temperature {where}",
        "a bit cooler {where}",
    )),
    Action("heating", "temperature={value}", "level", (
        "(set|change|adjust|turn|put|make|raise|lower|increase|decrease) the (temperature|temp) "
        "{where} to {value}",
        "(set|change|adjust|turn|put|make|raise|lower) the {r}(temperature|temp) to {value}",
        "{r}(temperature|temp) (to|) {value}",
        "(set|put) the {r}heat (to|at|on) {value}", "temperature {where} {value}",
        "heat {place} to {value}",
    ), degrees),
    Action("heating", "temperature={value}", "level", (
        "make it {value} {where}", "(set|change|bring|heat|warm|turn) {place} to {value}",
        "{value} {where}",
        "i want (it to be|it at|) {value} {where}", "{place} (to|at|) {value}",
    ), degrees_with_unit),
    Action("heating", "on", "switch", (
        "(turn|switch|put) on the {r}heat", "(turn|switch|put) the {r}heat on", "{r}heat on",
        "heat on {where}",
        "(turn|switch|put) on the heat {where}", "(turn|switch|put) the heat on {where}",
        "(start|get) heating {place}",
        "heat {place}",
    )),
    Action("heating", "off", "switch", (
        "(turn|switch|put|shut) off the {r}heat", "(turn|switch|put|shut) the {r}heat off",
        "{r}heat off", "heat off {where}",
        "(turn|switch|shut) off the heat {where}", "(turn|switch|put) the heat off {where}",
        "stop heating {place}",
        "no heat {where}",
    )),
    Action("heating", "temperature?", "question", (
        "what is the (temperature|temp|current temperature) {where}",
        "how (warm|cold|hot) is it {where}", "how (warm|cold|hot) is {place}",
        "what is the temperature of {target}", "what (is|are) {target} (set to|at|set at)",
        "how (warm|hot|cold) is {target}",
        "(tell me|check|read me|give me) the (temperature|temp) {where}",
        "what is the {r}(temperature|temp)",
        "what temperature is it {where}", "(is it|how) (warm|cold) {where}",
        "(tell me|check) the {r}temperature",
        "what's the (temperature|temp) {where}", "what's the {r}(temperature|temp)",
        "current {r}temperature",
        "temperature {where}", "how many degrees is it {where}",
        "what temperature (is|are) {target} (at|set to|on)",
    )),
)  # fmt: skip

AC = thermal("ac", (
    "turn up {target}", "turn {target} up", "{target} is too (cold|cool)",
), (
    "turn down {target}", "turn {target} down", "{target} is too warm",
))  # fmt: skip

FAN = (
    Action("fan", "speed={value}", "level", (
        "(set|turn|put|switch|change) {target} (to|on) {value}", "{target} {value}",
        "(set|change) the speed of {target} to {value}", "(set|change) {target} speed to {value}",
        "{target} (on|to) {value}", "run {target} (on|at) {value}", "{target} at {value} speed",
        "(set|turn) {target} to {value} speed",
        "(set|change) the {r}fan speed to {value}", "put {target} (at|on) {value} speed",
    ), one_of(FAN_SPEEDS)),
    Action("fan", "speed={value}", "level", (
        "(set|turn|put|change) {target} to {value}", "{target} (at|to|) {value}",
        "(set|change) {target} speed to {value}",
        "(set|change) the speed of {target} to {value}",
        "(set|change) the {r}fan speed to {value}", "{target} speed {value}",
    ), percent),
    Action("fan", "speed=up", "step", (
        "make {target} (faster|stronger|spin faster|blow harder)", "speed up {target}",
        "turn up {target}", "turn {target} up",
        "speed {target} up", "(increase|raise|turn up) the speed of {target}",
        "(increase|raise|turn up) the fan speed {where}",
        "(increase|raise|boost) {target} (speed|)", "{target} (faster|up)",
        "i want {target} faster", "(increase|raise) the {r}fan speed",
    )),
    Action("fan", "speed=down", "step", (
        "make {target} (slower|weaker|spin slower|less strong)", "slow down {target}",
        "turn down {target}", "turn {target} down",
        "slow {target} down", "(decrease|lower|reduce|turn down) the speed of {target}",
        "(decrease|lower|reduce|turn down) the fan speed {where}",
        "(decrease|lower|reduce) {target} (speed|)", "{target} (slower|down)",
        "i want {target} slower", "(lower|reduce|decrease) the {r}fan speed",
    )),
)  # fmt: skip
