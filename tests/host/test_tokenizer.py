"""The tokenizer against run.c's rules, restated here as plainly as they can be."""

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.errors import ModelError
from host.model.tokenizers.bpe import BOS, EOS, BpeTokenizer
from host.model.tokenizers.text import TextStream
from host.paths import HOME_TOKENIZER

BYTE_PIECES = [b"<0x%02X>" % byte for byte in range(256)]
SPECIAL = [b"<unk>", b"\n<s>\n", b"\n</s>\n"]
# Scores with ties, and three merges that are at or below the score where run.c starts.
EXTRA = [
    (b" ", 0.0), (b"a", 0.0), (b"b", 0.0), (b"c", 0.0), (b"\xc3\xa9", 0.0),
    (b"ab", -1.0), (b"bc", -1.0), (b" a", -2.0), (b"aa", -2.0), (b"abc", -3.0), (b" abc", -1.0),
    (b"abab", 4.0), (b"cc", -1e10), (b"ca", float("nan")), (b"ba", float("-inf")),
    (b"\xc3\xa9a", -1.0), (b"a ", 1.0), (b"a b", 2.0), (b" a b", 2.5),
    # A character of four bytes, and what a cut at five bytes would find.
    ("😀".encode(), 0.0), ("😀".encode() + b"\x80", 0.0), (b"\x80\x80", 0.0),
]  # fmt: skip
PIECES = SPECIAL + BYTE_PIECES + [piece for piece, _ in EXTRA]
SCORES = [0.0] * 259 + [score for _, score in EXTRA]


@pytest.fixture(scope="module")
def small() -> BpeTokenizer:
    return BpeTokenizer(PIECES, SCORES)


@pytest.fixture(scope="module")
def home() -> BpeTokenizer:
    """The shipped model's, which was trained on text."""
    return BpeTokenizer.load(HOME_TOKENIZER, 512)


def _file(path: Path, pieces: list[bytes], scores: list[float]) -> Path:
    """A tokenizer file."""
    tokens = zip(pieces, scores, strict=True)
    body = b"".join(struct.pack("<fi", score, len(piece)) + piece for piece, score in tokens)
    path.write_bytes(struct.pack("<i", max(map(len, pieces))) + body)
    return path


def _characters(data: bytes) -> list[bytes]:
    """`data` cut as run.c cuts it: at leading bytes, and after four bytes at the latest."""
    characters = []
    start = 0
    for end in range(1, len(data) + 1):
        continued = end < len(data) and data[end] & 0xC0 == 0x80
        if not continued or end - start == 4:
            characters.append(data[start:end])
            start = end
    return characters


def _encoded(pieces: list[bytes], scores: list[float], data: bytes) -> list[int]:
    """Tokens of `data` by brute force: every pair looked up anew after every merge."""
    tokens = [BOS]
    for character in ([b" "] if data else []) + _characters(data):
        if character in pieces:
            tokens.append(pieces.index(character))
        else:
            tokens += [byte + 3 for byte in character]
    while True:
        best_score, best_place, best_token = -1e10, -1, -1
        for place in range(len(tokens) - 1):
            joined = pieces[tokens[place]] + pieces[tokens[place + 1]]
            if joined in pieces and scores[pieces.index(joined)] > best_score:
                best_token = pieces.index(joined)
                best_score, best_place = scores[best_token], place
        if best_place < 0:
            return tokens
        tokens[best_place : best_place + 2] = [best_token]


@given(st.text(alphabet=" abcé", max_size=40))
@settings(max_examples=300)
def test_merges_follow_the_rule_where_scores_tie(small: BpeTokenizer, text: str) -> None:
    assert small.encode(text) == _encoded(PIECES, SCORES, text.encode())


@given(st.lists(st.sampled_from(["😀".encode(), b"\x80", b"\xf0", b"\xc3\xa9", b"a"]), max_size=9))
@settings(max_examples=300)
def test_characters_are_cut_by_the_rule(small: BpeTokenizer, parts: list[bytes]) -> None:
    data = b"".join(parts)
    text = data.decode("utf-8", "surrogateescape")
    assert small.encode(text) == _encoded(PIECES, SCORES, data)


