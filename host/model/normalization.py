"""Rewrites a prompt before a model sees it, if the model's prompt format asks for that.

A model that was trained on lower-case commands without punctuation would misunderstand `TURN ON
THE LIGHT!`. Its format says so, and the prompt is rewritten in the way that the model knows.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from host.errors import ModelError

_MARKS = ",;:.!?"
# What may stand around a command and is no part of it; of these, a minus may begin a number.
_AROUND = f"{_MARKS}\"'()[]{{}}<>*_~#|/\\-\u2022\u00a1\u00bf \t\n"
# What people type, or their keyboards for them, in the place of ASCII's marks.
_TYPED = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4`", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        **dict.fromkeys("\u3001\uff64", ","),
        **dict.fromkeys("\u3002\uff61", "."),
        "\u2026": "...",
        **{chr(code + 0xFEE0): chr(code) for code in range(0x21, 0x7F)},  # full width
    }
)
_INITIALS = re.compile(r"\b(?:[^\W\d_]\.){2,}")  # p.m., t.v.
_BRACKETS = re.compile(r"[\"()\[\]{}<>*_~|\u2022\u00a1\u00bf]|(?<!\w)'|'(?!\w)")
_BETWEEN = re.compile(r"\s*[,;:.!?]+(?=\s)|\s+-+(?=\s)|\.{2,}")  # not in 19:30, nor in 1.5
# A wake word is followed by one of these or a blank; one that ends in a comma, only by a mark.
_AFTER_NAME, _AFTER_WORD = rf"\s*[{_MARKS}]+", rf"(?=[\s{_MARKS}])[\s{_MARKS}]*"


@dataclass(frozen=True)
class Normalization:
    """How prompts are rewritten. Blanks always become single spaces.

    lower_case: whether to make letters lower-case; punctuation: whether to drop marks around a
    prompt, and replace those within it by commas, and typographic ones by ASCII; wake_words: words
    to drop at the start of a prompt, as "hey" and "alexa"; one that ends in a comma is only
    dropped before a mark, as in "computer, lights on".
    """

    lower_case: bool = False
    punctuation: bool = False
    wake_words: tuple[str, ...] = ()

    def apply(self, prompt: str) -> str:
        """Returns the prompt that the model shall see; it is empty only if `prompt` is blank."""
        text = " ".join(prompt.split())
        if self.lower_case:
            text = text.lower()
        if self.punctuation:
            text = _simplify_marks(text) or text
        while self._wake and (found := self._wake.match(text)) and text[found.end() :].strip():
            text = text[found.end() :].strip()
        return text

    @cached_property
    def _wake(self) -> re.Pattern[str] | None:
        # The longer first, so that "hey google" is not "hey" and an unknown word.
        words = sorted(self.wake_words, key=lambda word: -len(word))
        patterns = [
            re.escape(word.removesuffix(","))
            + (_AFTER_NAME if word.endswith(",") else _AFTER_WORD)
            for word in words
        ]
        return re.compile("|".join(patterns), re.IGNORECASE) if patterns else None

    def fields(self) -> dict[str, Any]:
        """Returns the fields from which `parse_normalization` makes it."""
        return {**asdict(self), "wake_words": list(self.wake_words)}


def parse_normalization(fields: object) -> Normalization:
    """Makes a Normalization from the fields of a TOML or JSON object. Raises ModelError."""
    if not isinstance(fields, dict):
        raise ModelError("normalization must be a table, as [normalization]")
    for name in ("lower_case", "punctuation"):
        if not isinstance(fields.get(name, False), bool):
            raise ModelError(f"normalization.{name} must be true or false")
    words = fields.get("wake_words", [])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ModelError("normalization.wake_words must be a list of texts")
    if not all(word.strip(", ") for word in words):
        raise ModelError("normalization.wake_words: a word must not be empty")
    if unknown := fields.keys() - {"lower_case", "punctuation", "wake_words"}:
        raise ModelError(f"unknown field normalization.{min(unknown)}")
    return Normalization(
        fields.get("lower_case", False), fields.get("punctuation", False), tuple(words)
    )


def _simplify_marks(text: str) -> str:
    """Returns the text without emoji and surrounding marks, with only commas between words."""
    text = text.translate(_TYPED)
    text = "".join(" " if _is_picture(character) else character for character in text)
    text = _INITIALS.sub(lambda found: found[0].replace(".", ""), text)
    text = _BETWEEN.sub(",", _BRACKETS.sub(" ", text))
    return " ".join(text.split()).replace(" ,", ",").strip(_AROUND)


def _is_picture(character: str) -> bool:
    """Returns whether a character is an emoji or part of one; a degree sign, of the same Unicode
    category, is not."""
    is_symbol = unicodedata.category(character) in ("So", "Sk") and character != "\u00b0"
    return is_symbol or character in "\u200d\ufe0e\ufe0f"
