"""tokenizer.json: tokens as the library gives them, bytes token by token, and what is refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Library

from host.errors import ModelError
from host.model.tokenizers.huggingface import HuggingFaceTokenizer
from host.model.tokenizers.text import TextStream
from tests.host.model_files import VOCABULARY, small_tokenizer, write_tokenizer_json

TEXT = st.text(alphabet="abcdlé \n☃<>", max_size=30)


def write_byte_level(path: Path) -> Path:
    """GPT-2's kind: an alphabet of 256 characters, some merges, and two special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("a", "b"), ("Ġ", "a"), ("Ġa", "b"), ("Ã", "©")]  # the last are é's two bytes
    pieces = [*alphabet, *("".join(pair) for pair in merges)]
    library = Library(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    library.add_special_tokens([AddedToken("<|begin|>"), AddedToken("<|end|>")])
    library.add_tokens(["é☃ plain"])
    library.save(str(path))
    return path


BEGIN, END, PLAIN, BYTE_LEVEL_SIZE = 260, 261, 262, 263


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizers")
    write_tokenizer_json(folder / "spaced.json")
    write_byte_level(folder / "bytes.json")
    return folder


@pytest.fixture(scope="module")
def spaced(folder: Path) -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer.load(folder / "spaced.json", VOCABULARY)


@pytest.fixture(scope="module")
def byte_level(folder: Path) -> HuggingFaceTokenizer:
    data = (folder / "bytes.json").read_bytes()
    return HuggingFaceTokenizer(data, BEGIN, [BEGIN, END], BYTE_LEVEL_SIZE + 5)


def decoded(tokenizer: HuggingFaceTokenizer, tokens: list[int]) -> bytes:
    pairs = zip(tokens[1:], tokens, strict=False)
    return b"".join(tokenizer.decode(token, previous) for token, previous in pairs)


@given(TEXT)
def test_the_same_vocabulary_gives_the_tokens_of_llama2c(
    spaced: HuggingFaceTokenizer, text: str
) -> None:
    if "<" not in text:  # where run.c knows no special tokens in a text
        assert spaced.encode(text) == small_tokenizer().encode(text)


@given(TEXT)
def test_text_comes_back(
    spaced: HuggingFaceTokenizer, byte_level: HuggingFaceTokenizer, text: str
) -> None:
    for tokenizer in (spaced, byte_level):
        tokens = tokenizer.encode(text)
        assert tokens[0] == tokenizer.bos
        assert tokens[1:] == tokenizer.encode(text, bos=False)
        assert decoded(tokenizer, tokens) == text.encode()
        stream = TextStream(tokenizer)
        shown = "".join(stream.push(token) for token in tokens[1:])
        assert shown == text


@given(st.lists(st.integers(0, BYTE_LEVEL_SIZE - 1), max_size=20))
def test_any_tokens_decode_as_the_library_decodes_them(folder: Path, tokens: list[int]) -> None:
    for name, bos in (("spaced", 1), ("bytes", BEGIN)):
        path = folder / f"{name}.json"
        tokenizer = HuggingFaceTokenizer(path.read_bytes(), bos, [bos], VOCABULARY + 5)
        expected = Library.from_file(str(path)).decode(tokens, skip_special_tokens=True)
        try:
            # The library strips a space only of the first token that it shows.
            found = decoded(tokenizer, [bos, *(t for t in tokens if tokenizer.decode(t, 0))])
            found_text = found.decode()
        except UnicodeDecodeError:
            continue  # where it has one sign for each broken character, or several
        assert found_text == expected


def test_tokens_of_the_padding_and_special_ones_give_nothing(
    byte_level: HuggingFaceTokenizer,
) -> None:
    assert byte_level.decode(BYTE_LEVEL_SIZE + 4, 0) == b""
    assert byte_level.decode(BEGIN, 0) == byte_level.decode(END, 0) == b""
    assert byte_level.decode(PLAIN, 0) == "é☃ plain".encode()


def test_characters_are_held_back_until_they_are_whole(byte_level: HuggingFaceTokenizer) -> None:
    tokens = byte_level.encode("☃", bos=False)
    assert len(tokens) == 3
    stream = TextStream(byte_level)
    assert [stream.push(token) for token in tokens] == ["", "", "☃"]


def test_metaspace(folder: Path) -> None:
    fields = json.loads((folder / "spaced.json").read_text())
    for scheme, text in (("always", b"a"), ("never", b" a")):
        fields["decoder"] = {
            "type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": True,
        }  # fmt: skip
        data = json.dumps(fields).encode()
        found = HuggingFaceTokenizer(data, 1, [1, 2], VOCABULARY)
        token = found.encode("a", bos=False)
        assert decoded(found, [1, *token]) == text
        assert found.decode(token[0], 2) == b" a"


def test_bytes_that_are_no_utf8(spaced: HuggingFaceTokenizer) -> None:
    assert spaced.encode("a\udcffb") == spaced.encode("a\ufffdb")


@pytest.mark.parametrize(
    ("files", "bos", "stops"),
    [
        ({}, 1, {1, 2}),  # by their usual names
        ({"config.json": {"bos_token_id": 5, "eos_token_id": 6}}, 5, {5, 6}),
        ({"config.json": {"bos_token_id": 5, "eos_token_id": [6, 7]},
          "generation_config.json": {"eos_token_id": [8, 6]}}, 5, {5, 6, 7, 8}),
        ({"config.json": {"bos_token_id": None, "eos_token_id": 7},
          "tokenizer_config.json": {"bos_token": "</s>"}}, 2, {2, 7}),
        ({"tokenizer_config.json": {"bos_token": {"content": "ab"}, "eos_token": "ba"}},
         260, {260, 261}),
    ],
)  # fmt: skip
def test_special_tokens_by_the_files_beside_it(
    tmp_path: Path, files: dict[str, object], bos: int, stops: set[int]
) -> None:
    write_tokenizer_json(tmp_path / "tokenizer.json")
    for name, fields in files.items():
        (tmp_path / name).write_text(json.dumps(fields))
    found = HuggingFaceTokenizer.load(tmp_path / "tokenizer.json", VOCABULARY)
    assert (found.bos, found.stops) == (bos, stops)


def test_without_bos_a_text_begins_with_what_separates_texts(tmp_path: Path) -> None:
    write_byte_level(tmp_path / "tokenizer.json")
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": END}))
    found = HuggingFaceTokenizer.load(tmp_path / "tokenizer.json", BYTE_LEVEL_SIZE)
    assert (found.bos, found.stops) == (END, {END})


def refusal(path: Path, vocab_size: int) -> str:
    with pytest.raises(ModelError) as caught:
        HuggingFaceTokenizer.load(path, vocab_size)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_what_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    assert refusal(path, 9) == "cannot read the tokenizer: No such file or directory"
    path.write_text('{"version": ')
    assert refusal(path, 9).startswith("not a tokenizer.json of the tokenizers library: ")
    path.write_bytes(b"\xff\xfe\x00")
    assert refusal(path, 9).startswith("not a tokenizer.json of the tokenizers library: ")
    write_byte_level(path)
    message = "no BOS or EOS token: config.json beside it names none"
    assert refusal(path, BYTE_LEVEL_SIZE) == message
    write_tokenizer_json(path)
    message = f"the tokenizer has tokens up to {VOCABULARY - 1}, the model has 40"
    assert refusal(path, 40) == message
    (tmp_path / "config.json").write_text(json.dumps({"bos_token_id": VOCABULARY}))
    message = f"the tokenizer has tokens up to {VOCABULARY}, the model has {VOCABULARY}"
    assert refusal(path, VOCABULARY) == message
    (tmp_path / "config.json").unlink()
    fields = json.loads(path.read_text())
    for decoder, kind in ((None, "none"), ({"type": "WordPiece", "prefix": "##",
                                            "cleanup": True}, "WordPiece")):  # fmt: skip
        path.write_text(json.dumps({**fields, "decoder": decoder}))
        assert refusal(path, VOCABULARY) == f"decoder {kind} is not supported"
    path.write_text(json.dumps({**fields, "decoder": {"suffix": "a"}}))  # the library takes it
    found = refusal(path, VOCABULARY)
    assert found.startswith("not a tokenizer.json of ") and found.endswith("no 'type'")
    prefixed = {**fields["model"], "continuing_subword_prefix": "###"}
    path.write_text(json.dumps({**fields, "model": prefixed}))
    assert refusal(path, VOCABULARY) == "continuing_subword_prefix is not supported"
    path.write_text("[]")
    assert refusal(path, VOCABULARY).startswith("not a tokenizer.json of ")


def test_words_that_are_no_text_name_no_token(tmp_path: Path) -> None:
    path = write_tokenizer_json(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "\\ud800"}')
    tokenizer = HuggingFaceTokenizer.load(path, VOCABULARY)
    assert (tokenizer.bos, tokenizer.stops) == (1, {1})
