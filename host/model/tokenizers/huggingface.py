"""Tokenizers as Hugging Face's tokenizer.json has them, by the tokenizers library.

The library encodes. Decoding is done here, token by token and in bytes, so that text can be shown
as its tokens come; it gives what the library's decoders give for the two kinds that Llama models
use: byte-level (GPT-2's, Llama 3's) and SentencePiece-like (Llama 1's and 2's).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from host.errors import ModelError
from host.model.files import read_small_file
from host.model.other_files import name_start
from host.model.tokenizers.special_tokens import read_special_tokens, read_template

_OTHER_FILE = "not a tokenizer.json of the tokenizers library"
_SPACE = "\u2581"  # SentencePiece's sign for a space
_RAW_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_SPACED_DECODERS = {"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"}


class HuggingFaceTokenizer:
    """Text to tokens and back."""

    def __init__(
        self, data: bytes, bos: int, stops: Iterable[int], vocab_size: int, adds_bos: bool = True
    ) -> None:
        """`data`: the contents of tokenizer.json; vocab_size: the model's, which may be padded;
        adds_bos: whether a text begins with BOS, and not only one that is empty.

        Raises ModelError for a file of another kind, and for tokens that the model has not.
        """
        self.data, self.bos, self.stops = data, bos, frozenset(stops)
        self.adds_bos = adds_bos
        self._tokenizer, fields = _parse(data)
        self.controls = {
            entry["content"]: entry["id"]
            for entry in fields.get("added_tokens", [])
            if entry.get("special")
        }
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        tokens = self._tokenizer.get_vocab(with_added_tokens=True)
        largest = max([*tokens.values(), bos, *self.stops])
        if largest >= vocab_size:
            raise ModelError(
                f"the tokenizer has tokens up to {largest}, the model has {vocab_size}"
            )
        try:
            self._decode_pieces, self._space_first = _decode_pieces(fields, tokens, vocab_size)
        except (AttributeError, KeyError, TypeError) as error:  # the library reads more forms
            raise ModelError(f"{_OTHER_FILE}: no {error}") from None

    @classmethod
    def load(cls, path: str | Path, vocab_size: int) -> HuggingFaceTokenizer:
        """Loads the tokenizer.json at `path`, its special tokens as the files beside it say.

        Raises ModelError, naming the file and what is wrong with it.
        """
        path = Path(path)
        try:
            data = read_small_file(path)
        except OSError as error:
            only = "" if path.exists() else _describe_others(path.parent)
            raise ModelError(
                f"{path}: cannot read the tokenizer: {error.strerror}{only}"
            ) from error
        if name := name_start(data, path):
            raise ModelError(f"{path}: not a tokenizer but {name}")
        try:
            tokenizer, fields = _parse(data)
            bos, stops = read_special_tokens(path.parent, tokenizer)
            adds_bos = read_template(path.parent, tokenizer, fields, bos)
            return cls(data, bos, stops, vocab_size, adds_bos)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from None

    def encode(self, text: str, bos: bool = True, control: bool = True) -> list[int]:
        """Encodes `text`, after BOS where asked for; control: whether texts of control tokens are
        these tokens, and no plain text. Bytes that are no UTF-8 become U+FFFD."""
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        library = self._tokenizer if control else self._plain
        tokens = library.encode(text, add_special_tokens=False).ids
        return [self.bos, *tokens] if bos and (self.adds_bos or not tokens) else list(tokens)

    @cached_property
    def _plain(self) -> Any:
        """The library's tokenizer that takes control tokens for text: another object, for threads
        share both."""
        plain, _ = _parse(self.data)
        plain.no_padding()
        plain.no_truncation()
        plain.encode_special_tokens = True
        return plain

    def decode(self, token: int, previous: int) -> bytes:
        """Returns the bytes of `token` after `previous`: after BOS without the space put first."""
        piece = self._decode_pieces[token]
        if self._space_first and previous == self.bos and piece.startswith(b" "):
            return piece[1:]
        return piece


def _describe_others(folder: Path) -> str:
    """Returns what to do where a folder has a tokenizer in other files only."""
    if any((folder / name).exists() for name in ("tokenizer.model", "vocab.json", "merges.txt")):
        return (
            ", only its parts: transformers.AutoTokenizer.from_pretrained(folder)"
            ".save_pretrained(folder) makes tokenizer.json of them"
        )
    return ""


def _parse(data: bytes) -> tuple[Any, dict[str, Any]]:
    """Parses a file into the library's tokenizer and the fields. Raises ModelError."""
    import tokenizers

    fields: Any = None
    try:
        text = data.decode()
        fields = json.loads(text)
        # With a prefix longer than a token, the library panics, and prints that by itself.
        if fields.get("model", {}).get("continuing_subword_prefix"):
            raise ModelError("continuing_subword_prefix is not supported")
        return tokenizers.Tokenizer.from_str(text), fields
    except (ModelError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # it raises nothing narrower, and its panics are not even that
        reason = " ".join(str(error).split())
        if isinstance(fields, dict) and fields and "model" not in fields:
            reason = "give tokenizer.json itself, which the files beside it do not replace"
        raise ModelError(f"{_OTHER_FILE}: {reason}") from None


def _decode_pieces(
    fields: dict[str, Any], tokens: dict[str, int], vocab_size: int
) -> tuple[list[bytes], bool]:
    """Returns the bytes of every token, none for special ones, and whether a space is put before a
    text."""
    decoders = list(_iterate_decoders(fields.get("decoder")))
    kinds = [decoder["type"] for decoder in decoders]
    if "ByteLevel" in kinds:
        to_bytes, space_first = _decode_byte_level, False
    elif set(kinds) <= _SPACED_DECODERS and {"Replace", "Metaspace"} & set(kinds):
        to_bytes, space_first = _decode_spaced, any(map(_strips_space, decoders))
    else:
        raise ModelError(f"decoder {', '.join(kinds) or 'none'} is not supported")
    special = {entry["id"] for entry in fields.get("added_tokens", []) if entry.get("special")}
    pieces = [b""] * vocab_size
    for text, token in tokens.items():
        if token not in special:
            pieces[token] = to_bytes(text)
    return pieces, space_first


def _iterate_decoders(decoder: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    if decoder and decoder["type"] == "Sequence":
        for part in decoder["decoders"]:
            yield from _iterate_decoders(part)
    elif decoder:
        yield decoder


def _strips_space(decoder: dict[str, Any]) -> bool:
    """Returns whether a decoder drops the space that begins a text."""
    if decoder["type"] == "Metaspace":
        return bool(decoder.get("prepend_scheme", "always") != "never")
    return bool(decoder["type"] == "Strip" and decoder["content"] == " " and decoder["start"])


def _decode_spaced(text: str) -> bytes:
    raw = _RAW_BYTE.fullmatch(text)
    return bytes([int(raw[1], 16)]) if raw else text.replace(_SPACE, " ").encode()


def _decode_byte_level(text: str) -> bytes:
    try:
        return bytes([_BYTE_OF[character] for character in text])
    except KeyError:  # an added token, which is plain text
        return text.encode()


def _iterate_byte_characters() -> Iterator[str]:
    """Yields the character that stands for each byte in GPT-2's vocabulary: itself where it
    prints."""
    others = 0
    for byte in range(256):
        if 33 <= byte <= 126 or 161 <= byte <= 172 or byte >= 174:
            yield chr(byte)
        else:
            yield chr(256 + others)
            others += 1


_BYTE_OF = {character: byte for byte, character in enumerate(_iterate_byte_characters())}
