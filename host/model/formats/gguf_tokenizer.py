"""Reads the tokenizers of GGUF files, with all metadata that change their tokens: SentencePiece's
BPE ("llama") and byte-level ones ("gpt2").

A tokenizer is refused if llama.cpp would encode with it in another way than this program.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from host.errors import ModelError
from host.model.chat import ChatTemplate
from host.model.formats.gguf_byte_level import find_pre_tokenizer, make_tokenizer_json
from host.model.tokenizers.bpe import BpeTokenizer
from host.model.tokenizers.huggingface import HuggingFaceTokenizer

_T = TypeVar("_T")

_SPACE = "\u2581"  # SentencePiece's sign for a space
_CONTROL, _USER_DEFINED = 3, 4  # of tokenizer.ggml.token_type
# Texts of control tokens that llama.cpp takes for the end of a text or turn, whatever the metadata
# say (llama-vocab.cpp, special_eog_ids).
_ENDS = frozenset(
    ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>",
     "<EOT>", "_<EOT>", "<|end_of_text|>", "<end_of_utterance>")
)  # fmt: skip
_KEY = "tokenizer.ggml."
_TEMPLATE_KEY = "tokenizer.chat_template"
# Special tokens that a chat template may name, and their names in a file's metadata.
_WORDS = {
    "bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding",
}  # fmt: skip


class Metadata(Protocol):
    """The metadata of a GGUF file; host/model/formats/gguf.py describes the methods."""

    def get(self, key: str, kind: type[_T], default: _T | None = None) -> _T: ...
    def has(self, key: str) -> bool: ...
    def is_list(self, key: str) -> bool: ...
    def items(self, key: str, kind: type[_T]) -> list[_T]: ...


def read_tokenizer(fields: Metadata, vocab_size: int) -> BpeTokenizer | HuggingFaceTokenizer:
    """Returns the tokenizer of a model with `vocab_size` tokens. Raises ModelError."""
    kind = fields.get(f"{_KEY}model", str)
    if kind == "llama":
        return _read_scores(fields, vocab_size)
    if kind == "gpt2":
        return _read_merges(fields, vocab_size)
    raise ModelError(
        f"its tokenizer is of the kind {kind:.60}, expected llama or gpt2: give the model's"
        " tokenizer.json with --tokenizer"
    )


def read_chat_template(fields: Metadata) -> ChatTemplate | None:
    """Returns the chat template, None if the file has none. Raises ModelError."""
    if not fields.has(_TEMPLATE_KEY):
        return None
    texts = fields.items(f"{_KEY}tokens", str)
    words = {}
    for word, name in _WORDS.items():
        key = f"{_KEY}{name}_token_id"
        if fields.has(key) and not fields.is_list(key):
            words[word] = texts[_special_token(fields, name, 0, len(texts))]
    return ChatTemplate(fields.get(_TEMPLATE_KEY, str), words)


def _read_merges(fields: Metadata, vocab_size: int) -> HuggingFaceTokenizer:
    """Returns a byte-level tokenizer of the tokenizers library."""
    _check_preparation(fields)
    pre_tokenizer = find_pre_tokenizer(fields.get(f"{_KEY}pre", str, "default"))
    texts = _read_texts(fields, vocab_size)
    types = _read_types(fields, vocab_size)
    control = _list_control(types)
    data = make_tokenizer_json(
        texts, fields.items(f"{_KEY}merges", str), pre_tokenizer, control, _list_verbatim(types)
    )
    eos = _list_eos(fields, vocab_size)
    bos = eos[0]  # for a model without BOS: the token that ends a text begins the next
    if fields.has(f"{_KEY}bos_token_id"):
        bos = _special_token(fields, "bos", 0, vocab_size)
    return HuggingFaceTokenizer(
        data,
        bos,
        {bos, *eos, *_find_ends(fields, texts, control, vocab_size)},
        vocab_size,
        fields.get(f"{_KEY}add_bos_token", bool, pre_tokenizer.adds_bos),
    )


def _read_scores(fields: Metadata, vocab_size: int) -> BpeTokenizer:
    """SentencePiece's BPE."""
    _check_preparation(fields)
    before = fields.get(f"{_KEY}pre", str, "default")
    if before not in ("default", "llama-spm"):
        raise ModelError(f"the pre-tokenizer {before:.60} is not supported")
    texts = _read_texts(fields, vocab_size)
    scores = fields.items(f"{_KEY}scores", float)
    if len(scores) != vocab_size:
        raise ModelError(f"the tokenizer has {len(scores)} scores for {vocab_size} tokens")
    types = _read_types(fields, vocab_size)
    control = _list_control(types)
    token_of = {text: token for token, text in enumerate(texts)}
    return BpeTokenizer(
        [text.replace(_SPACE, " ").encode() for text in texts],
        scores,
        bos=_special_token(fields, "bos", 1, vocab_size),
        eos=_list_eos(fields, vocab_size)[0],
        byte_tokens=[token_of.get(f"<0x{byte:02X}>", vocab_size) for byte in range(256)],
        space_first=fields.get(f"{_KEY}add_space_prefix", bool, True),
        adds_bos=fields.get(f"{_KEY}add_bos_token", bool, True),
        further_stops=_find_ends(fields, texts, control, vocab_size),
        silent=control,
        verbatim=_list_verbatim(types),
    )


