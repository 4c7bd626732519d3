"""Texts that a model has written by itself, kept beside it: drafts of further texts come from
them.

`python -m host.model quantize` writes them to `own_text_path(model)`: a file of the safetensors
format with the tokens of all texts one after another, `tokens` (u16 or u32), and how many each
text has, `lengths` (u32); and how well they are guessed from each other, `yields` (f64), since
measuring that takes longer than reading it. Half of the texts are sampled from BOS at
temperature 1; the others begin as these do and go on greedily. Each ends with the first token that
ends a text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse
from safetensors.numpy import save as serialize

from host.errors import ModelError
from host.model.checkpoint import Config, count_parameters
from host.model.float_model import FloatModel
from host.model.float_text import continue_greedily, sample_sequences

Text = NDArray[np.int64]

SEED = 31
SEQUENCES, LENGTH = 160, 200
# Multiply-accumulates that writing may take: a minute. Larger models write fewer texts.
_MOST_WORK = 1 << 39
_FEWEST = 8
_GIVEN = 8  # tokens that greedy texts begin with


@dataclass(frozen=True)
class OwnText:
    """A model's own texts. texts: the tokens of each; yields: tokens that a pass through the model
    gives on average with 0, 1, 2 ... drafts, as host/generation/drafts.py measures them."""

    texts: list[Text]
    yields: list[float]


def own_text_path(model: str | Path) -> Path:
    """Returns the path of the texts of the model at this path."""
    return Path(f"{model}.drafts")


def own_text_length(config: Config) -> int:
    """Returns the most tokens of each of a model's own texts."""
    return min(LENGTH, config.context)


def write_own_text(
    model: FloatModel,
    bos: int,
    stops: Collection[int],
    advance: Callable[[], object] = lambda: None,
) -> list[Text]:
    """Returns texts that the model writes, the same each time.

    stops: tokens that end a text; advance: called after each position, except the first, of two
    texts of `own_text_length`.
    """
    length = own_text_length(model.config)
    most = _MOST_WORK // (2 * length * count_parameters(model.config))
    count = max(_FEWEST, min(SEQUENCES, most))
    sampled = sample_sequences(model, count, length, SEED, bos, advance)
    greedy = continue_greedily(model, sampled[:, :_GIVEN], length, advance)
    return [_until_end(text, stops) for text in (*sampled, *greedy)]


def _until_end(text: Text, stops: Collection[int]) -> Text:
    """Cuts a text after the first token of `stops` that follows its first token."""
    ends = np.flatnonzero(np.isin(text[1:], list(stops)))
    return text[: ends[0] + 2] if len(ends) else text


def save_own_text(own: OwnText, path: str | Path) -> None:
    """Writes texts to `path`. Raises ModelError if that fails."""
    tokens = np.concatenate(own.texts)
    kind = np.uint16 if tokens.max() < 1 << 16 else np.uint32
    arrays = {
        "tokens": tokens.astype(kind),
        "lengths": np.array([len(text) for text in own.texts], np.uint32),
        "yields": np.array(own.yields),
    }
    try:
        Path(path).write_bytes(serialize(arrays))
    except OSError as error:
        raise ModelError(f"{path}: cannot write the texts: {error.strerror}") from error


def load_own_text(path: str | Path, vocabulary: int) -> OwnText | None:
    """Reads texts of tokens below `vocabulary`; returns None if there is no such file.

    Raises ModelError for a file that is damaged, or another model's.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{path}: cannot read the texts: {error.strerror}") from error
    try:
        found = parse(content)
        tokens, lengths = found["tokens"].astype(np.int64), found["lengths"].astype(np.int64)
        yields = found["yields"].tolist()
    except (SafetensorError, KeyError) as error:
        raise ModelError(f"{path}: no texts for drafts: quantize the model again") from error
    if tokens.max(initial=0) >= vocabulary or lengths.sum() != len(tokens):
        raise ModelError(f"{path}: texts of another model: quantize the model again")
    return OwnText(np.split(tokens, lengths.cumsum()[:-1]), yields)
