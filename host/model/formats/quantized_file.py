"""Saves and loads a quantized model and its tokenizer as one file, without calibration.

The file is of the safetensors format (https://github.com/huggingface/safetensors): one tensor for
each array of `QuantizedModel`, called by its path there (`layers.0.q.rescale.multiplier`), and
`tokenizer`, the bytes of a tokenizer file. The header's metadata has one entry, METADATA: a JSON
object of `version`, `numbers` (all that is no array, by path), `tokenizer` (its kind and what the
bytes leave open), `prompt` (the fields of `PromptFormat`) and `sha256`, over the model's own
digest, the objects `tokenizer` and `prompt`, and the tokenizer's bytes. The arrays are mapped:
what of them is not used costs no memory.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from host.errors import ModelError
from host.model.arithmetic import Gain
from host.model.formats.mapped_arrays import map_arrays, write_arrays
from host.model.prompt_format import CONTINUATION, PromptFormat, parse_format
from host.model.quantized import QuantizedModel
from host.model.tokenizers.bpe import BpeTokenizer, parse_tokens, serialize_tokens
from host.model.tokenizers.huggingface import HuggingFaceTokenizer
from host.model.tokenizers.text import Tokenizer

METADATA = "micropython_federation"
VERSION = 3  # increased when head_dim became a dimension of its own
_TOKENIZER = "tokenizer"


def save(
    model: QuantizedModel,
    tokenizer: Tokenizer,
    path: str | Path,
    prompt_format: PromptFormat = CONTINUATION,
) -> None:
    """Writes a model, its tokenizer and prompt format to a file, all or nothing: an older file at
    `path` stays until the new one is complete.

    The same arguments give the same bytes. Raises ModelError if the file cannot be written.
    """
    leaves = dict(_iterate_leaves(model, ""))
    arrays = {name: leaf for name, leaf in leaves.items() if isinstance(leaf, np.ndarray)}
    fields, data = _store_tokenizer(tokenizer)
    prompt = prompt_format.fields()
    metadata = {
        "version": VERSION,
        "numbers": {name: leaf for name, leaf in leaves.items() if name not in arrays},
        "tokenizer": fields,
        "prompt": prompt,
        "sha256": _compute_digest(model, [fields, prompt], data),
    }
    arrays[_TOKENIZER] = np.frombuffer(data, np.uint8)
    described = {METADATA: json.dumps(metadata)}
    _replace_file(Path(path), lambda file: write_arrays(file, arrays, described))


def is_quantized(start: bytes) -> bool:
    """Returns whether a file that begins with `start`, at least 64 bytes, is a quantized model of
    any version."""
    return start[8:].startswith(b'{"__metadata__":{"%s"' % METADATA.encode())


def load(path: str | Path) -> tuple[QuantizedModel, Tokenizer, PromptFormat]:
    """Loads the model, the tokenizer and the prompt's format in the file at `path`.

    Raises ModelError, naming the file and what is wrong with it.
    """
    try:
        return _load(path)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    except Exception as error:  # whatever is missing from a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"{path}: a damaged quantized model: {reason}") from None


def _load(path: str | Path) -> tuple[QuantizedModel, Tokenizer, PromptFormat]:
    arrays, described = map_arrays(path)
    metadata = json.loads(described[METADATA])
    if metadata["version"] != VERSION:
        raise ModelError(
            f"a quantized model of version {metadata['version']}, not {VERSION}: quantize the"
            " model again"
        )
    leaves = metadata["numbers"] | arrays
    fields, data = metadata["tokenizer"], leaves[_TOKENIZER].tobytes()
    model = _build(QuantizedModel, leaves, "")
    prompt = metadata["prompt"]
    if _compute_digest(model, [fields, prompt], data) != metadata["sha256"]:
        raise ModelError("damaged, or made for other arithmetic: quantize the model again")
    return model, _load_tokenizer(fields, data, model.config.vocab_size), parse_format(prompt)


def _iterate_leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yields every array and number of a model, with its path."""
    if dataclasses.is_dataclass(value):
        parts = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    elif value is None or value is False:
        return  # parts that older architectures do not have
    elif isinstance(value, tuple):
        names = getattr(value, "_fields", [str(index) for index in range(len(value))])
        parts = list(zip(names, value, strict=True))
    else:
        yield name, value
        return
    for part, item in parts:
        yield from _iterate_leaves(item, f"{name}.{part}" if name else part)


def _build(kind: Any, leaves: dict[str, Any], name: str) -> Any:
    """Makes an object of the type `kind` from the leaves below `name`: the inverse."""
    if kind == Gain | None:
        return _build(Gain, leaves, name) if f"{name}.shift" in leaves else None
    if name not in leaves and kind in (int | None, str | None):
        return None
    if name not in leaves and kind is bool:
        return False  # what a model of an older kind was not asked
    if dataclasses.is_dataclass(kind) or hasattr(kind, "_fields"):
        hints = typing.get_type_hints(kind)
        parts = {part: f"{name}.{part}" if name else part for part in hints}
        return kind(**{part: _build(hints[part], leaves, path) for part, path in parts.items()})
    if typing.get_origin(kind) is tuple:  # of as many as there are
        item = typing.get_args(kind)[0]
        count = len({path.split(".")[1] for path in leaves if path.startswith(f"{name}.")})
        return tuple(_build(item, leaves, f"{name}.{index}") for index in range(count))
    return leaves[name]


def _store_tokenizer(tokenizer: Tokenizer) -> tuple[dict[str, Any], bytes]:
    """Returns the fields and bytes from which `_load_tokenizer` makes the tokenizer again."""
    if isinstance(tokenizer, HuggingFaceTokenizer):
        stops = sorted(tokenizer.stops)
        return {
            "kind": "huggingface",
            "bos": tokenizer.bos,
            "stops": stops,
            "adds_bos": tokenizer.adds_bos,
        }, tokenizer.data
    if isinstance(tokenizer, BpeTokenizer):
        return {
            "kind": "scores",
            "bos": tokenizer.bos,
            "eos": tokenizer.eos,
            "byte_tokens": list(tokenizer.byte_tokens),
            "space_first": tokenizer.space_first,
            "adds_bos": tokenizer.adds_bos,
            "further_stops": sorted(tokenizer.stops - {tokenizer.bos, tokenizer.eos}),
            "silent": sorted(tokenizer.silent),
            "verbatim": list(tokenizer.verbatim),
        }, serialize_tokens(tokenizer)
    raise TypeError(f"cannot store a {type(tokenizer).__name__}")


def _load_tokenizer(fields: dict[str, Any], data: bytes, vocab_size: int) -> Tokenizer:
    options = {name: value for name, value in fields.items() if name != "kind"}
    if fields["kind"] == "huggingface":
        return HuggingFaceTokenizer(data, vocab_size=vocab_size, **options)
    return BpeTokenizer(*parse_tokens(data), **options)


def _compute_digest(model: QuantizedModel, objects: list[dict[str, Any]], data: bytes) -> str:
    text = json.dumps(objects, sort_keys=True).encode()
    return hashlib.sha256(model.sha256() + hashlib.sha256(text).digest() + data).hexdigest()


def _replace_file(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Replaces the file at `path` in one step; write: writes the bytes of the new one."""
    if path.exists() and not (path.is_file() or path.is_dir()):  # a device: root could replace it
        raise ModelError(f"{path}: cannot write: it is no regular file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with open(temporary, "wb") as file:
                write(file)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(f"{path}: cannot write: {error.strerror}") from error
