"""Corrects typing errors in a prompt if it is clear which word was meant.

An unknown word that is one slip from exactly one word of commands is replaced by that word. A slip
exchanges two letters, doubles one, leaves one out, or hits the key beside. English words that are
as close to a word of commands stay as they are, and so do the names of the home.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from host.errors import ModelError

SHORTEST = 4  # letters of a word that is put right; shorter ones are near to too many
MOST = 2  # words of a command: one with more is no slip, but another language
# Of four letters, one that misses a letter or has another one is near to too many words as well.
_SHORTEST_CHANGED = 5
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_BESIDE = {
    letter: row[max(at - 1, 0) : at] + row[at + 1 : at + 2]
    for row in _KEYBOARD
    for at, letter in enumerate(row)
}
_WORD = re.compile(rf"(?<![^\s,;])[a-z]{{{SHORTEST},}}(?![^\s,;])")


@dataclass(frozen=True)
class Spelling:
    """words: those of commands, which others are taken for; kept: words of English that are one
    slip from one of these."""

    words: tuple[str, ...]
    kept: tuple[str, ...] = ()

    def correct(self, text: str, names: Iterable[str] = ()) -> str:
        """Returns `text` with its typing errors corrected, or as it is if there are more than
        MOST. names: words that stay, as do words that are as close to one of them."""
        given = frozenset(names)
        parts, end = [], 0
        for found in _WORD.finditer(text):
            if meant := self.find_meant(found[0], given):
                parts += [text[end : found.start()], meant]
                end = found.end()
            if len(parts) > 2 * MOST:
                return text
        return "".join(parts) + text[end:]

    def find_meant(self, word: str, names: frozenset[str] = frozenset()) -> str:
        """Returns the only word of commands that `word` is one slip away from; "" if `word` is
        known, or if there is no such word, or several, among commands and `names`."""
        if word in self._known or word in names or len(word) > self._longest + 1:
            return ""
        found = {each for each in iterate_slips(word) if each in self._words or each in names}
        return found.pop() if len(found) == 1 and found <= self._words else ""

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(self.words)

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.words), default=0)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset((*self.words, *self.kept))

    def fields(self) -> dict[str, str]:
        """Returns the fields from which `parse_spelling` makes it."""
        return {"words": " ".join(self.words), "kept": " ".join(self.kept)}


def iterate_slips(word: str) -> Iterator[str]:
    """Yields what may have been meant by a word of small letters with a typing error in it."""
    for at in range(len(word)):
        before, letter, after = word[:at], word[at], word[at + 1 :]
        if after and letter != after[0]:
            yield before + after[0] + letter + after[1:]
        if before and before[-1] == letter:
            yield before + after
    if len(word) + 1 >= _SHORTEST_CHANGED:
        for at in range(1, len(word) + 1):
            yield from (word[:at] + letter + word[at:] for letter in _LETTERS)
    if len(word) >= _SHORTEST_CHANGED:
        for at in range(1, len(word)):
            yield from (word[:at] + letter + word[at + 1 :] for letter in _BESIDE[word[at]])


def parse_spelling(fields: object) -> Spelling:
    """Makes it of the fields of a TOML or JSON object. Raises ModelError."""
    if not isinstance(fields, dict):
        raise ModelError("spelling must be a table, as [spelling]")
    if unknown := fields.keys() - {"words", "kept"}:
        raise ModelError(f"unknown field spelling.{min(unknown)}")
    for name in ("words", "kept"):
        text = fields.get(name, "")
        if not isinstance(text, str) or not set(text) <= {*_LETTERS, " ", "\n"}:
            raise ModelError(f"spelling.{name} must be a text of words in small letters a to z")
    return Spelling(*(tuple(fields.get(name, "").split()) for name in ("words", "kept")))