@pytest.mark.parametrize("score", [-1e10, float("-inf"), float("nan")])
def test_a_score_that_is_not_above_the_lowest_never_merges(score: float) -> None:
    tokenizer = BpeTokenizer([*SPECIAL, *BYTE_PIECES, b" ", b"a", b" a"], [0.0] * 261 + [score])
    assert tokenizer.encode("a", bos=False) == [259, 260]


@given(st.text(max_size=30))
def test_any_text_is_encoded_by_the_rule(home: BpeTokenizer, text: str) -> None:
    assert home.encode(text) == _encoded(home.pieces, home.scores, text.encode())


@given(st.binary(max_size=30))
def test_bytes_that_are_no_utf8_are_encoded_by_the_rule(
    home: BpeTokenizer, data: bytes
) -> None:
    text = data.decode("utf-8", "surrogateescape")
    assert home.encode(text) == _encoded(home.pieces, home.scores, data)
    assert home.decode_all(home.encode(text)) == data


@given(st.text(max_size=60), st.booleans())
def test_decoding_gives_back_any_text(home: BpeTokenizer, text: str, bos: bool) -> None:
    assert home.decode_all(home.encode(text, bos=bos)).decode() == text


def test_bos_and_eos(home: BpeTokenizer) -> None:
    body = home.encode("a b", bos=False)
    assert body and BOS not in body
    assert home.encode("a b") == [BOS, *body]
    assert home.encode("a b", eos=True) == [BOS, *body, EOS]
    assert home.encode("") == [BOS]
    assert home.encode("", bos=False, eos=True) == [EOS]


def test_the_texts_of_the_c_program(shared_models: Path) -> None:
    stories = BpeTokenizer.load(shared_models / "tok512.bin", 512)
    runs = json.loads((shared_models / "stories260K.greedy.json").read_text())
    assert len(runs) == 7
    for run in runs:
        prompt = run["prompt"]
        tokens = stories.encode(prompt)
        assert tokens == _encoded(stories.pieces, stories.scores, prompt.encode())
        assert stories.decode_all(tokens).decode() == prompt
        tokens = stories.encode(run["text"])
        assert stories.decode_all(tokens).decode() == run["text"]
        stream = TextStream(stories)
        assert "".join(map(stream.push, tokens[1:])) == run["text"]


@pytest.mark.parametrize(
    ("text", "tokens"),
    # As the C program's algorithm gives them.
    [
        ("Once upon a time", [1, 403, 407, 261, 378]),
        ("Lily and Tom", [1, 317, 269, 274, 287]),
        ("Zoé was ☃", [1, 410, 469, 414, 485, 286, 410, 229, 155, 134]),
    ],
)
def test_tokens_of_a_text(shared_models: Path, text: str, tokens: list[int]) -> None:
    stories = BpeTokenizer.load(shared_models / "tok512.bin", 512)
    assert stories.encode(text) == tokens


def test_one_leading_space_goes_after_bos_only(small: BpeTokenizer) -> None:
    space = PIECES.index(b" ")
    assert small.decode(PIECES.index(b" a"), BOS) == b"a"
    assert small.decode(PIECES.index(b" a"), space) == b" a"
    assert small.decode(space, BOS) == b""
    assert small.decode_all([space, space]) == b" "
    assert small.decode_all(small.encode("  a")) == b"  a"


def test_raw_byte_tokens_decode_to_their_byte(small: BpeTokenizer) -> None:
    assert [small.decode(3 + byte, 0) for byte in range(256)] == [
        bytes([byte]) for byte in range(256)
    ]
    # run.c's sscanf asks for neither a second digit nor the bracket.
    odd = BpeTokenizer([b"<0xA", b"<0x41 and more", b"<0xg>", b"x<0x41>"], [0.0] * 4)
    assert [odd.decode(token, 0) for token in range(4)] == [b"\n", b"A", b"<0xg>", b"x<0x41>"]


def test_the_lowest_of_two_equal_tokens_is_taken() -> None:
    tokenizer = BpeTokenizer([*PIECES, b"a", b"ab"], [*SCORES, 0.0, 9.0])
    assert tokenizer.encode("ab", bos=False) == [PIECES.index(b" "), PIECES.index(b"ab")]


