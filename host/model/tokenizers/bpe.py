"""Byte-pair encoding by scores, with bytes to fall back on: llama2.c's tokenizer, and GGUF's.

Encodes and decodes as `encode` and `decode` of run.c do. Its file, little-endian: int32
length of the longest token, then for each token float32 score, int32 length, and its bytes.
Tokens 0, 1, 2 are unknown, BOS, EOS; tokens 3 to 258 stand for the 256 byte values.
"""

from __future__ import annotations

import heapq
import re
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from host.errors import ModelError
from host.model.files import read_small_file
from host.model.other_files import name_start

BOS = 1
EOS = 2
FIRST_BYTE_TOKEN = 3

TOKEN_HEADER = struct.Struct("<fi")
LONGEST_LENGTH = struct.Struct("<i")
# run.c's search for the best merge starts here, so a score at or below it never merges.
LOWEST_SCORE = -1e10
# A byte and the continuation bytes after it, four bytes at most: a UTF-8 character, in run.c's
# view, which also cuts malformed text.
CHARACTER = re.compile(rb"[\x00-\xff][\x80-\xbf]{0,3}")
# Tokens such as <0x0A> stand for that byte. No closing bracket: run.c's sscanf asks for none.
RAW_BYTE = re.compile(rb"<0x([0-9A-Fa-f]{1,2})")


class BpeTokenizer:
    """Tokens by pieces and scores: llama2.c's, and SentencePiece's BPE in other files."""

    def __init__(
        self,
        pieces: list[bytes],
        scores: list[float],
        *,
        bos: int = BOS,
        eos: int = EOS,
        byte_tokens: Sequence[int] = range(FIRST_BYTE_TOKEN, FIRST_BYTE_TOKEN + 256),
        space_first: bool = True,
        adds_bos: bool = True,
        further_stops: Iterable[int] = (),
        silent: Iterable[int] = (),
        verbatim: Iterable[int] = (),
    ) -> None:
        """`pieces` [vocab]: the bytes of each token; `scores` [vocab]: higher merges first.

        byte_tokens [256]: the token for each byte, one beyond the vocabulary where there is none;
        space_first: whether a space is put before a text; adds_bos: whether a text begins with
        BOS, and not only one that is empty; further_stops: tokens that end a text, besides BOS and
        EOS; silent: tokens that have no text; verbatim: those that stand for their pieces wherever
        they occur in a text, before anything is merged.
        """
        self.pieces = pieces
        self.scores = scores
        self.bos, self.eos = bos, eos
        self.stops = frozenset((bos, eos, *further_stops))
        self.byte_tokens, self.space_first, self.adds_bos = byte_tokens, space_first, adds_bos
        self.silent, self.verbatim = frozenset(silent), tuple(verbatim)
        self.controls = {
            pieces[token].decode(errors="replace"): token
            for token in sorted(self.silent, reverse=True)
            if pieces[token]
        }
        self._verbatim = _compile_pieces(pieces[token] for token in self.verbatim)
        self._special = _compile_pieces(pieces[token] for token in {*verbatim, *self.silent})
        # Reversed, so that the lowest token wins where two have the same bytes.
        self._token_of = {piece: token for token, piece in reversed(list(enumerate(pieces)))}

    @classmethod
    def load(cls, path: str | Path, vocab_size: int) -> BpeTokenizer:
        """Loads the tokenizer at `path`, for a model of `vocab_size` tokens.

        Raises ModelError, naming the file and what is wrong with it.
        """
        try:
            data = read_small_file(path)
        except OSError as error:
            raise ModelError(f"{path}: cannot read the tokenizer: {error.strerror}") from error
        if name := name_start(data, Path(path)):
            raise ModelError(f"{path}: not a tokenizer but {name}")
        try:
            pieces, scores = parse_tokens(data)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from None
        if len(pieces) != vocab_size:
            raise ModelError(
                f"{path}: the tokenizer has {len(pieces)} tokens, the model has {vocab_size}"
            )
        return cls(pieces, scores, byte_tokens=find_byte_tokens(pieces))

    def encode(
        self, text: str, bos: bool = True, control: bool = True, *, eos: bool = False
    ) -> list[int]:
        """Encodes `text`, between BOS and EOS where asked for; control: whether texts of control
        tokens are these tokens, and no plain text.

        Surrogate escapes, as in a command line that was not UTF-8, become the bytes they stand
        for; other lone surrogates raise UnicodeEncodeError. Raises ModelError for a byte that
        this vocabulary cannot express.
        """
        data = text.encode("utf-8", "surrogateescape")
        # As in run.c, BOS stands among what is merged, though nothing merges with it.
        tokens = [self.bos] if bos and (self.adds_bos or not data) else []
        special = self._special if control else self._verbatim
        if special is None:
            tokens = self._merge_pairs([*tokens, *self._encode_characters(data)])
        else:
            for at, part in enumerate(special.split(data)):
                is_special = at % 2 == 1
                tokens += (
                    [self._token_of[part]]
                    if is_special
                    else self._merge_pairs(self._encode_characters(part))
                )
        return [*tokens, self.eos] if eos else tokens

    def _encode_characters(self, data: bytes) -> list[int]:
        """Returns the tokens of each character, a space before them, as yet unmerged."""
        tokens = self._encode_character(b" ") if data and self.space_first else []
        for character in CHARACTER.findall(data):
            tokens += self._encode_character(character)
        return tokens

    def decode(self, token: int, previous: int) -> bytes:
        """Returns the bytes of `token` after `previous`: after BOS without the space put first."""
        piece = b"" if token in self.silent else self.pieces[token]
        if self.space_first and previous == self.bos and piece.startswith(b" "):
            piece = piece[1:]
        raw = RAW_BYTE.match(piece)
        return bytes([int(raw[1], 16)]) if raw else piece

    def decode_all(self, tokens: Iterable[int]) -> bytes:
        """Returns the bytes of `tokens` from the start of a text; a leading BOS has none."""
        pieces = []
        previous = self.bos
        for index, token in enumerate(tokens):
            if index or token != self.bos:
                pieces.append(self.decode(token, previous))
            previous = token
        return b"".join(pieces)

    def _encode_character(self, character: bytes) -> list[int]:
        """Returns the token of a character, or else one token for each of its bytes."""
        token = self._token_of.get(character)
        if token is not None:
            return [token]
        tokens = [self.byte_tokens[byte] for byte in character]
        if max(tokens) >= len(self.pieces):
            byte = character[tokens.index(max(tokens))]
            raise ModelError(
                f"none of the tokenizer's {len(self.pieces)} tokens is for byte 0x{byte:02x}"
            )
        return tokens

    def _merge_pairs(self, tokens: list[int]) -> list[int]:
        """Merges the pair of highest score, leftmost first, while there is one."""
        # A token keeps its place, and the one to its right that is merged into it is skipped from
        # then on. A candidate is stale if one of its two tokens has changed since.
        following = [*range(1, len(tokens)), -1]
        preceding = list(range(-1, len(tokens) - 1))
        candidates: list[tuple[float, int, int, int, int]] = []

        def consider(left: int) -> None:
            right = following[left] if left >= 0 else -1
            if right >= 0:
                score, merged = self._join(tokens[left], tokens[right])
                if merged >= 0:
                    pair = tokens[left], tokens[right]
                    heapq.heappush(candidates, (-score, left, merged, *pair))

        for place in range(len(tokens)):
            consider(place)
        while candidates:
            _, left, merged, *pair = heapq.heappop(candidates)
            right = following[left]
            if right < 0 or [tokens[left], tokens[right]] != pair:
                continue
            tokens[left], tokens[right] = merged, -1
            following[left] = following[right]
            if following[left] >= 0:
                preceding[following[left]] = left
            consider(preceding[left])
            consider(left)
        return [token for token in tokens if token >= 0]

    def _join(self, left: int, right: int) -> tuple[float, int]:
        """Returns score and token of `left` and `right` joined; token -1 if there is none."""
        token = self._token_of.get(self.pieces[left] + self.pieces[right], -1)
        if token < 0 or not self.scores[token] > LOWEST_SCORE:
            return LOWEST_SCORE, -1
        return self.scores[token], token


