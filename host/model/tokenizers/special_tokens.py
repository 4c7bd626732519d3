"""What the files beside a tokenizer.json say: which tokens begin and end a text, and what else
changes it.

What transformers would do to a text by these files, and we would not, is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from host.errors import ModelError
from host.model.chat import ChatTemplate
from host.model.files import read_small_file
from host.model.json_file import read_json

# Fields of generation_config.json by which transformers changes the tokens that it chooses, and
# the values by which it does not. How tokens are drawn (temperature, top_k, top_p) is not among
# them: that is what the options of `run` and of the API are for.
_CHOOSERS: dict[str, tuple[object, ...]] = {
    "repetition_penalty": (1,),
    "encoder_repetition_penalty": (1,),
    "no_repeat_ngram_size": (0,),
    "num_beams": (1,),
    "num_beam_groups": (1,),
    "diversity_penalty": (0,),
    "penalty_alpha": (0,),
    "length_penalty": (1,),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "guidance_scale": (1,),
    "bad_words_ids": ([],),
    "sequence_bias": ({}, []),
    "suppress_tokens": ([],),
    "begin_suppress_tokens": ([],),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "forced_decoder_ids": ([],),
    "stop_strings": ([], ""),
    "renormalize_logits": (False,),
    "exponential_decay_length_penalty": (),
}


# Classes of tokenizers, by the beginnings of their names, that put BOS before a text unless their
# settings forbid it; others do so only where tokenizer.json says it.
_CLASSES_WITH_BOS = ("Llama", "CodeLlama", "Gemma")


def read_special_tokens(folder: Path, tokenizer: Any) -> tuple[int, set[int]]:
    """Returns BOS, and the tokens that end a text.

    From config.json and generation_config.json or else tokenizer_config.json; where a model has
    no BOS, the token that separates its texts.
    """
    config, generation, words = (
        _read(folder, name)
        for name in ("config.json", "generation_config.json", "tokenizer_config.json")
    )
    stops = set(_read_ids(config.get("eos_token_id"))) | set(
        _read_ids(generation.get("eos_token_id"))
    )
    stops = stops or set(_look_up(tokenizer, words.get("eos_token"), "</s>"))
    bos = [
        *_read_ids(config.get("bos_token_id")),
        *_look_up(tokenizer, words.get("bos_token"), "<s>"),
    ]
    first = [*bos, *sorted(stops)]
    if not first:
        raise ModelError("no BOS or EOS token: config.json beside it names none")
    return first[0], stops | {first[0]}


def _read_ids(value: object) -> list[int]:
    """Returns the ids in a field that holds one, a list of them, or none."""
    values = value if isinstance(value, list) else [value]
    return [v for v in values if isinstance(v, int) and not isinstance(v, bool) and v >= 0]


def _look_up(tokenizer: Any, word: object, usual: str) -> list[int]:
    """Looks up a token by its text, which tokenizer_config.json may wrap in an object."""
    text = word.get("content") if isinstance(word, dict) else word
    text = text if isinstance(text, str) else usual
    token = tokenizer.token_to_id(text) if text.isprintable() else None  # no half of a surrogate
    return [] if token is None else [token]


def read_template(folder: Path, tokenizer: Any, fields: dict[str, Any], bos: int) -> bool:
    """Returns whether a text begins with BOS.

    By tokenizer_config.json, or else by what tokenizer.json puts around a text; where neither says
    anything, it does. Raises ModelError for whatever else is put there, and for files that add
    tokens or choose them otherwise.
    """
    _check_generation(_read(folder, "generation_config.json"))
    config = _read(folder, "tokenizer_config.json")
    _check_added_tokens(folder, tokenizer, config)
    if config.get("add_eos_token") is True:
        raise ModelError("a tokenizer with add_eos_token is not supported")
    if isinstance(config.get("add_bos_token"), bool):
        return bool(config["add_bos_token"])
    if fields.get("post_processor") is None:
        return _begins_by_class(config.get("tokenizer_class"))
    plain = tokenizer.encode("a", add_special_tokens=False).ids
    whole = tokenizer.encode("a", add_special_tokens=True).ids
    if whole not in (plain, [bos, *plain]):
        raise ModelError("it puts other tokens than BOS around a text, which is not supported")
    return bool(whole != plain)


def _begins_by_class(name: object) -> bool:
    """Returns whether transformers puts BOS before a text for a tokenizer of this class, by
    itself."""
    return not isinstance(name, str) or name.startswith(_CLASSES_WITH_BOS)


def read_chat_template(folder: Path) -> ChatTemplate | None:
    """Returns the template of conversations in a folder: chat_template.jinja, or else the one in
    tokenizer_config.json. None if there is none. Raises ModelError."""
    config = _read(folder, "tokenizer_config.json")
    found = config.get("chat_template")
    if isinstance(found, list):  # several, each with a name
        by_name = {entry.get("name"): entry for entry in found if isinstance(entry, dict)}
        found = by_name.get("default", {}).get("template")
    path = folder / "chat_template.jinja"
    if path.exists():
        try:
            found = read_small_file(path).decode()
        except OSError as error:
            raise ModelError(f"cannot read {path.name}: {error.strerror}") from error
        except UnicodeDecodeError:
            raise ModelError(f"{path.name} is no UTF-8 text") from None
    if not isinstance(found, str):
        return None
    words = {}
    for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
        word = config.get(name)
        text = word.get("content") if isinstance(word, dict) else word
        if isinstance(text, str):
            words[name] = text
    return ChatTemplate(found, words)


def _read(folder: Path, name: str) -> dict[str, Any]:
    return read_json(folder / name) if (folder / name).exists() else {}


def _check_generation(fields: dict[str, Any]) -> None:
    for name, harmless in _CHOOSERS.items():
        value = fields.get(name)
        if value is not None and value not in harmless:
            raise ModelError(
                f"generation_config.json has {name}, which is not supported: take it out there to"
                " go without it"
            )


def _check_added_tokens(folder: Path, tokenizer: Any, config: dict[str, Any]) -> None:
    """Raises ModelError if other files add tokens that tokenizer.json does not have."""
    added: dict[Any, Any] = dict(_read(folder, "added_tokens.json"))
    decoder = config.get("added_tokens_decoder")
    for token, entry in decoder.items() if isinstance(decoder, dict) else ():
        if isinstance(entry, dict):
            added[entry.get("content")] = token
    for text, token in added.items():
        known = (
            tokenizer.token_to_id(text) if isinstance(text, str) and text.isprintable() else None
        )
        if str(known) != str(token):
            raise ModelError(
                f"token {token} is {text!r:.60} in the files beside it, and not in tokenizer.json:"
                " save the tokenizer again, with transformers' save_pretrained"
            )
