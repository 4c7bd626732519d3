"""Measures the same checkpoint in floats on this machine, by numpy and, given its source, by
llama2.c; and computes what other all-reduces would send."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.chip import counted
from bench.results import Label, Row
from host.errors import SetupError
from host.model.checkpoint import Checkpoint, Config
from host.model.float_model import FloatModel
from host.model.formats import llama2c
from host.model.tokenizers.bpe import BOS, BpeTokenizer, serialize_tokens
from host.parallel.theory.communication import Communication

CHIPS = (2, 5, 8)
_TIMEOUT_S = 120


def figures(checkpoint: Checkpoint, steps: int, name: str) -> Iterator[Row]:
    """Yields the float model's greedy tokens a second, one stream, and bytes of all-reduces."""
    yield float_speed(checkpoint, steps, name)
    yield from all_reduces(checkpoint.config, name)


def float_speed(checkpoint: Checkpoint, steps: int, name: str) -> Row:
    """Returns the tokens per second of numpy in float64, on this machine."""
    model = FloatModel(checkpoint)
    cache = model.new_cache(positions=steps)
    token, start = BOS, time.monotonic()
    for _ in range(steps):
        token = int(np.argmax(model.step([token], cache)))
    speed = steps / (time.monotonic() - start)
    return Row("peer: numpy float64", "this machine", name, speed, "tokens/s", Label.MEASURED)


def llama2c_speed(
    checkpoint: Checkpoint, tokenizer: BpeTokenizer, source: Path, steps: int, name: str
) -> Row:
    """Returns the tokens per second of llama2.c's own program, compiled from `source`, its run.c,
    with -O3.

    Raises SetupError if it cannot be compiled, or does not report them.
    """
    with tempfile.TemporaryDirectory() as folder:
        program, model, tokens = (Path(folder) / part for part in ("run", "model", "tokens"))
        llama2c.save(checkpoint, model)
        tokens.write_bytes(serialize_tokens(tokenizer))
        _output(["cc", "-O3", "-o", program, source, "-lm"])
        said = _output([program, model, "-z", tokens, "-t", "0", "-n", str(steps)])
    found = re.search(r"tok/s: ([0-9.]+)", said)
    if not found:
        raise SetupError(f"{source} does not print tokens a second, as llama2.c's run.c does")
    speed = float(found[1])
    return Row("peer: llama2.c float32", "this machine", name, speed, "tokens/s", Label.MEASURED)


def _output(command: list[str | Path]) -> str:
    """Returns what a program prints on stdout and stderr. Raises SetupError."""
    try:
        ended = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_TIMEOUT_S
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"llama2.c: {error}") from error
    said = ended.stdout.decode(errors="replace")
    if ended.returncode:
        words = said.strip().splitlines() or [f"exit code {ended.returncode}"]
        raise SetupError(f"llama2.c: {Path(command[0]).name}: {words[0]}")
    return said


def all_reduces(config: Config, name: str) -> Iterator[Row]:
    """Returns the bytes that all ranks together send for a token's sums, by formula: in a ring of
    N each sends 2 (N - 1) / N of the tensor's bytes, so all send 2 (N - 1) times those, without
    headers."""
    for bits, what in ((32, "float32"), (8, "8-bit")):
        tensors = Communication(1, config.dim, config.layers, bits).bytes_per_step
        for chips in CHIPS:
            value = 2 * (chips - 1) * tensors
            yield Row(f"peer: {what} ring all-reduce", "formula", f"{name} {counted(chips)}",
                      value, "bytes/token", Label.MODELLED)  # fmt: skip