def _compile_pieces(pieces: Iterable[bytes]) -> re.Pattern[bytes] | None:
    """Returns what finds any of these in a text, the longest first; None if there is none."""
    texts = sorted(filter(None, pieces), key=len, reverse=True)
    return re.compile(b"(" + b"|".join(map(re.escape, texts)) + b")") if texts else None


def find_byte_tokens(pieces: Sequence[bytes]) -> list[int]:
    """Returns the token for each byte where llama2.c's files have them, and a number beyond the
    vocabulary where another token stands there: run.c would take that, and so another word."""
    found = [len(pieces)] * 256
    for byte, piece in enumerate(pieces[FIRST_BYTE_TOKEN : FIRST_BYTE_TOKEN + 256]):
        raw = RAW_BYTE.match(piece)
        if piece == bytes([byte]) or (raw and int(raw[1], 16) == byte):
            found[byte] = FIRST_BYTE_TOKEN + byte
    return found


def serialize_tokens(tokenizer: BpeTokenizer) -> bytes:
    """Returns llama2.c's tokenizer file of these pieces and scores: the inverse of
    `parse_tokens`."""
    tokens = zip(tokenizer.pieces, tokenizer.scores, strict=True)
    longest = LONGEST_LENGTH.pack(max(map(len, tokenizer.pieces)))
    return longest + b"".join(
        TOKEN_HEADER.pack(score, len(piece)) + piece for piece, score in tokens
    )


def parse_tokens(data: bytes) -> tuple[list[bytes], list[float]]:
    """Parses llama2.c's tokenizer file into pieces and scores of all tokens. Raises ModelError."""
    if len(data) < LONGEST_LENGTH.size:
        raise ModelError(f"{len(data)} bytes, too few for a llama2.c tokenizer")
    pieces: list[bytes] = []
    scores: list[float] = []
    offset = LONGEST_LENGTH.size
    while offset < len(data):
        if offset + TOKEN_HEADER.size > len(data):
            raise ModelError(f"truncated in the header of token {len(pieces)}")
        score, length = TOKEN_HEADER.unpack_from(data, offset)
        offset += TOKEN_HEADER.size
        if length < 0:
            raise ModelError(f"not a llama2.c tokenizer: token {len(pieces)} has length {length}")
        if offset + length > len(data):
            raise ModelError(
                f"no llama2.c tokenizer, or truncated: token {len(pieces)} should have {length:,}"
                f" bytes, and {len(data) - offset:,} are left"
            )
        pieces.append(data[offset : offset + length])
        scores.append(score)
        offset += length
    return pieces, scores