def _read_texts(fields: Metadata, vocab_size: int) -> list[str]:
    texts = fields.items(f"{_KEY}tokens", str)
    if len(texts) != vocab_size:
        raise ModelError(
            f"the tokenizer has {len(texts)} tokens, the model has {vocab_size} tokens"
        )
    return texts


def _list_control(types: list[int]) -> set[int]:
    return {token for token, kind in enumerate(types) if kind == _CONTROL}


def _list_verbatim(types: list[int]) -> list[int]:
    return [token for token, kind in enumerate(types) if kind == _USER_DEFINED]


def _check_preparation(fields: Metadata) -> None:
    """Raises ModelError for preparations of a text that our tokenizers do not make."""
    for name in ("add_eos_token", "add_sep_token", "remove_extra_whitespaces"):
        if fields.get(f"{_KEY}{name}", bool, False):
            raise ModelError(f"a tokenizer with {name} is not supported")
    if fields.has(f"{_KEY}precompiled_charsmap"):
        raise ModelError("a tokenizer that replaces characters is not supported")


def _read_types(fields: Metadata, vocab_size: int) -> list[int]:
    if not fields.has(f"{_KEY}token_type"):
        return []
    types = fields.items(f"{_KEY}token_type", int)
    if len(types) != vocab_size:
        raise ModelError(f"there are {len(types)} types of tokens for {vocab_size} tokens")
    return types


def _find_ends(fields: Metadata, texts: list[str], control: set[int], vocab_size: int) -> set[int]:
    """Returns the tokens besides EOS that end a text: those that end a turn or a message, and
    those that llama.cpp recognizes by their texts."""
    found = {token for token in control if texts[token] in _ENDS}
    found.update(_list_eos(fields, vocab_size)[1:])
    for name in ("eot", "eom"):
        if fields.has(f"{_KEY}{name}_token_id"):
            found.add(_special_token(fields, name, 0, vocab_size))
    return found


def _list_eos(fields: Metadata, vocab_size: int) -> list[int]:
    """Returns the tokens that a file names as EOS: one, or several."""
    key = f"{_KEY}eos_token_id"
    if not fields.is_list(key):
        return [_special_token(fields, "eos", 2, vocab_size)]
    tokens = fields.items(key, int)
    if not tokens:
        raise ModelError(f"{key} is empty")
    return [_check_token("eos", token, vocab_size) for token in tokens]


def _special_token(fields: Metadata, name: str, default: int, vocab_size: int) -> int:
    token = fields.get(f"{_KEY}{name}_token_id", int, default)
    return _check_token(name, token, vocab_size)


def _check_token(name: str, token: int, vocab_size: int) -> int:
    if not 0 <= token < vocab_size:
        raise ModelError(f"the {name} token {token} is not among the {vocab_size} tokens")
    return token
