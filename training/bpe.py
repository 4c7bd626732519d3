"""The tokenizer of the shipped model: byte-pair merges learnt from commands, in llama2.c's format.

Tokens 0, 1, 2 are unknown, BOS, EOS; 3 to 258 are the bytes, with printable ASCII characters
written as themselves, so that merges start from them and no token is duplicated; then come the
merges, with higher scores for earlier ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from host.model.tokenizers.bpe import FIRST_BYTE_TOKEN, LONGEST_LENGTH, TOKEN_HEADER, BpeTokenizer

VOCABULARY = 512
SPECIAL = (b"<unk>", b"\n<s>\n", b"\n</s>\n")  # as in llama2.c's files
PRINTABLE = range(0x20, 0x7F)
# Merges stay within a word with the space before it. Each digit is a token of its own, so that all
# numbers are read and written in the same way, and so is each symbol that stands for a name.
WORD = r" ?[A-Z]| ?[^\s\dA-Z]+|\d| |\n"
_WORDS = re.compile(r" ?[^ \n]+|[ \n]")


def byte_piece(byte: int) -> bytes:
    """Returns the token of one byte."""
    return bytes([byte]) if byte in PRINTABLE else b"<0x%02X>" % byte


def trained(texts: Iterable[str]) -> BpeTokenizer:
    """Returns a tokenizer of VOCABULARY tokens, with the most frequent merges of `texts`."""
    from tokenizers import Regex, models, pre_tokenizers
    from tokenizers import Tokenizer as Learner
    from tokenizers.trainers import BpeTrainer

    learner = Learner(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "isolated")
    letters = [chr(byte) for byte in PRINTABLE]
    count = VOCABULARY - FIRST_BYTE_TOKEN - 256
    trainer = BpeTrainer(
        vocab_size=len(letters) + 1 + count, initial_alphabet=[*letters, "\n"], show_progress=False
    )
    learner.train_from_iterator((f" {text}" for text in texts), trainer)
    ranked = sorted(learner.get_vocab().items(), key=lambda item: item[1])
    merges = [piece.encode() for piece, _ in ranked if len(piece) > 1]
    if len(merges) != count:
        raise ValueError(f"{len(merges)} merges learnt, expected {count}")
    pieces = [*SPECIAL, *map(byte_piece, range(256)), *merges]
    return BpeTokenizer(pieces, [0.0] * (len(pieces) - count) + [-float(i) for i in range(count)])


def save(tokenizer: BpeTokenizer, path: str | Path) -> None:
    """Writes `tokenizer` in the format of llama2.c."""
    with open(path, "wb") as file:
        file.write(LONGEST_LENGTH.pack(max(map(len, tokenizer.pieces))))
        for piece, score in zip(tokenizer.pieces, tokenizer.scores, strict=True):
            file.write(TOKEN_HEADER.pack(score, len(piece)) + piece)


class Encoder:
    """Gives the same tokens as BpeTokenizer.encode, but encodes word by word, and each word only
    once.

    That holds for vocabularies without tokens that extend beyond a space or a line end.
    """

    def __init__(self, tokenizer: BpeTokenizer) -> None:
        self._tokenizer = tokenizer
        self._words: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Returns the tokens of `text`, which must not be empty, after BOS."""
        tokens = self._tokenizer.encode("")
        for word in _WORDS.findall(f" {text}"):
            if word not in self._words:
                # After a line's end: encode's own space before a text is then a token by itself.
                self._words[word] = self._tokenizer.encode(f"\n{word}", bos=False)[2:]
            tokens += self._words[word]
        return tokens
