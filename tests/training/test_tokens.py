"""The tokenizer of the shipped model, and commands as batches of tokens."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from host.model.tokenizers.bpe import BOS, BpeTokenizer
from host.paths import HOME_TOKENIZER
from training import bpe
from training.batches import (
    BATCH,
    CHUNK,
    COMMAND_WEIGHT,
    CONTEXT,
    NEWLINE,
    batch,
    batches,
    sequence_of,
    tokenizer_texts,
)
from training.grammar import SEED, Command, Grammar


@pytest.fixture(scope="module")
def tokenizer() -> BpeTokenizer:
    return BpeTokenizer.load(HOME_TOKENIZER, bpe.VOCABULARY)


@pytest.fixture(scope="module")
def commands() -> list[Command]:
    return list(islice(Grammar(SEED + 2).commands(), 3000))


def test_words_encoded_one_by_one_are_the_text_encoded(
    tokenizer: BpeTokenizer, commands: list[Command]
) -> None:
    encoder = bpe.Encoder(tokenizer)
    for command in commands:
        text = f"{command.text}\n{command.action}"
        assert encoder.encode(text) == tokenizer.encode(text)
        assert tokenizer.decode_all(encoder.encode(text)) == text.encode()


def test_commands_are_few_tokens(tokenizer: BpeTokenizer, commands: list[Command]) -> None:
    lengths = [len(sequence_of(bpe.Encoder(tokenizer), command)) for command in commands]
    assert max(lengths) <= CONTEXT
    assert np.mean(lengths) < 32


def test_every_byte_has_a_token_and_digits_have_no_other(tokenizer: BpeTokenizer) -> None:
    assert tokenizer.pieces[3:259] == [bpe.byte_piece(byte) for byte in range(256)]
    assert len(set(tokenizer.pieces)) == bpe.VOCABULARY
    for piece in tokenizer.pieces[259:]:
        assert not set(piece) & set(b"0123456789\n")
        assert b" " not in piece[1:]
    emoji = tokenizer.encode("é 7\x00")
    assert tokenizer.decode_all(emoji) == "é 7\x00".encode()


def test_the_shipped_tokenizer_is_one_of_the_grammar(tokenizer: BpeTokenizer) -> None:
    """It was learnt from an earlier state of the grammar, which most merges have outlived."""
    learnt = bpe.trained(islice(tokenizer_texts(), 15_000))
    merges = set(learnt.pieces[259:])
    assert len(merges & set(tokenizer.pieces[259:])) > 0.5 * len(merges)


def test_a_symbol_is_a_token_of_its_own(tokenizer: BpeTokenizer) -> None:
    """So that a symbol is written in one way, whatever stands around it."""
    for piece in tokenizer.pieces[259:]:
        letters = piece.decode().strip()
        assert (
            letters.islower()
            or not any(letter.isupper() for letter in letters)
            or (len(letters) == 1)
        )


def test_a_saved_tokenizer_loads_as_it_was(tokenizer: BpeTokenizer, tmp_path: Path) -> None:
    bpe.save(tokenizer, tmp_path / "tok.bin")
    assert (tmp_path / "tok.bin").read_bytes() == HOME_TOKENIZER.read_bytes()


def test_actions_count_whole_commands_little_and_padding_not() -> None:
    encoded = batch([[BOS, 50, 60, NEWLINE, 70, BOS], [BOS, 50, NEWLINE, BOS]])
    assert encoded.tokens.tolist() == [[BOS, 50, 60, NEWLINE, 70], [BOS, 50, NEWLINE, BOS, 0]]
    assert encoded.targets.tolist() == [[50, 60, NEWLINE, 70, BOS], [50, NEWLINE, BOS, 0, 0]]
    little = COMMAND_WEIGHT
    expected = [[little, little, little, 1, 1], [little, little, 1, 0, 0]]
    np.testing.assert_allclose(encoded.weights, expected, rtol=1e-6)


@pytest.mark.verify
def test_a_batch_is_the_same_wherever_one_starts(tokenizer: BpeTokenizer) -> None:
    encoder = bpe.Encoder(tokenizer)
    first = list(islice(batches(encoder, 0), CHUNK + 3))
    assert all(len(batch.tokens) == BATCH for batch in first)
    for start in (5, CHUNK - 1, CHUNK + 1):
        again = islice(batches(encoder, start), 2)
        for one, other in zip(first[start : start + 2], again, strict=True):
            np.testing.assert_array_equal(one.tokens, other.tokens)
