"""Text to tokens and back: what every tokenizer offers, and text as its tokens come."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Protocol

# What isprint or isspace accept in the C locale, plus all of 0x80 to 0xFF, which run.c drops
# when they come alone but which are parts of UTF-8 characters.
SHOWN_BYTES = frozenset(b"\t\n\v\f\r" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100)))


class Tokenizer(Protocol):
    """Text to tokens and back, whatever file the tokens came from."""

    @property
    def bos(self) -> int:
        """The token that every text begins with."""

    @property
    def stops(self) -> frozenset[int]:
        """The tokens that end a text; `bos`, which begins another, is one of them."""

    @property
    def controls(self) -> Mapping[str, int]:
        """Tokens that have no text of their own, as those around a message, by the texts that
        stand for them."""

    def encode(self, text: str, bos: bool = True, control: bool = True) -> list[int]:
        """Encodes `text`, after `bos` where asked for; control: whether texts of `controls` are
        these tokens. Raises ModelError for what it cannot express."""

    def decode(self, token: int, previous: int) -> bytes:
        """Returns the bytes of `token` when it follows `previous`, which may be a part of a
        character."""


class TextStream:
    """Decodes the tokens of a generation as they come."""

    def __init__(self, tokenizer: Tokenizer, previous: int | None = None) -> None:
        """`previous`: the token before the first one that is pushed, None for BOS."""
        self._tokenizer = tokenizer
        self._previous = tokenizer.bos if previous is None else previous
        # A byte that cannot be part of a UTF-8 character gives nothing, as in run.c.
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")

    def push(self, token: int) -> str:
        """Returns the text that `token` completes; empty while a UTF-8 character is incomplete.

        As in run.c, single bytes that are control characters give nothing. Unlike there,
        characters outside ASCII that come byte by byte are put together.
        """
        piece = self._tokenizer.decode(token, self._previous)
        self._previous = token
        if len(piece) == 1 and piece[0] not in SHOWN_BYTES:
            return ""
        return self._decoder.decode(piece)
