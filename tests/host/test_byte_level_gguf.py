"""Byte-level tokenizers of GGUF files: the tokens that the tokenizers library gives."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Library

from host.errors import ModelError
from host.model.formats import gguf as gguf_file
from host.model.formats import quantized_file
from host.model.quantization.quantize import quantize
from host.model.tokenizers.huggingface import HuggingFaceTokenizer
from host.model.tokenizers.pre_tokenizers import PRE_TOKENIZERS
from host.model.tokenizers.text import Tokenizer
from tests.host.byte_level import CONTROLS, library, metadata, vocabulary
from tests.host.model_files import config_of, write_gguf
from tests.host.tiny import random_checkpoint


def write(folder: Path, **changed: object) -> Path:
    config = config_of(8, 1, 2, 9, vocabulary())
    return write_gguf(random_checkpoint(config), folder / "m.gguf", extra=metadata(**changed))


def load(folder: Path, **changed: object) -> Tokenizer:
    return gguf_file.load_tokenizer(write(folder, **changed), vocabulary())


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load(tmp_path_factory.mktemp("byte-level"))


ALPHABET = st.sampled_from([*"ab the'sdog 12\n\t.,!<>|\u00e9\u65e5\U0001f642", *CONTROLS])


@settings(max_examples=300, deadline=None)
@given(st.lists(ALPHABET, max_size=30).map("".join))
def test_tokens_are_those_of_the_library(tokenizer: Tokenizer, text: str) -> None:
    found = tokenizer.encode(text, bos=False)
    assert found == library().encode(text, add_special_tokens=False).ids
    plain = tokenizer.encode(text, bos=False, control=False)
    decoded = b"".join(tokenizer.decode(token, 1) for token in plain)
    assert decoded.decode() == text
    assert not set(plain) & {0, 1, 2}


def test_what_the_metadata_say_is_kept_in_a_quantized_model(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    config = config_of(8, 1, 2, 9, vocabulary())
    quantized_file.save(quantize(random_checkpoint(config)), tokenizer, tmp_path / "m.q")
    for each in (tokenizer, quantized_file.load(tmp_path / "m.q")[1]):
        assert (each.bos, each.stops) == (1, {0, 1, 2})  # <|endoftext|> ends a text by its name
        assert each.encode("") == [1] and each.encode("a")[0] != 1
        assert each.controls == {text: token for token, text in enumerate(CONTROLS)}
        text = "<|im_start|>user"
        assert each.encode(text)[0] == 1
        assert each.encode(text, control=False)[0] not in (0, 1, 2)


def test_whether_a_text_begins_with_bos_by_the_pre_tokenizer(tmp_path: Path) -> None:
    for name, begins in (("llama-bpe", True), ("qwen2", False), ("tekken", True)):
        found = load(tmp_path, pre=name, add_bos_token=None)
        assert (found.encode("a")[0] == 1) == begins, name
    assert load(tmp_path, pre="llama-bpe", add_bos_token=False).encode("a")[0] != 1


def test_digits_are_cut_as_each_kind_has_it(tmp_path: Path) -> None:
    """123 was seen in training: a token where three digits stay together, in no other kind."""
    digits = library().token_to_id("12")
    assert digits is None  # training cut them
    for name in PRE_TOKENIZERS:
        found = load(tmp_path, pre=name)
        assert isinstance(found, HuggingFaceTokenizer)
        cut = Library.from_str(found.data.decode()).pre_tokenizer
        words = [word for word, _ in cut.pre_tokenize_str("a1234's")]
        expected = {"llama-bpe": ["a", "123", "4", "'s"], "gpt-2": ["a", "1234", "'s"]}
        if name in expected:
            assert words == expected[name]
        if name in ("smollm", "qwen2", "tekken"):
            assert words[1:5] == ["1", "2", "3", "4"]


def test_a_file_without_bos_begins_with_what_ends_a_text(tmp_path: Path) -> None:
    found = load(tmp_path, bos_token_id=None)
    assert (found.bos, found.stops) == (2, {0, 2})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pre": "default"}, "the pre-tokenizer default is not supported: give the model's"),
        ({"pre": "deepseek-llm"}, "the pre-tokenizer deepseek-llm is not supported"),
        ({"merges": ["zz q"]}, "the merge 'zz q' leads to no token"),
        ({"merges": ["zzq"]}, "the merge 'zzq' leads to no token"),
        ({"merges": None}, "tokenizer.ggml.merges is missing"),
        ({"add_eos_token": True}, "a tokenizer with add_eos_token is not supported"),
        ({"model": "bert"}, "its tokenizer is of the kind bert, expected llama or gpt2: give"),
        ({"eos_token_id": 9999}, "the eos token 9999 is not among"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    tmp_path: Path, changed: dict[str, object], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        load(tmp_path, **changed)
