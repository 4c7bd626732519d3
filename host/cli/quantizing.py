"""Quantizes a float model to a file, step by step: `python -m host.model quantize`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.progress import BarColumn, Progress, TextColumn

from host import text_input
from host.cli.console import Console
from host.cli.matrices import describe_matrices
from host.errors import ModelError, TextError
from host.generation.drafts import measure_yields
from host.model import loading
from host.model.files import naming
from host.model.float_model import FloatModel
from host.model.float_weights import FloatWeights
from host.model.own_text import (
    OwnText,
    own_text_length,
    own_text_path,
    save_own_text,
    write_own_text,
)
from host.model.quantization.caches import narrow_caches
from host.model.quantization.group_rows import find_grouped
from host.model.quantization.massive import calibrate
from host.model.quantization.quality import Quality, measure_quality
from host.model.quantization.quantize import (
    CALIBRATION_LENGTH,
    CALIBRATION_SEED,
    quantize,
    sample_calibration,
)
from host.model.quantized import QuantizedModel
from host.model.tokenizers.text import Tokenizer

INT16, INT8 = "int16", "int8"
KV = (INT16, INT8)  # what KV caches can hold
GROUPS = "groups"
WEIGHTS = (INT8, GROUPS)  # what matrices can be in

Sequences = npt.NDArray[np.int64]

HELD_OUT_SEED = CALIBRATION_SEED + 1
# Sequences of a long text that are used, so that calibration and measuring do not take too long.
MOST_SEQUENCES = 64
FEWEST_TOKENS = 32


@dataclass(frozen=True)
class Texts:
    """Sequences [n, length] for calibration, and others for measuring; each begins with BOS."""

    calibration: Sequences
    held_out: Sequences


def quantize_to_file(
    path: str | Path,
    output: str | Path,
    tokenizer: str | Path | None,
    text: str | Path | None,
    console: Console,
    kv: str = INT16,
    kept: str = INT8,
) -> Quality:
    """Quantizes the model at `path` to the file `output`; prints and returns the loss of quality.

    text: a file for calibration and measuring; by default the model samples texts; kv: what its
    KV caches hold, one of KV; kept: what its matrices are in, one of WEIGHTS. Raises ModelError.
    """
    if Path(output).exists() and Path(output).samefile(path):
        raise ModelError(f"{output} is the model itself: give another file to write")
    with _make_progress(console) as progress:
        begin = _Steps(progress).begin
        if loading.detect_format(path) is loading.Format.QUANTIZED:
            raise ModelError(f"{path}: is quantized already: give the model that it was made from")
        header = loading.read_header(path, tokenizer)
        config, tokens = header.config, header.tokenizer
        if config.context < 2:
            raise ModelError(f"{path}: a context of one position leaves nothing to measure")
        weights = header.load_weights()
        assert not isinstance(weights, QuantizedModel)
        grouped: frozenset[str] = frozenset()
        if kept == GROUPS:
            grouped = _find_grouped(path, weights, begin("looking for groups", config.layers))
        with naming(path):
            model = FloatModel(weights)
        if text:
            texts = read_texts(text, tokens, model)
        else:
            length = min(CALIBRATION_LENGTH, config.context)
            texts = sample_texts(tokens, model, begin("sampling texts", 2 * (length - 1)))
        with naming(path):
            form, ranges, rows = calibrate(weights, model, texts.calibration, begin, grouped)
            result = quantize(form, ranges, rows, begin("quantizing", config.layers))
        if kv == INT8:
            result = narrow_caches(result)
        steps = texts.held_out.shape[1] - 1
        cost = measure_quality(model, result, texts.held_out, begin("measuring", steps))
        steps = 2 * (own_text_length(config) - 1)
        advance = begin("writing texts to draft from", steps)
        own = write_own_text(model, tokens.bos, tokens.stops, advance)
        yields = measure_yields(own, config.vocab_size)
        # Both at last, so that an interruption leaves older files as they were.
        loading.LoadedModel(result, tokens, header.prompt_format).save(output)
        drafts = own_text_path(output)
        save_own_text(OwnText(own, yields), drafts)
    if grouped:
        console.print(f"weights: {describe_matrices(result.config)}", highlight=False)
    _print_cost(console, cost, Path(text).name if text else None)
    for path in (output, drafts):
        console.print(f"{path}: {Path(path).stat().st_size:,} bytes", highlight=False)
    return cost


def _find_grouped(
    path: str | Path, weights: FloatWeights, advance: Callable[[], object]
) -> frozenset[str]:
    """Returns the matrices that stay in groups. Raises ModelError if there are none."""
    with naming(path):
        grouped = find_grouped(weights, advance)
        if not grouped:
            raise ModelError(
                "has no matrix in groups of 4 bits, as GGUF files of Q4_0, Q4_1 and Q4_K have:"
                " leave out --weights groups, or give such a file"
            )
    return grouped


class _Steps:
    """The steps of quantizing, each with a progress bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("loading", total=None)

    def begin(self, description: str, total: int) -> Callable[[], None]:
        """Begins a step; returns a function to call after each of its parts."""
        self._progress.reset(self._task, description=description, total=total)
        return lambda: self._progress.advance(self._task)


def sample_texts(
    tokenizer: Tokenizer, model: FloatModel, advance: Callable[[], object] = lambda: None
) -> Texts:
    """Samples texts from the model itself: `LoadedModel.quantize` calibrates on the first."""
    return Texts(
        sample_calibration(model, tokenizer.bos, advance=advance),
        sample_calibration(model, tokenizer.bos, HELD_OUT_SEED, advance),
    )


def read_texts(path: str | Path, tokenizer: Tokenizer, model: FloatModel) -> Texts:
    """Reads the text at `path`: its first half for calibration, its second for measuring.

    Raises ModelError, naming the file.
    """
    try:
        text = text_input.read_text(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot read the text: {error.strerror}") from error
    except TextError as error:
        raise ModelError(f"{path}: {error}") from None
    tokens = tokenizer.encode(text, bos=False)
    if len(tokens) < FEWEST_TOKENS:
        raise ModelError(f"{path}: {len(tokens)} tokens, too few: give at least {FEWEST_TOKENS}")
    length = min(CALIBRATION_LENGTH, model.config.context)
    halves = tokens[: len(tokens) // 2], tokens[len(tokens) // 2 :]
    return Texts(*(_cut_sequences(half, tokenizer.bos, length) for half in halves))


def _cut_sequences(tokens: list[int], bos: int, length: int) -> Sequences:
    """Cuts `tokens` into sequences of `length`, BOS included, or into a single shorter one.

    If they are more than MOST_SEQUENCES, only so many are used, from all over the text.
    """
    body = min(length - 1, len(tokens))
    count = len(tokens) // body
    rows = np.array(tokens[: count * body]).reshape(count, body)
    chosen = np.linspace(0, count - 1, min(count, MOST_SEQUENCES)).astype(int)
    return np.insert(rows[chosen], 0, bos, axis=1)


def _make_progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _print_cost(console: Console, cost: Quality, text: str | None) -> None:
    source = f"the second half of {text}" if text else "texts that the model sampled itself"
    console.print(
        f"perplexity {cost.float_perplexity:.4f} in floats,"
        f" {cost.quantized_perplexity:.4f} quantized ({cost.change:+.3%}),"
        f" the same likeliest token in {cost.agreement:.1%}"
        f" of {cost.predictions:,} predictions (measured, on {source})",
        highlight=False,
        soft_wrap=True,
    )
