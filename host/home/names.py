"""Finds names of a home in what people say, and names that cannot be distinguished.

Words are compared without capitals, apostrophes and hyphens, and numbers as words: "kid's room" is
"kids room", "bedroom 2" is "bedroom two". A device is also known by the plural of its name, and by
"the lamp of the corner" for "corner lamp".
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from host.home.home import Home
from host.home.words import GENERIC, NUMBERS, pluralize, singularize

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_ARTICLES = ("the", "my", "our")
_TIMER = ("timer", "timers")
_NEAR = ("in", "on", "at", "by")
MOST_WORDS = 6  # of a name
_BETWEEN = re.compile(r"[\s'-]*")


@dataclass(frozen=True)
class Mention:
    """A name in a text: id of the room, floor or device, and where the name begins and ends."""

    id: str
    start: int
    end: int


@dataclass
class _Node:
    """The words that may follow some words of a name; id: of what has the name so far, "" for
    none."""

    id: str = ""
    following: dict[str, _Node] = field(default_factory=dict)


@dataclass(frozen=True)
class _Word:
    """A word of a text. spellings: under which it is looked up; start, end: its place in the
    text."""

    spellings: tuple[str, ...]
    start: int
    end: int


def key_of(name: str) -> tuple[str, ...]:
    """Returns the words by which a name is compared, none if it has no words."""
    words = [word.spellings[0] for word in _words(name)]
    while len(words) > 1 and words[0] in _ARTICLES:
        del words[0]
    return tuple(words)


def list_words(text: str) -> list[str]:
    """Returns the words of a text as written, without apostrophes, and without numbers in
    digits."""
    words = (each[0].replace("'", "").replace("\u2019", "") for each in _WORD.finditer(text))
    return [word for word in words if not word.isdigit()]


@functools.lru_cache(maxsize=16)
def list_name_words(home: Home) -> frozenset[str]:
    """Returns the words of all names of a home, and their plurals."""
    words = {word for _, names in _tables(home) for name in names for word in key_of(name)}
    return frozenset({*words, *map(pluralize, words), *map(singularize, words)})


def find_mentions(text: str, home: Home) -> list[Mention]:
    """Returns the names of a home in a text, in order; of several that begin with the same word,
    the longest. The name of a timer is not one: "set the kitchen timer"."""
    root, words = _index(home), _words(text)
    found, at = [], 0
    while at < len(words):
        end, id = _longest(root, words, at, text)
        if id and not _names_timer(words, at, end):
            found.append(Mention(id, words[at].start, words[end - 1].end))
        at = max(end, at + 1)
    return found


def list_conflicts(home: Home) -> Iterator[str]:
    """Yields messages about names that cannot be distinguished, or that are words of commands."""
    owners: dict[tuple[str, ...], str] = {}
    for where, names in _tables(home):
        for name in names:
            key = key_of(name)
            if not key:
                yield f"{where}: the name {name!r:.60} has no letters"
            elif len(key) > MOST_WORDS:
                yield f"{where}: the name {name!r:.60} has more than {MOST_WORDS} words"
            elif " ".join(key) in GENERIC or len("".join(key)) == 1:
                yield (
                    f"{where}: {name!r} is a word of commands: give another name, or none to a"
                    " device that goes by its kind and room (names = [])"
                )
            elif owners.setdefault(key, where) != where:
                yield f"{where} and {owners[key]} are both called {name!r}: give one another name"


def _tables(home: Home) -> Iterator[tuple[str, tuple[str, ...]]]:
    for floor in home.floors.values():
        yield f"floors.{floor.id}", floor.names
    for room in home.rooms.values():
        yield f"rooms.{room.id}", room.names
    for device in home.devices.values():
        yield f"devices.{device.id}", device.names


@functools.lru_cache(maxsize=16)
def _index(home: Home) -> _Node:
    """Returns all names of a home as a tree of words; a name that people gave goes before one of
    ours."""
    root = _Node()
    given = {key_of(name): where.partition(".")[2] for where, names in _tables(home)
             for name in names}  # fmt: skip
    for key, id in given.items():
        _put(root, key, id)
    for key, id in given.items():
        if id in home.devices:
            for variant in _variants(key, given, home):
                _put(root, variant, id)
    return root


def _put(root: _Node, key: Iterable[str], id: str) -> None:
    node = root
    for word in key:
        node = node.following.setdefault(word, _Node())
    node.id = node.id or id


def _variants(
    key: tuple[str, ...], given: dict[tuple[str, ...], str], home: Home
) -> Iterator[tuple[str, ...]]:
    """Yields what else a device of this name may be called."""
    *first, last = key
    yield (*first, pluralize(last))
    yield (*first, singularize(last))
    for cut in range(1, len(key)):
        head, tail = key[:cut], key[cut:]
        is_place = given.get(head, "") in {*home.rooms, *home.floors}
        for word in ("of",) if is_place else ("of", *_NEAR):  # in a room there may be others
            yield (*tail, word, *head)
            for article in _ARTICLES:
                yield (*tail, word, article, *head)


def _longest(root: _Node, words: list[_Word], at: int, text: str) -> tuple[int, str]:
    """Returns where the longest name that begins at a word ends, and the id of what has it, "" for
    none."""
    nodes, found = [root], (at, "")
    for end in range(at, len(words)):
        if end > at and not _BETWEEN.fullmatch(text, words[end - 1].end, words[end].start):
            break
        nodes = [
            node.following[spelling]
            for node in nodes
            for spelling in words[end].spellings
            if spelling in node.following
        ]
        if not nodes:
            break
        if id := next((node.id for node in nodes if node.id), ""):
            found = end + 1, id
    return found


def _names_timer(words: list[_Word], start: int, end: int) -> bool:
    after = words[end].spellings[0] if end < len(words) else ""
    before = [word.spellings[0] for word in words[max(0, start - 3) : start]]
    if before and before[-1] in _ARTICLES:
        del before[-1]
    called = len(before) > 1 and before[-1] in ("called", "named", "for")
    return after in _TIMER or (called and before[-2] in _TIMER)


def _words(text: str) -> list[_Word]:
    return [_Word(_spellings(each[0]), each.start(), each.end()) for each in _WORD.finditer(text)]


def _spellings(word: str) -> tuple[str, ...]:
    """Returns a word without its apostrophes, and without a possessive's s."""
    word = word.casefold().replace("\u2019", "'")
    plain = word.replace("'", "")
    if plain.isascii() and plain.isdigit() and int(plain[:3]) < len(NUMBERS):
        plain = NUMBERS[int(plain)] if len(plain) < 3 else plain
    if word.endswith("'s"):
        return plain, word[:-2].replace("'", "")
    return (plain,)
