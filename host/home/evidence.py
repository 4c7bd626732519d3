"""Checks by rules, besides the model, that a command asks for what would be unlocked, opened or
disarmed.

However sure a model is, such an action is carried out only if the command has a verb for it, names
the device in the same part of the sentence, is not a question, has no word that reverses its
meaning, and has no number that is missing in the action. In doubt, nothing is done.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from host.grammar.action_lines import Action
from host.grammar.devices import ALL, DANGEROUS, HERE
from host.home.marking import Marked
from host.home.words import NUMBERS

# Verbs that need no noun; verbs that need one of the nouns; the nouns.
_WAYS = {
    ("lock", "unlock"): (
        "unlock unlocked unlocking unbolt unbolted unlatch unlatched",
        "open opened disengage undo release off",
        "lock locks door doors",
    ),
    ("gate", "open"): ("", "open opened raise lift up unlock", "gate gates"),
    ("security", "disarm"): (
        "disarm disarmed disarming",
        "deactivate disable off",
        "security alarm alarms system",
    ),
}
_TURNING = """
    not no never dont doesnt didnt cant cannot wont shouldnt without except but unless if when
    whenever until before instead which what where who whose why how did does
"""
_ASKING = ("is", "are", "was", "were", "has")  # where they come first
_ALLOWED = re.compile(r"\bif (?:you (?:can|could|would|please|like|dont mind)|possible)\b")
_ALL = "all every everything everywhere each whole entire house home apartment flat place any"
_COUNTING = """
    zero thirty forty fifty sixty seventy eighty ninety hundred half quarter noon midnight percent
    today tomorrow tonight morning afternoon evening minute minutes hour hours seconds monday
    tuesday wednesday thursday friday saturday sunday weekday weekdays weekend
"""
_NUMBERS = frozenset((*NUMBERS[2:], *_COUNTING.split()))  # "one" is said of what is no number
_WORD = re.compile(r"[^\W_]+")
_JOINT = re.compile(r",|;|\b(?:and|then|plus|also)\b")
# A part with only these words continues the part next to it: "unlock the A" and "B doors".
_GOING_ON = """
    the my our in on at of to both all every each door doors lock locks gate gates too please
    here well as
"""


def explain_unsaid(actions: Iterable[Action], marked: Marked) -> str:
    """Returns why a command does not ask for what an answer unlocks, opens or disarms; "" if it
    does, or if the answer does none of these. actions: with ids."""
    actions = tuple(actions)
    ids = {**marked.places, **marked.devices}
    for action in actions:
        is_dangerous = (action.device, action.verb) in DANGEROUS and not action.is_question
        reason = is_dangerous and _explain(action, marked.text, ids, len(actions) == 1)
        if reason:
            return f"{action}: {reason}"
    return ""


def _explain(action: Action, text: str, ids: Mapping[str, str], is_sole: bool) -> str:
    text = text.replace("'", "").replace("\u2019", "")
    words = _list_words(_ALLOWED.sub("", text), ids)
    if turning := next((word for word in words if word in _TURNING.split()), ""):
        return f"{turning!r} is in the command"
    if words and words[0] in _ASKING:
        return "the command is a question"
    parts = [_list_words(part, ids) for part in _JOINT.split(text)]
    spans = [_span(parts, at, ids) for at, part in enumerate(parts) if _says(action, part)]
    if not spans:
        return f"nothing in the command says {action.verb} {action.device}"
    if not action.when:
        counted = words if is_sole else [word for span in spans for word in span]
        if lost := next((word for word in counted if _counts(word)), ""):
            return f"{lost!r} is in the command, and in no action"
    if any(_names(action, span, ids) for span in spans):
        return ""
    return f"{action.name} is not named where the command says {action.verb}"


def _list_words(text: str, ids: Mapping[str, str]) -> list[str]:
    return [word if word in ids else word.casefold() for word in _WORD.findall(text)]


def _says(action: Action, part: list[str]) -> bool:
    sole, verbs, nouns = (set(each.split()) for each in _WAYS[action.device, action.verb])
    return bool(sole.intersection(part) or (verbs.intersection(part) and nouns.intersection(part)))


def _span(parts: list[list[str]], at: int, ids: Mapping[str, str]) -> list[str]:
    """Returns the words of a part of the sentence, and of neighbouring parts that continue it."""
    beside = {*ids, *_GOING_ON.split()}
    first = last = at
    while first > 0 and beside.issuperset(parts[first - 1]):
        first -= 1
    while last + 1 < len(parts) and beside.issuperset(parts[last + 1]):
        last += 1
    return [word for part in parts[first : last + 1] for word in part]


def _names(action: Action, span: list[str], ids: Mapping[str, str]) -> bool:
    if action.name == ALL:
        return not set(_ALL.split()).isdisjoint(span)
    if action.name == HERE:
        return set(ids).isdisjoint(span)
    return any(ids.get(word) == action.name for word in span)


def _counts(word: str) -> bool:
    return word in _NUMBERS or any(character.isdigit() for character in word)
