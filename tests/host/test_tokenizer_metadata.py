"""Metadata that change a text: honoured or refused, and never ignored."""

import json
from pathlib import Path

import pytest
import tokenizers
from tokenizers import processors

from host.errors import ModelError
from host.generation.text_builder import TextBuilder
from host.model import loading
from host.model.formats import gguf as gguf_file
from host.model.formats import quantized_file
from host.model.quantization.quantize import quantize
from host.model.tokenizers.bpe import BpeTokenizer, serialize_tokens
from host.model.tokenizers.huggingface import HuggingFaceTokenizer
from host.model.tokenizers.text import Tokenizer
from tests.host.model_files import (
    PIECES,
    VOCABULARY,
    small_tokenizer,
    write_gguf,
    write_tokenizer_json,
)
from tests.host.small_models import WORDY
from tests.host.tiny import random_checkpoint

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4
ABBA, CAB = PIECES.index("abba"), PIECES.index("cab")


def types_of(**changed: int) -> list[int]:
    """A type for each token; changed: of the tokens with these pieces."""
    return [changed.get(piece, NORMAL) for piece in PIECES]


def from_gguf(folder: Path, **extra: object) -> BpeTokenizer:
    metadata = {f"tokenizer.ggml.{name}": value for name, value in extra.items()}
    path = folder / "m.gguf"
    write_gguf(random_checkpoint(WORDY), path, small_tokenizer(), extra=metadata)
    return gguf_file.load_tokenizer(path, VOCABULARY)


def kept(tokenizer: Tokenizer, folder: Path) -> Tokenizer:
    """The same, from a quantized model."""
    quantized_file.save(quantize(random_checkpoint(WORDY)), tokenizer, folder / "m.q")
    return quantized_file.load(folder / "m.q")[1]


def test_a_text_begins_without_bos_where_the_file_says_so(tmp_path: Path) -> None:
    found = from_gguf(tmp_path, add_bos_token=False)
    for tokenizer in (found, kept(found, tmp_path)):
        expected = small_tokenizer().encode("abba cab", bos=False)
        assert tokenizer.encode("abba cab") == expected
        assert tokenizer.encode("") == [1]  # a model must be given something
        builder = TextBuilder(tokenizer, tokenizer.encode("abba cab"))
        assert builder.prompt_text == "abba cab"
    assert from_gguf(tmp_path, add_bos_token=True).encode("abba")[0] == 1


@pytest.mark.parametrize("name", ["eot", "eom"])
def test_a_turn_ends_a_text(tmp_path: Path, name: str) -> None:
    found = from_gguf(tmp_path, **{f"{name}_token_id": CAB})
    assert found.stops == kept(found, tmp_path).stops == {1, 2, CAB}
    with pytest.raises(ModelError, match=f"the {name} token 9999 is not among"):
        from_gguf(tmp_path, **{f"{name}_token_id": 9999})


def test_several_tokens_may_end_a_text(tmp_path: Path) -> None:
    library = small_tokenizer()
    library.eos = [2, CAB]  # type: ignore[assignment]
    path = tmp_path / "m.gguf"
    write_gguf(random_checkpoint(WORDY), path, library)
    found = gguf_file.load_tokenizer(path, VOCABULARY)
    assert (found.eos, found.stops) == (2, {1, 2, CAB})
    library.eos = [2, 9999]  # type: ignore[assignment]
    write_gguf(random_checkpoint(WORDY), path, library)
    with pytest.raises(ModelError, match="the eos token 9999 is not among"):
        gguf_file.load_tokenizer(path, VOCABULARY)


def test_control_tokens_have_no_text_and_known_ones_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.model.formats.gguf_tokenizer._ENDS", {"cab"})
    found = from_gguf(tmp_path, token_type=types_of(abba=CONTROL, cab=CONTROL))
    for tokenizer in (found, kept(found, tmp_path)):
        assert tokenizer.stops == {1, 2, CAB}
        assert tokenizer.decode(ABBA, 5) == b""
    with pytest.raises(ModelError, match="there are 2 types of tokens for"):
        from_gguf(tmp_path, token_type=[1, 1])