def test_a_byte_without_a_token_is_named() -> None:
    tokenizer = BpeTokenizer([*SPECIAL, b" ", b"a"], [0.0] * 5)
    assert tokenizer.encode("a") == [BOS, 3, 4]
    with pytest.raises(ModelError, match="none of the tokenizer's 5 tokens is for byte 0xc3"):
        tokenizer.encode("é")


def test_a_stream_holds_back_incomplete_characters(small: BpeTokenizer) -> None:
    stream = TextStream(small)
    tokens = [3 + byte for byte in "x€😀".encode()]
    assert [stream.push(token) for token in tokens] == ["x", "", "", "€", "", "", "", "😀"]


def test_a_stream_drops_control_bytes_and_stray_bytes(small: BpeTokenizer) -> None:
    stream = TextStream(small)
    shown = "".join(stream.push(3 + byte) for byte in range(128))
    assert shown == "\t\n\v\f\r" + "".join(map(chr, range(0x20, 0x7F)))
    assert [stream.push(3 + byte) for byte in b"\xa9\xe2\x82z"] == ["", "", "", "z"]


def test_a_stream_strips_the_space_after_bos_once(small: BpeTokenizer) -> None:
    token = PIECES.index(b" a")
    stream = TextStream(small)
    assert [stream.push(token), stream.push(token)] == ["a", " a"]
    assert TextStream(small, previous=token).push(token) == " a"


def test_a_file_gives_its_pieces_and_scores(tmp_path: Path) -> None:
    path = _file(tmp_path / "tok.bin", PIECES[:270], SCORES[:270])
    tokenizer = BpeTokenizer.load(path, 270)
    assert tokenizer.pieces == PIECES[:270]
    assert tokenizer.scores == SCORES[:270]


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (0, "0 bytes, too few for a llama2.c tokenizer"),
        (3, "3 bytes, too few for a llama2.c tokenizer"),
        (10, "truncated in the header of token 0"),
        (12, "no llama2.c tokenizer, or truncated: token 0 should have 5 bytes, and 0 are left"),
        (16, "no llama2.c tokenizer, or truncated: token 0 should have 5 bytes, and 4 are left"),
        (18, "truncated in the header of token 1"),
        (17, "the tokenizer has 1 tokens, the model has 259"),
    ],
)
def test_a_truncated_file_is_refused(tmp_path: Path, length: int, message: str) -> None:
    path = _file(tmp_path / "tok.bin", PIECES[:259], SCORES[:259])
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ModelError) as caught:
        BpeTokenizer.load(path, 259)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize("vocab_size", [511, 513, 32000])
def test_the_wrong_size_is_refused(vocab_size: int) -> None:
    with pytest.raises(ModelError) as caught:
        BpeTokenizer.load(HOME_TOKENIZER, vocab_size)
    assert str(caught.value) == (
        f"{HOME_TOKENIZER}: the tokenizer has 512 tokens, the model has {vocab_size}"
    )


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot read the tokenizer: No such file or directory"):
        BpeTokenizer.load(tmp_path / "none.bin", 512)
    path = tmp_path / "other.bin"
    path.write_bytes(b"\xff" * 40)
    with pytest.raises(ModelError, match="not a llama2.c tokenizer: token 0 has length -1"):
        BpeTokenizer.load(path, 512)


def test_a_long_text_takes_no_longer_than_its_length(home: BpeTokenizer) -> None:
    text = "Once upon a time, Zoé ☃ was here. " * 3000
    tokens = home.encode(text)
    assert home.decode_all(tokens).decode() == text
    # Words do not merge across spaces here, so a text's tokens repeat as it does.
    once = home.encode("Once upon a time, Zoé ☃ was here. " * 2)
    assert tokens[: len(once) - 1] == once[:-1]


def test_another_bos_begins_a_stream(small: BpeTokenizer) -> None:
    moved = BpeTokenizer(PIECES, SCORES, bos=7, eos=8)
    assert moved.stops == {7, 8}
    assert moved.encode("a", eos=True) == [7, *small.encode("a", bos=False), 8]
    token = PIECES.index(b" a")
    assert TextStream(moved).push(token) == "a"
    assert TextStream(moved, previous=BOS).push(token) == " a"