def test_user_defined_tokens_are_found_before_anything_is_merged(tmp_path: Path) -> None:
    found = from_gguf(tmp_path, token_type=types_of(cab=USER_DEFINED))
    parts = small_tokenizer().encode
    expected = [1, *parts("ab", bos=False), CAB, *parts("ba", bos=False)]
    for tokenizer in (found, kept(found, tmp_path)):
        assert tokenizer.encode("abcabba") == expected
        assert tokenizer.encode("cab") == [1, CAB]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"pre": "llama-bpe"}, "the pre-tokenizer llama-bpe is not supported"),
        ({"add_eos_token": True}, "a tokenizer with add_eos_token is not supported"),
        ({"add_sep_token": True}, "a tokenizer with add_sep_token is not supported"),
        ({"remove_extra_whitespaces": True}, "a tokenizer with remove_extra_whitespaces is not"),
        ({"precompiled_charsmap": [1, 2]}, "a tokenizer that replaces characters is not"),
        ({"eos_token_id_": 1, "add_bos_token": "no"}, "add_bos_token is a str, expected bool"),
    ],
)
def test_what_would_change_a_text_otherwise_is_refused(
    tmp_path: Path, extra: dict[str, object], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        from_gguf(tmp_path, **extra)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"llama.logit_scale": 0.5}, "logit_scale is not supported"),
        ({"llama.rope.scaling.factor": 2.0}, "rope.scaling.factor is not supported"),
        ({"llama.attention.causal": False}, "a model that looks ahead"),
    ],
)
def test_what_would_change_logits_is_refused(
    tmp_path: Path, extra: dict[str, object], message: str
) -> None:
    path = write_gguf(
        random_checkpoint(WORDY), tmp_path / "m.gguf", small_tokenizer(), extra=extra
    )
    with pytest.raises(ModelError, match=message):
        loading.read_header(path)


def test_a_byte_that_a_llama2c_tokenizer_has_no_token_for_is_refused(tmp_path: Path) -> None:
    """run.c would take whatever word stands in its place."""
    words = [b"<unk>", b"<s>", b"</s>", *(b"word%d" % number for number in range(298)), b" ", b"a"]
    path = tmp_path / "tokenizer.bin"
    path.write_bytes(serialize_tokens(BpeTokenizer(words, [0.0] * len(words))))
    found = BpeTokenizer.load(path, len(words))
    assert found.encode("a") == [1, len(words) - 2, len(words) - 1]
    with pytest.raises(ModelError, match=f"none of the tokenizer's {len(words)} tokens is for by"):
        found.encode("hello")


def hugging_face(folder: Path, **files: object) -> HuggingFaceTokenizer:
    """files: contents of those beside it, "_json" left out of the names."""
    path = write_tokenizer_json(folder / "tokenizer.json")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return HuggingFaceTokenizer.load(path, VOCABULARY)


@pytest.mark.parametrize("adds", [True, False])
def test_whether_a_text_begins_with_bos_by_tokenizer_config(tmp_path: Path, adds: bool) -> None:
    found = hugging_face(tmp_path, tokenizer_config={"add_bos_token": adds})
    for tokenizer in (found, kept(found, tmp_path)):
        assert (tokenizer.encode("abba")[0] == 1) == adds
        assert tokenizer.encode("") == [1]


@pytest.mark.parametrize(
    ("template", "begins"), [("<s> $A", True), ("$A", False), ("$A </s>", None)]
)
def test_whether_a_text_begins_with_bos_by_the_template(
    tmp_path: Path, template: str, begins: bool | None
) -> None:
    path = write_tokenizer_json(tmp_path / "tokenizer.json")
    library = tokenizers.Tokenizer.from_file(str(path))
    library.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    library.save(str(path))
    if begins is None:
        with pytest.raises(ModelError, match="it puts other tokens than BOS around a text"):
            HuggingFaceTokenizer.load(path, VOCABULARY)
        return
    assert (HuggingFaceTokenizer.load(path, VOCABULARY).encode("abba")[0] == 1) == begins


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"tokenizer_config": {"add_eos_token": True}}, "a tokenizer with add_eos_token is not"),
        ({"added_tokens": {"<new>": VOCABULARY}}, "token .* is '<new>' in the files beside it"),
        (
            {"tokenizer_config": {"added_tokens_decoder": {"5": {"content": "<new>"}}}},
            "token 5 is '<new>' in the files beside it, and not in tokenizer.json: save the",
        ),
        (
            {"generation_config": {"repetition_penalty": 1.1}},
            "generation_config.json has repetition_penalty, which is not supported: take it out",
        ),
        ({"generation_config": {"suppress_tokens": [5]}}, "generation_config.json has suppress_t"),
        ({"generation_config": {"forced_bos_token_id": 5}}, "generation_config.json has forced_b"),
    ],
)
def test_what_the_files_beside_it_say_is_not_ignored(
    tmp_path: Path, files: dict[str, object], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        hugging_face(tmp_path, **files)


def test_what_changes_nothing_is_taken(tmp_path: Path) -> None:
    found = hugging_face(
        tmp_path,
        generation_config={
            "repetition_penalty": 1.0, "temperature": 0.6, "top_p": 0.9, "eos_token_id": [2, CAB],
            "num_beams": 1, "suppress_tokens": None,
        },
        added_tokens={"<s>": 1},
        tokenizer_config={"added_tokens_decoder": {"1": {"content": "<s>", "special": True}}},
    )  # fmt: skip
    assert found.stops == {1, 2, CAB}
